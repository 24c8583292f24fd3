"""The windowed transformer: a plain one with a banded mask, in any pieces."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from duologue.nn import windowed
from duologue.nn.rope import inverse_wavelengths, rotate, rotation
from duologue.nn.windowed import WindowedTransformer


def _transformer(context: int) -> WindowedTransformer:
    torch.manual_seed(0)
    return WindowedTransformer(16, layers=2, heads=2, hidden=32, context=context, initial_scale=1.0).eval()


def _plain(transformer: WindowedTransformer, x: torch.Tensor) -> torch.Tensor:
    """The same function written out with one square mask."""
    x, steps = x.mT, x.shape[-1]
    distance = torch.arange(steps)[:, None] - torch.arange(steps)
    mask = (distance >= 0) & (distance < transformer.context)
    angles = rotation(torch.arange(steps), inverse_wavelengths(8, 10_000.0))
    for layer in transformer.layers:
        queries, keys, values = (
            part.unflatten(-1, (2, 8)).transpose(1, 2) for part in layer.qkv(layer.norm1(x)).chunk(3, -1)
        )
        scores = rotate(queries, *angles) @ rotate(keys, *angles).mT / 8**0.5
        attended = (scores.masked_fill(~mask, -torch.inf).softmax(-1) @ values).transpose(1, 2).flatten(2)
        x = x + layer.scale1 * layer.out(attended)
        x = x + layer.scale2 * layer.contract(F.gelu(layer.expand(layer.norm2(x))))
    return x.mT


@pytest.mark.parametrize("context", [1, 2, 7, 100])
def test_it_is_a_plain_transformer_with_a_banded_mask(context):
    transformer, x = _transformer(context), torch.randn(2, 16, 40)
    torch.testing.assert_close(transformer(x), _plain(transformer, x), atol=1e-5, rtol=0)


@settings(max_examples=20, deadline=None, derandomize=True)
@given(context=st.integers(1, 12), cuts=st.lists(st.integers(1, 30), min_size=1, max_size=6))
def test_pieces_equal_the_whole(context, cuts):
    transformer, x = _transformer(context), torch.randn(2, 16, 60)
    state, parts, place = transformer.init_state(2), [], 0
    while place < 60:
        size = cuts[len(parts) % len(cuts)]
        part, state = transformer.step(x[..., place : place + size], state)
        parts.append(part)
        place += size
    torch.testing.assert_close(torch.cat(parts, dim=-1), transformer(x), atol=1e-5, rtol=0)
    assert state["position"].tolist() == [60, 60]
    assert state["layers"]["0"]["keys"].shape[2] == context - 1


def test_blocks_change_nothing(monkeypatch):
    transformer, x = _transformer(9), torch.randn(1, 16, 50)
    whole = transformer(x)
    monkeypatch.setattr(windowed, "BLOCK_STEPS", 4)
    torch.testing.assert_close(transformer(x), whole, atol=1e-5, rtol=0)


def test_a_mask_never_spans_more_than_a_block_and_its_context(monkeypatch):
    seen = []
    real = F.scaled_dot_product_attention

    def spy(queries, keys, values, attn_mask):
        seen.append(attn_mask.shape[-2:])
        return real(queries, keys, values, attn_mask=attn_mask)

    monkeypatch.setattr(F, "scaled_dot_product_attention", spy)
    _transformer(9)(torch.randn(1, 16, 2_000))
    assert max(rows for rows, _ in seen) <= windowed.BLOCK_STEPS
    assert max(columns for _, columns in seen) <= windowed.BLOCK_STEPS + 8


def test_the_future_never_changes_the_past():
    transformer, x = _transformer(5), torch.randn(1, 16, 30)
    other = x.clone()
    other[..., 11:] = 0
    assert torch.equal(transformer(x)[..., :11], transformer(other)[..., :11])
