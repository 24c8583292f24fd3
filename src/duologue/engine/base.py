"""What every engine offers: prefill a prompt, then one frame per call. Knows nothing of text or sound.

Rows of the grid are plain integers: K audio columns then the text columns; -1 marks an inactive column.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ..csm.config import CsmConfig


@dataclass(frozen=True)
class Sampling:
    """How one stage draws: temperature 0 is greedy; top_k 0 keeps every code."""

    temperature: float = 0.9
    top_k: int = 50


@dataclass(frozen=True)
class FrameSampling:
    """Sampling of a whole frame. The frame's K draws come from (seed, frame index, codebook) alone."""

    seed: int = 0
    first: Sampling = Sampling()  # codebook 0, by the backbone
    depth: Sampling = Sampling()  # codebooks 1..K-1
    advance: Sampling = Sampling(temperature=0.7, top_k=0)  # aligned text only
    guidance: float = 1.0  # above 1, codes are drawn further from what would be spoken without words; 1 costs nothing


@dataclass
class Frame:
    """One sampled frame: codes (K,) int64, and how many text units the pointer moves (0 without aligned text)."""

    codes: np.ndarray
    advance: int = 0


class Cache(Protocol):
    """One conversation's keys and values."""

    @property
    def length(self) -> int:
        """Grid rows taken in so far."""
        ...

    def fork(self) -> Cache:
        """A second conversation that starts from this past; neither sees the other's future."""
        ...

    def truncate(self, length: int) -> None:
        """Forget every row from `length` on."""
        ...


@dataclass
class Guide:
    """The same frame read without its words: logits become guide + guidance · (logits − guide), codebooks alone."""

    cache: Cache
    row: np.ndarray  # (columns,) int64


@dataclass
class FrameRequest:
    """One row of a batched frame step: feed `row` at `position`, then sample frame number `index`."""

    cache: Cache
    row: np.ndarray  # (columns,) int64
    position: int
    index: int
    sampling: FrameSampling
    allow_eos: bool = True
    guide: Guide | None = None


class Engine(Protocol):
    """A form of the network that can speak."""

    config: CsmConfig
    name: str  # e.g. "torch-cpu-float32", "native-avx512vnni-int8"

    def new_cache(self) -> Cache:
        """An empty past."""
        ...

    def prefill(self, cache: Cache, rows: np.ndarray, positions: np.ndarray) -> None:
        """Take in rows (S, columns) at positions (S,) int64 without sampling."""
        ...

    def frames(self, requests: list[FrameRequest]) -> list[Frame]:
        """Feed one row each and sample one frame each; every row's result equals its solo run."""
        ...
