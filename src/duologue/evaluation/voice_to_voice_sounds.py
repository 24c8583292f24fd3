"""The sounds of the voice-to-voice measurement: sentences to answer, and what callers do into an answer, with labels.

Speech comes from two recordings of the repository; coughs, knocks and the like are made here from noise, by a seed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..audio import Samples, resample, to_audio
from ..timebase import RATE_HZ

SENTENCES = ((0.1, 7.0), (7.25, 10.1), (10.25, 15.35), (15.56, 21.4), (21.55, 24.7))  # in the recording, seconds
RATES = (1.0, 0.92, 1.08, 1.15)  # how fast and high each one is said
LEVEL = 0.1  # RMS of speech


@dataclass(frozen=True, eq=False)
class Interjection:
    """Sound into an answer. `meant` says whether the caller wants the floor."""

    kind: str
    name: str
    samples: Samples
    meant: bool


def sentences(recording: Path, count: int) -> list[Samples]:
    """Different sayings of the recording's sentences, each cut at its last sound."""
    whole = to_audio(recording).samples
    said = []
    for number in range(count):
        start, end = SENTENCES[number % len(SENTENCES)]
        rate = RATES[number // len(SENTENCES) % len(RATES)]
        clip = resample(whole[int(start * RATE_HZ) : int(end * RATE_HZ)], round(RATE_HZ * rate), RATE_HZ)
        said.append(clip[: last_sound(clip)])
    return said


def last_sound(samples: Samples) -> int:
    """The sample after which nothing is above a hundredth of the peak for good."""
    return int(np.flatnonzero(np.abs(samples) > 0.02 * np.abs(samples).max())[-1]) + 1


def interjections(recording: Path, listed: Path) -> Iterator[Interjection]:
    """What callers say into an answer, with labels."""
    spoken = to_audio(recording).samples
    for label in json.loads(listed.read_text(encoding="utf-8")):
        clip = spoken[label["start"] : label["start"] + label["samples"]]
        name = f"{label['words']} ({label['voice']})"
        yield Interjection(label["kind"], name, clip, label["kind"] == "interruption")


def noises() -> Iterator[Interjection]:
    """What else comes over a line."""
    for name, noise in _noises():
        yield Interjection("noise", name, noise.astype(np.float32), False)


def _noises() -> Iterator[tuple[str, np.ndarray]]:
    draw = np.random.default_rng(5)
    for number in range(3):
        bursts = [
            _decaying(draw, 0.18 + 0.05 * number, 300, 3_000),
            np.zeros(RATE_HZ // 10),
            _decaying(draw, 0.25, 300, 2_500),
        ]
        yield f"cough {number}", np.concatenate(bursts)
    knock = np.concatenate([_decaying(draw, 0.06, 80, 900), np.zeros(RATE_HZ // 6)])
    yield "three knocks", np.tile(knock, 3)
    click = np.concatenate([_decaying(draw, 0.015, 1_500, 8_000), np.zeros(RATE_HZ // 8)])
    yield "typing", np.tile(click, 12) * 0.6
    yield "hiss", 0.03 * draw.standard_normal(2 * RATE_HZ)
    yield "hum", 0.1 * np.sin(2 * np.pi * 120 * np.arange(2 * RATE_HZ) / RATE_HZ)
    yield "sneeze", np.concatenate([_decaying(draw, 0.1, 500, 2_000), _decaying(draw, 0.5, 1_000, 7_000)])


def _decaying(draw: np.random.Generator, seconds: float, low_hz: int, high_hz: int) -> np.ndarray:
    """A burst of noise in one band that dies away."""
    count = int(seconds * RATE_HZ)
    spectrum = np.fft.rfft(draw.standard_normal(count))
    frequencies = np.fft.rfftfreq(count, 1 / RATE_HZ)
    spectrum[(frequencies < low_hz) | (frequencies > high_hz)] = 0
    burst = np.fft.irfft(spectrum, count) * np.exp(-np.linspace(0, 5, count))
    return np.asarray(burst / np.abs(burst).max() * 0.5)
