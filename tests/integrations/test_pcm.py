"""Samples survive the frameworks' 16 bits; whole frames only."""

from __future__ import annotations

import numpy as np
import pytest

from duologue.errors import AudioError
from duologue.integrations.pcm import from_pcm, to_pcm


def test_there_and_back() -> None:
    samples = np.linspace(-1, 1, 2_400, dtype=np.float32)
    assert np.abs(from_pcm(to_pcm(samples), 24_000, 1).samples - samples).max() < 1e-4


def test_too_loud_is_clipped_and_two_channels_are_mixed() -> None:
    assert np.frombuffer(to_pcm(np.array([2.0, -2.0], np.float32)), "<i2").tolist() == [32_767, -32_767]
    stereo = np.array([[16_384, -16_384]] * 240, "<i2").tobytes() + b"\x01"
    assert not from_pcm(stereo, 24_000, 2).samples.any()


def test_no_sound_is_an_error() -> None:
    with pytest.raises(AudioError):
        from_pcm(b"", 24_000, 1)
