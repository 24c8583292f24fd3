"""Sizes of a Mimi codec. Every size comes from a file; knows no weights and needs no torch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

from ..errors import InputError
from .spectral_config import SpectralConfig

RESAMPLING = 2  # latent steps (25 Hz) per frame of codes (12.5 Hz)
HOPS_PER_STEP = 4  # hops of the spectral front end per latent step


# Beyond these a file is damaged, and building what it asks for would take all memory or all day.
MOST = {"layers": 256, "codebooks": 256, "residual_layers": 16, "dilation_base": 8}
MOST |= {"encoder_blocks": 256, "decoder_blocks": 256, "kernel": 64, "expansion": 64, "pitch_window": 65_536}
MOST_OTHERWISE = 2**20


def _check_sizes(config: Any, *names: str) -> None:
    for name in names:
        value, most = getattr(config, name), MOST.get(name, MOST_OTHERWISE)
        if not 1 <= value <= most:
            raise InputError(f"{name} should be 1 to {most}, not {value}.", field=name)


@dataclass(frozen=True)
class SeanetConfig:
    """Sizes of the convolutional pair between sound and latents. `ratios` are in the decoder's order."""

    filters: int = 64  # channels next to the waveform; doubled at each ratio
    ratios: tuple[int, ...] = (8, 6, 5, 4)
    kernel: int = 7
    residual_kernel: int = 3
    last_kernel: int = 3
    residual_layers: int = 1
    dilation_base: int = 2  # the n-th residual layer of a stage has dilation base^n
    compress: int = 2  # a residual layer's inner width is the stage's divided by this

    def __post_init__(self) -> None:
        sizes = ("filters", "kernel", "residual_kernel", "last_kernel", "residual_layers", "dilation_base", "compress")
        _check_sizes(self, *sizes)
        if not 1 <= len(self.ratios) <= 8 or not all(1 <= ratio <= 64 for ratio in self.ratios):
            raise InputError(f"ratios should be 1 to 8 numbers of 1 to 64, not {list(self.ratios)}.", field="ratios")
        if self.filters % self.compress:
            raise InputError("filters should be a multiple of compress.", field="compress")


@dataclass(frozen=True)
class TransformerConfig:
    """Sizes of the two transformers beside the quantizer. A step sees `context` steps of 40 ms, itself included."""

    layers: int = 8
    heads: int = 8
    hidden: int = 2_048
    context: int = 250
    rope_base: float = 10_000.0
    norm_eps: float = 1e-5
    initial_scale: float = 0.01

    def __post_init__(self) -> None:
        _check_sizes(self, "layers", "heads", "hidden", "context")


@dataclass(frozen=True)
class QuantizerConfig:
    """Sizes of the split residual quantizer: K codebooks of `entries` vectors, the first few of them semantic."""

    codebooks: int = 32
    entries: int = 2_048
    width: int = 256
    semantic: int = 1

    def __post_init__(self) -> None:
        _check_sizes(self, "codebooks", "entries", "width", "semantic")
        if self.semantic >= self.codebooks:
            raise InputError("There should be more codebooks than semantic ones.", field="semantic")


@dataclass(frozen=True)
class MimiConfig:
    """A whole codec; D = `width` channels between all its parts. The defaults are Kyutai's released model."""

    width: int = 512
    frontend: Literal["seanet", "spectral"] = "seanet"
    seanet: SeanetConfig | None = SeanetConfig()
    spectral: SpectralConfig | None = None
    transformer: TransformerConfig = TransformerConfig()
    quantizer: QuantizerConfig = QuantizerConfig()
    rate_hz: int = 24_000

    def __post_init__(self) -> None:
        _check_sizes(self, "width", "rate_hz")
        if getattr(self, self.frontend) is None:
            raise InputError(f"The sizes of the {self.frontend} front end are missing.", field=self.frontend)
        if self.spectral is not None:
            _check_sizes(
                self.spectral, "dim", "encoder_blocks", "decoder_blocks", "kernel", "expansion", "pitch_window"
            )
        if self.width % (2 * self.transformer.heads):
            raise InputError("width should be a multiple of twice the heads.", field="transformer.heads")

    @property
    def hop_samples(self) -> int:
        """Samples per latent step: 960 in the released model (25 Hz)."""
        if self.frontend == "spectral":
            assert self.spectral is not None
            return HOPS_PER_STEP * self.spectral.hop
        assert self.seanet is not None
        return math.prod(self.seanet.ratios)

    @property
    def frame_samples(self) -> int:
        """Samples per frame of codes: 1920 in the released model (80 ms)."""
        return RESAMPLING * self.hop_samples

    def frames_covering(self, samples: int) -> int:
        """Frames that hold `samples` samples, the last one perhaps partly."""
        return -(-samples // self.frame_samples)


MIMI = MimiConfig()
