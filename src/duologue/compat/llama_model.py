"""A model as llama.cpp's flags ask for it: which files, how many threads, which faults. Knows no prompt."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..api import Model, build
from ..weights.hub import ANYHOW, HubAccess
from .deviations import Deviations, decode, deviate
from .llama_files import find_files


@dataclass(frozen=True)
class LlamaModel:
    """A loaded model, and what is done wrong on purpose with its codes."""

    model: Model
    deviations: Deviations

    @property
    def decodes_whole(self) -> bool:
        """Whether sound can only be made once all codes are there."""
        return self.deviations.in_sound

    def decode(self, codes: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """Codes (K,T) of everything that was said as samples."""
        return decode(self.model.codec, codes, self.deviations)


def load_model(
    model: str | None,
    mimi: str | None = None,
    *,
    device: str = "auto",
    engine: str = "auto",
    threads: int | None = None,
    deviations: Deviations | None = None,
    access: HubAccess = ANYHOW,
) -> LlamaModel:
    """Load what -m and -mv name. Faults need the torch engine; it is taken by itself where none was asked for."""
    deviations = deviations or Deviations()
    if deviations.any and engine == "auto":
        engine = "torch"
    loaded = build(find_files(model, mimi, access), device, engine, access)
    if threads is not None:
        _use_threads(loaded, threads)
    return LlamaModel(deviate(loaded, deviations), deviations)


def _use_threads(model: Model, threads: int) -> None:
    """Before anything was spoken: let the networks compute on so many threads."""
    from ..engine.native_engine import NativeEngine

    if isinstance(model.engine, NativeEngine):
        model.engine = NativeEngine(model.engine.packed, threads=threads)
        return
    import torch

    torch.set_num_threads(threads)
