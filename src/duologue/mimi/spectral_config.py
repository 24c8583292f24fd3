"""Sizes of the spectral encoder and decoder. Knows no torch."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import InputError
from ..timebase import FRAME_SAMPLES

HOPS_PER_FRAME = 8


@dataclass(frozen=True)
class SpectralConfig:
    """Lengths are in samples. A frame is eight hops; a filter's response lasts at most `window`."""

    dim: int = 256
    encoder_blocks: int = 4
    decoder_blocks: int = 6
    kernel: int = 7
    expansion: int = 3
    hop: int = 240
    window: int = 960
    pitch_window: int = 1_920  # the encoder's long look, for pitch
    min_lag: int = 40  # shortest autocorrelation lag that the encoder sees: 600 Hz
    max_lag: int = 440  # longest: 55 Hz
    min_pitch_hz: float = 50.0
    max_pitch_hz: float = 600.0
    filter_delay: int = 120  # lets a filter's response start before its pulse

    def __post_init__(self) -> None:
        for name in ("dim", "encoder_blocks", "decoder_blocks", "kernel", "expansion", "min_lag"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} should be at least 1, not {getattr(self, name)}.", field=name)
        if self.hop * HOPS_PER_FRAME != FRAME_SAMPLES:
            raise InputError(f"hop should be {FRAME_SAMPLES // HOPS_PER_FRAME}, not {self.hop}.", field="hop")
        if self.window % self.hop or not self.hop < self.window <= self.pitch_window:
            raise InputError(
                f"window should be a multiple of {self.hop} and at most pitch_window, not {self.window}.",
                field="window",
            )
        if not self.min_lag < self.max_lag <= self.pitch_window // 2:
            raise InputError("max_lag should lie between min_lag and half of pitch_window.", field="max_lag")
        if not 0 < self.min_pitch_hz < self.max_pitch_hz:
            raise InputError("min_pitch_hz should be positive and below max_pitch_hz.", field="min_pitch_hz")
