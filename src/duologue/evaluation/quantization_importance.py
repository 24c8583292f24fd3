"""How strongly each column of each matrix is used: the mean square of what meets it while a model speaks.

The error that rounding a weight makes in a product grows with that square, so it is the natural weight for the error
that a block's scale is chosen by (GPTQ's and llama.cpp's "importance matrix", its diagonal). Needs the torch form.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from ..csm.config import CsmConfig
from ..csm.model import Csm
from ..engine.pieces import as_float32
from .logit_agreement import ForcedTurn

Squares = dict[str, npt.NDArray[np.float32]]


def activation_squares(
    config: CsmConfig, weights: Mapping[str, npt.NDArray[Any]], turns: Sequence[ForcedTurn]
) -> Squares:
    """Mean square of each matrix's inputs (n,), by tensor name, over turns that were spoken; audio_head's (K-1,n).

    Tables of embeddings are looked up, not multiplied, and have none.
    """
    model = Csm(config)
    model.load_state_dict({name: torch.from_numpy(as_float32(array).copy()) for name, array in weights.items()})
    model.eval().requires_grad_(False)
    sums = _Sums()
    hooks = [
        module.register_forward_pre_hook(sums.listener(f"{name}.weight"))
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear)
    ]
    hooks.append(model.decoder.register_forward_hook(lambda _m, _i, out: sums.add_pages("audio_head", out[:, 1:])))
    with torch.inference_mode():
        for turn in turns:
            _read(model, turn)
    for hook in hooks:
        hook.remove()
    return sums.means()


def _read(model: Csm, turn: ForcedTurn) -> None:
    """Every row through the backbone, and every drawn frame through the depth decoder."""
    grid, positions = torch.from_numpy(turn.rows)[None], torch.from_numpy(turn.positions)[None]
    hidden = model.hidden_states(grid, positions)[0]
    places = sorted(turn.codes)
    model.first_stage(hidden[places])
    model.depth_stage(hidden[places], torch.from_numpy(np.stack([turn.codes[place] for place in places])))


class _Sums:
    """Sums of squares and their counts, by tensor name."""

    def __init__(self) -> None:
        self._sums: dict[str, torch.Tensor] = {}
        self._counts: dict[str, int] = {}

    def listener(self, name: str) -> Any:
        def listen(_module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
            self._add(name, inputs[0].flatten(0, -2))

        return listen

    def add_pages(self, name: str, out: torch.Tensor) -> None:
        """Inputs (F,K-1,d), each page's apart."""
        self._add(name, out)

    def _add(self, name: str, inputs: torch.Tensor) -> None:
        squares = inputs.double().square().sum(0)
        self._sums[name] = self._sums.get(name, torch.zeros_like(squares)) + squares
        self._counts[name] = self._counts.get(name, 0) + len(inputs)

    def means(self) -> Squares:
        return {name: (total / self._counts[name]).float().numpy() for name, total in self._sums.items()}
