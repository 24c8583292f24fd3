"""Sizes and ways of a Conversational Speech Model. Every size comes from a file; the defaults here are ways, not sizes.

Sesame's files set every departure to its default. The embedded voice uses some of them; each has its measurement in
docs/log.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..errors import InputError
from ..nn.llama_config import RopeScaling, StackConfig

__all__ = ["CSM_1B", "AlignedText", "CsmConfig", "RopeScaling", "StackConfig"]


@dataclass(frozen=True)
class AlignedText:
    """Departure: each audio position also sees the text units around the one being spoken.

    The backbone predicts, beside codebook 0, how many units the pointer moves for the next frame (0..max_advance).
    A frame's text columns are then `before` + 1 + `after` units around the pointer and one timing symbol.
    """

    before: int = 1
    after: int = 3
    max_advance: int = 4
    max_dwell: int = 8

    def __post_init__(self) -> None:
        for name, least in (("before", 0), ("after", 0), ("max_advance", 1), ("max_dwell", 1)):
            if not least <= getattr(self, name) <= 64:
                raise InputError(f"{name} should be {least} to 64, not {getattr(self, name)}.", field=name)

    @property
    def window(self) -> int:
        return self.before + 1 + self.after

    @property
    def timings(self) -> int:
        """Number of timing symbols: a move of 1..max_advance, or the n-th frame (1..max_dwell) on the same unit."""
        return self.max_advance + self.max_dwell + 1


@dataclass(frozen=True)
class CsmConfig:
    """A whole CSM. K codebooks; `codebook_size` entries each, of which the codec uses `codec_entries`."""

    backbone: StackConfig
    depth: StackConfig
    num_codebooks: int
    codebook_size: int
    text_vocab: int
    codec_entries: int
    eos: Literal["zeros", "code"] = "zeros"  # an all-zero frame, or codebook 0 = eos_code
    eos_code: int = 0
    positions: Literal["sequential", "parallel"] = "sequential"  # parallel: audio restarts beside its text
    aligned: AlignedText | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.num_codebooks <= 64:
            raise InputError(f"num_codebooks is {self.num_codebooks}; 1 to 64 are supported.", field="num_codebooks")
        for name in ("codebook_size", "text_vocab"):
            if not 1 <= getattr(self, name) <= 2**24:
                raise InputError(f"{name} should be 1 to {2**24}, not {getattr(self, name)}.", field=name)
        if not 1 <= self.codec_entries <= self.codebook_size:
            raise InputError(f"codec_entries should be 1 to {self.codebook_size}.", field="codec_entries")
        if self.eos == "code" and not self.codec_entries <= self.eos_code < self.codebook_size:
            raise InputError("eos_code should lie beyond the codec's entries.", field="eos_code")

    @property
    def text_columns(self) -> int:
        """Text columns of the frame grid: 1, or 1 + window + timing with aligned text."""
        return 1 if self.aligned is None else 2 + self.aligned.window

    @property
    def columns(self) -> int:
        """All columns of the frame grid: K audio columns, then the text columns."""
        return self.num_codebooks + self.text_columns


CSM_1B = CsmConfig(
    backbone=StackConfig(16, 2048, 32, 8, 64, 8192, 2048, rope_scaling=RopeScaling()),
    depth=StackConfig(4, 1024, 8, 2, 128, 8192, 33, rope_scaling=RopeScaling()),
    num_codebooks=32,
    codebook_size=2051,
    text_vocab=128_256,
    codec_entries=2048,
)
