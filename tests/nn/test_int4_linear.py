"""Torch's int4 product: that of the weights it stands for, close to those it came from, and a whole engine of it."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from duologue.csm.frames import lay_out
from duologue.engine.base import FrameRequest, FrameSampling
from duologue.engine.torch_engine import TorchEngine
from duologue.errors import BackendUnavailable
from duologue.nn.int4_linear import GROUP, Int4Linear, fits, int4_reason, round_to_int4, rounded_linears
from tests.csm.sizes import PLAIN, build, dialogue


def unpacked(weight: torch.Tensor) -> torch.Tensor:
    levels, scales_and_zeros = round_to_int4(weight)
    scale, zero = scales_and_zeros.unbind(-1)
    groups = levels.unflatten(1, (-1, GROUP)).float()
    return ((groups - 8) * scale[..., None] + zero[..., None]).flatten(1)


@pytest.mark.parametrize(("outputs", "inputs"), [(16, 32), (48, 96), (64, 256)])
def test_a_product_is_that_of_the_unpacked_weights(outputs: int, inputs: int) -> None:
    weight, x = torch.randn(outputs, inputs) * 0.05, torch.randn(2, 3, inputs)
    expected = x @ unpacked(weight).T
    got = Int4Linear(weight)(x)
    assert got.shape == (2, 3, outputs)
    assert got.dtype == x.dtype
    assert (got - expected).norm() < 0.01 * expected.norm()


def test_rounding_keeps_nine_tenths_of_normal_weights() -> None:
    weight = torch.randn(64, 256)
    assert (unpacked(weight) - weight).norm() < 0.1 * weight.norm()


def test_what_does_not_fit_stays_what_it_is() -> None:
    model = nn.Sequential(
        nn.Linear(32, 16, bias=False), nn.Sequential(nn.Linear(33, 16, bias=False), nn.Linear(32, 16))
    )
    assert rounded_linears(model) == 1
    assert isinstance(model[0], Int4Linear)
    assert not fits(torch.empty(15, 32))


def test_an_engine_of_it_speaks_nearly_the_same() -> None:
    assert int4_reason() is None  # of the torch that these tests are pinned to
    exact, rounded = TorchEngine(build(PLAIN)), TorchEngine(build(PLAIN), dtype=torch.bfloat16, int4=True)
    assert rounded.name == "torch-cpu-int4"
    grid = lay_out(PLAIN, dialogue(PLAIN, [(5, 6), (6, None)]))
    hidden = []
    for engine in (exact, rounded):
        rows, places = (torch.from_numpy(each)[None] for each in (grid.rows, grid.positions))
        with torch.inference_mode():
            hidden.append(engine.model.hidden_states(rows, places).float())
    assert 0 < (hidden[1] - hidden[0]).norm() < 0.4 * hidden[0].norm()
    frame = rounded.frames([FrameRequest(rounded.new_cache(), grid.rows[0], 0, 0, FrameSampling())])[0]
    assert frame.codes.shape == (PLAIN.num_codebooks,)


def test_a_torch_without_the_kernel_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: object) -> torch.Tensor:
        raise RuntimeError("not implemented here")

    monkeypatch.setattr(Int4Linear, "forward", gone)
    reason = int4_reason()
    assert reason is not None
    assert "not implemented here" in reason
    with pytest.raises(BackendUnavailable, match="int4"):
        TorchEngine(build(PLAIN), int4=True)
