"""Convolutions run whole or in pieces with the same result, by either way of computing them."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from duologue.nn import conv
from duologue.nn.conv import CausalConv, UpsamplingConv

SIZES = st.tuples(st.integers(1, 7), st.integers(1, 4), st.integers(1, 3)).filter(
    lambda s: (s[0] - 1) * s[2] + 1 >= s[1]
)


def _cut(x, stride, cuts):
    place, number = 0, 0
    while place < x.shape[-1]:
        end = place + stride * cuts[number % len(cuts)]
        yield x[..., place:end]
        place, number = end, number + 1


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    size=SIZES,
    padding=st.sampled_from(["zeros", "replicate"]),
    bias=st.booleans(),
    cuts=st.lists(st.integers(1, 9), min_size=1, max_size=5),
    few=st.sampled_from([0, 10**6]),
)
def test_pieces_equal_the_whole(size, padding, bias, cuts, few):
    kernel, stride, dilation = size
    layer = CausalConv(3, 5, kernel, stride=stride, dilation=dilation, bias=bias, padding=padding)
    x, state, parts = torch.randn(2, 3, 24 * stride), layer.init_state(2), []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(conv, "FEW_COLUMNS", few)
        for piece in _cut(x, stride, cuts):
            part, state = layer.step(piece, state)
            parts.append(part)
        torch.testing.assert_close(torch.cat(parts, dim=-1), layer(x), atol=1e-5, rtol=0)


@pytest.mark.parametrize(("padding", "mode"), [("zeros", "constant"), ("replicate", "replicate")])
@pytest.mark.parametrize("length", [1, 7, 8, 12, 200])
@pytest.mark.parametrize("few", [0, 10**6])
def test_padding_is_all_on_the_left_and_completes_the_last_window(padding, mode, length, few, monkeypatch):
    monkeypatch.setattr(conv, "FEW_COLUMNS", few)
    layer, x = CausalConv(3, 4, 8, stride=4, padding=padding), torch.randn(2, 3, length)
    padded = F.pad(x, (8 - 4, -length % 4), mode=mode)
    torch.testing.assert_close(layer(x), F.conv1d(padded, layer.weight, layer.bias, 4), atol=1e-5, rtol=0)


def test_replication_happens_at_the_first_piece_only():
    layer, x = CausalConv(1, 1, 4, stride=2, bias=False, padding="replicate"), torch.arange(1.0, 9.0)[None, None]
    torch.nn.init.ones_(layer.weight)
    assert layer(x).tolist() == [[[1 + 1 + 1 + 2, 1 + 2 + 3 + 4, 3 + 4 + 5 + 6, 5 + 6 + 7 + 8]]]
    first, state = layer.step(x[..., :2], layer.init_state(1))
    second, _ = layer.step(x[..., 2:], state)
    assert torch.equal(torch.cat((first, second), dim=-1), layer(x))


@pytest.mark.parametrize("padding", ["zeros", "replicate"])
def test_rows_of_unequal_length_end_by_the_padding_rule(padding):
    layer, x, lengths = CausalConv(3, 4, 6, stride=3, padding=padding), torch.randn(3, 3, 20), [20, 7, 1]
    together = layer(x, torch.tensor(lengths))
    for row, length in enumerate(lengths):
        alone = layer(x[row : row + 1, :, :length])
        torch.testing.assert_close(together[row : row + 1, :, : alone.shape[-1]], alone, atol=1e-5, rtol=0)


@pytest.mark.parametrize("depthwise", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("columns", [1, 2, 31, 33, 100])
def test_upsampling_is_a_transposed_convolution_without_its_overhang(depthwise, bias, columns):
    layer, x = UpsamplingConv(6, 6, 3, depthwise=depthwise, bias=bias), torch.randn(2, 6, columns)
    whole = F.conv_transpose1d(x, layer.weight, layer.bias, 3, groups=6 if depthwise else 1)
    torch.testing.assert_close(layer(x), whole[..., : 3 * columns], atol=1e-5, rtol=0)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(cuts=st.lists(st.integers(1, 50), min_size=1, max_size=5), depthwise=st.booleans(), bias=st.booleans())
def test_upsampled_pieces_equal_the_whole(cuts, depthwise, bias):
    layer, x = UpsamplingConv(4, 4, 3, depthwise=depthwise, bias=bias), torch.randn(2, 4, 90)
    state, parts = layer.init_state(2), []
    for piece in _cut(x, 1, cuts):
        part, state = layer.step(piece, state)
        parts.append(part)
    torch.testing.assert_close(torch.cat(parts, dim=-1), layer(x), atol=1e-5, rtol=0)


def test_a_kernel_with_gaps_is_refused():
    with pytest.raises(ValueError, match="gaps"):
        CausalConv(1, 1, 2, stride=3)
