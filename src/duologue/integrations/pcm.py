"""Samples as the frameworks carry them, and back."""

from __future__ import annotations

import numpy as np

from ..audio import Audio, Samples, from_samples


def to_pcm(samples: Samples) -> bytes:
    """Samples (N,) float32 as 16-bit little-endian."""
    return (np.clip(samples, -1.0, 1.0) * 32_767).astype("<i2").tobytes()


def from_pcm(data: bytes, rate_hz: int, channels: int) -> Audio:
    """16-bit little-endian sound of any rate as Audio. Raises AudioError if it holds no sample."""
    samples = np.frombuffer(data[: len(data) // (2 * channels) * 2 * channels], "<i2")
    return from_samples(samples.astype(np.int16).reshape(-1, channels), rate_hz)
