"""The network: causal, free of its padding, continued pasts equal the whole, names and shapes as the layout says."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from duologue.csm.config import CSM_1B, CsmConfig, RopeScaling
from duologue.csm.frames import lay_out
from duologue.csm.loss import collate
from duologue.csm.model import Csm
from duologue.nn.llama_past import EvenPast, UnevenPast
from duologue.nn.llama_rope import inverse_frequencies
from duologue.weights.sesame import csm_shapes
from tests.csm.sizes import ALIGNED, BOTH, PLAIN, build, dialogue

TURNS = [(5, 6), (4, 7)]


@pytest.mark.parametrize("config", BOTH, ids=["plain", "aligned"])
def test_the_future_never_changes_the_past(config: CsmConfig) -> None:
    model, batch = build(config), collate([lay_out(config, dialogue(config, TURNS))])
    with torch.inference_mode():
        before = model.hidden_states(batch.rows, batch.positions)
        for cut in (1, 7, 15):
            changed = batch.rows.clone()
            changed[:, cut:] = changed[:, cut:].flip(1)
            after = model.hidden_states(changed, batch.positions)
            assert torch.equal(after[:, :cut], before[:, :cut])
            assert not torch.allclose(after[:, cut:], before[:, cut:])


@pytest.mark.parametrize("config", BOTH, ids=["plain", "aligned"])
def test_padding_and_neighbours_in_a_batch_change_nothing(config: CsmConfig) -> None:
    grids = [lay_out(config, dialogue(config, sizes, seed)) for seed, sizes in enumerate([TURNS, [(3, 4)], [(8, 3)]])]
    model, batch = build(config), collate(grids)
    with torch.inference_mode():
        together = model.hidden_states(batch.rows, batch.positions)
        for b, grid in enumerate(grids):
            alone = collate([grid])
            hidden = model.hidden_states(alone.rows, alone.positions)[0]
            torch.testing.assert_close(together[b, : len(hidden)], hidden, rtol=1e-5, atol=1e-5)


@given(st.lists(st.integers(1, 6), min_size=1, max_size=8))
def test_reading_in_pieces_equals_reading_at_once(pieces: list[int]) -> None:
    model = build(PLAIN)
    batch = collate([lay_out(PLAIN, dialogue(PLAIN, [(20, 20), (20, None)]))])
    pasts = [EvenPast(PLAIN.backbone, 1, 3, model.audio_head) for _ in range(PLAIN.backbone.layers)]
    with torch.inference_mode():
        whole = model.hidden_states(batch.rows, batch.positions)
        parts, start = [], 0
        for size in pieces:
            window = slice(start, start + size)
            parts.append(model.hidden_states(batch.rows[:, window], batch.positions[:, window], pasts))
            start += size
    torch.testing.assert_close(torch.cat(parts, 1), whole[:, :start], rtol=1e-4, atol=1e-5)


def test_rows_of_unequal_pasts_go_on_as_if_alone() -> None:
    model = build(PLAIN)
    grids = [lay_out(PLAIN, dialogue(PLAIN, sizes, seed)) for seed, sizes in enumerate([TURNS, [(3, 4)]])]
    alone, pasts = [], []
    with torch.inference_mode():
        for grid in grids:
            batch = collate([grid])
            alone.append(model.hidden_states(batch.rows, batch.positions)[:, -1])
            own = [EvenPast(PLAIN.backbone, 1, 8, model.audio_head) for _ in range(PLAIN.backbone.layers)]
            model.hidden_states(batch.rows[:, :-1], batch.positions[:, :-1], own)
            pasts.append(own)
        rows = torch.stack([torch.from_numpy(grid.rows[-1:]) for grid in grids])
        positions = torch.stack([torch.from_numpy(grid.positions[-1:]) for grid in grids])
        uneven = [UnevenPast(list(layer)) for layer in zip(*pasts, strict=True)]
        together = model.hidden_states(rows, positions, uneven)[:, 0]
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-5, atol=1e-5)


def test_depth_sees_only_codebooks_before_its_own() -> None:
    model = build(PLAIN)
    hidden, codes = torch.randn(3, 32), torch.randint(0, 32, (3, 4))
    with torch.inference_mode():
        before = model.depth_stage(hidden, codes)
        changed = codes.clone()
        changed[:, 1] = (changed[:, 1] + 1) % 32
        after = model.depth_stage(hidden, changed)
    assert torch.equal(before[:, 0], after[:, 0])  # codebook 1 itself
    assert not torch.allclose(before[:, 1:], after[:, 1:])


@pytest.mark.parametrize(
    "config", [*BOTH, replace(PLAIN, num_codebooks=1), CSM_1B], ids=["plain", "aligned", "K=1", "1B"]
)
def test_names_and_shapes_are_the_layouts(config: CsmConfig) -> None:
    with torch.device("meta"):
        model = Csm(config)
    assert {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()} == csm_shapes(config)


def test_the_released_size_has_its_187_tensors_and_parameters() -> None:
    shapes = csm_shapes(CSM_1B)
    assert len(shapes) == 187
    assert sum(torch.Size(shape).numel() for shape in shapes.values()) == 1_552_791_552


@pytest.mark.parametrize(("width", "counts"), [(64, (15, 3, 14)), (128, (29, 6, 29))])
def test_rotary_scaling_leaves_blends_and_stretches_the_published_counts(width: int, counts: tuple[int, ...]) -> None:
    plain = inverse_frequencies(width, 500_000.0, None)
    ratio = inverse_frequencies(width, 500_000.0, RopeScaling()) / plain
    kept, stretched = int((ratio == 1).sum()), int(torch.isclose(ratio, torch.tensor(1 / 32)).sum())
    assert (kept, width // 2 - kept - stretched, stretched) == counts


def test_only_the_ratios_of_a_rope_scaling_matter() -> None:
    for width, small in ((64, RopeScaling(32, 0.125, 0.5, 1024)), (128, RopeScaling(32, 0.001953125, 0.0078125, 16))):
        same = inverse_frequencies(width, 500_000.0, RopeScaling())
        assert torch.equal(inverse_frequencies(width, 500_000.0, small), same)


def test_rotary_tables_stay_float32_when_weights_are_cast() -> None:
    model = build(ALIGNED).to(torch.bfloat16)
    batch = collate([lay_out(ALIGNED, dialogue(ALIGNED, TURNS))])
    assert model.hidden_states(batch.rows, batch.positions).dtype == torch.bfloat16
    assert model.backbone._rotary_tables(torch.device("cpu")).dtype == torch.float32
