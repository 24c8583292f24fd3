"""A mark in outgoing sound that a machine can find again: the hook, and one simple mark. Off unless a key is given.

NoiseTag adds noise of the speech's own spectrum, 30 dB below it, whose sequence follows from a secret key; the detector
looks for that sequence. It tells this server's speech from other sound and survives MP3 and Opus. It is no protection
against somebody who wants it gone: a change of tempo or pitch removes it, and it names nobody.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Protocol

import numpy as np

from ..audio import Samples
from ..timebase import FRAME_SAMPLES, RATE_HZ

PERIOD = RATE_HZ // 2  # samples after which the sequence repeats
LEVEL = 10 ** (-30 / 20)  # of the tag against the speech of the same 80 ms
SMOOTH_BINS = 9  # of 12.5 Hz: the tag follows formants, not harmonics
SILENCE = 1e-4  # rms below which nothing is added or looked at
FOUND = 6.0  # standard deviations; chance alone reaches 4 among the 12 000 places where the sequence can begin
MIN_SECONDS = 3.0


class Watermark(Protocol):
    """One stream of speech being marked."""

    def push(self, wav: Samples) -> Samples:
        """Take samples (N,), return as many, marked, without delay."""
        ...


NewWatermark = Callable[[], Watermark]


class NoiseTag:
    """The mark of one key, for one stream."""

    def __init__(self, key: str) -> None:
        self._sequence = _sequence(key)
        self._at = 0

    def push(self, wav: Samples) -> Samples:
        """Samples with the tag added; at most 80 ms share one spectrum."""
        pieces = [self._mark(wav[at : at + FRAME_SAMPLES]) for at in range(0, len(wav), FRAME_SAMPLES)]
        return np.concatenate(pieces) if pieces else wav

    def _mark(self, wav: Samples) -> Samples:
        places = (self._at + np.arange(len(wav))) % PERIOD
        self._at = (self._at + len(wav)) % PERIOD
        loudness = float(np.sqrt(np.mean(wav**2)))
        if loudness < SILENCE:
            return wav
        spectrum = _smooth(np.abs(np.fft.rfft(wav)))
        tag = np.fft.irfft(np.fft.rfft(self._sequence[places]) * spectrum, len(wav))
        tag *= LEVEL * loudness / (float(np.sqrt(np.mean(tag**2))) + 1e-12)
        return np.asarray(wav + tag, np.float32)


def find_tag(wav: Samples, key: str) -> float:
    """How clearly sound (N,) at 24 kHz carries the tag of a key, in standard deviations; beyond FOUND it does."""
    folded = np.zeros(PERIOD)
    for at in range(0, len(wav) - FRAME_SAMPLES + 1, FRAME_SAMPLES):
        block = wav[at : at + FRAME_SAMPLES]
        if np.sqrt(np.mean(block**2)) < SILENCE:
            continue
        spectrum = np.fft.rfft(block)
        white = np.fft.irfft(spectrum / (np.abs(spectrum) + 1e-9), FRAME_SAMPLES)
        np.add.at(folded, (at + np.arange(FRAME_SAMPLES)) % PERIOD, white)
    likeness = np.fft.irfft(np.fft.rfft(folded) * np.conj(np.fft.rfft(_sequence(key))), PERIOD)
    spread = float(likeness.std())
    return float(likeness.max()) / spread if spread else 0.0


def _sequence(key: str) -> np.ndarray:
    seed = int.from_bytes(hashlib.sha256(f"duologue noise tag\0{key}".encode()).digest()[:8], "big")
    return np.random.default_rng(seed).choice((-1.0, 1.0), PERIOD)


def _smooth(values: np.ndarray) -> np.ndarray:
    padded = np.pad(values, SMOOTH_BINS // 2, mode="edge")
    return np.convolve(padded, np.full(SMOOTH_BINS, 1 / SMOOTH_BINS), mode="valid")
