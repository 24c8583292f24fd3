"""Long recordings to pieces that can be learned from: where somebody speaks, who it is, and turns in their order.

Speech is found by Silero's detector inside faster-whisper. Who speaks is known by the channel (telephone calls with one
speaker a channel) or by a diariser that the caller brings.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

import numpy as np
import soxr

from ..errors import BackendUnavailable, InputError
from ..timebase import RATE_HZ

DETECTOR_RATE_HZ = 16_000
LONGEST_SECONDS = 12.0
SHORTEST_SECONDS = 0.4
PAUSE_SECONDS = 0.5  # of silence inside a piece
EDGE_SECONDS = 0.1
TURN_GAP_SECONDS = 2.0  # a longer silence ends a dialogue
TURNS_PER_DIALOGUE = 6


@dataclass(frozen=True)
class Piece:
    """A stretch of one speaker's speech: seconds in the recording, and the sound itself (N,)."""

    voice: str
    start: float
    samples: np.ndarray

    @property
    def end(self) -> float:
        return self.start + len(self.samples) / RATE_HZ


@dataclass(frozen=True)
class Stretch:
    """From when to when a speaker speaks, in seconds, as a diariser says."""

    start: float
    end: float
    speaker: str


class Diariser(Protocol):
    """Tells who speaks when in a recording (N,) at 24 kHz. `pyannote.audio` behind a few lines is one."""

    def __call__(self, samples: np.ndarray, rate_hz: int) -> Sequence[Stretch]: ...


def diariser_of(name: str) -> Diariser:
    """The function that "package.module:function" names. Raises InputError if it isn't there."""
    module, _, function = name.partition(":")
    try:
        return cast(Diariser, getattr(importlib.import_module(module), function))
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(
            f"{name!r} is no diariser: {error}.", hint="Give package.module:function.", field="diariser"
        ) from error


def speech_stretches(samples: np.ndarray) -> list[tuple[float, float]]:
    """Where there is speech in (N,) at 24 kHz: (start, end) in seconds, none longer than 12 s."""
    try:
        from faster_whisper.vad import VadOptions, get_speech_timestamps
    except ImportError as error:
        raise BackendUnavailable("faster-whisper is not installed.", hint="pip install 'duologue[evaluate]'") from error
    narrow = soxr.resample(samples.astype(np.float32), RATE_HZ, DETECTOR_RATE_HZ)
    options: Any = VadOptions(
        min_speech_duration_ms=int(1000 * SHORTEST_SECONDS),
        max_speech_duration_s=LONGEST_SECONDS,
        min_silence_duration_ms=int(1000 * PAUSE_SECONDS),
        speech_pad_ms=int(1000 * EDGE_SECONDS),
    )
    found = get_speech_timestamps(narrow, options)
    return [(each["start"] / DETECTOR_RATE_HZ, each["end"] / DETECTOR_RATE_HZ) for each in found]


def pieces_of(samples: np.ndarray, voice: str, diariser: Diariser | None = None) -> list[Piece]:
    """Cut one channel (N,) into pieces of speech, by speaker if there is a diariser (voices `voice-SPEAKER`)."""
    if diariser is None:
        return [_piece(samples, voice, start, end) for start, end in speech_stretches(samples)]
    found = []
    for stretch in sorted(diariser(samples, RATE_HZ), key=lambda each: each.start):
        part = _piece(samples, voice, stretch.start, stretch.end)
        for start, end in speech_stretches(part.samples):
            piece = _piece(part.samples, f"{voice}-{stretch.speaker}", start, end)
            found.append(Piece(piece.voice, part.start + piece.start, piece.samples))
    return found


def _piece(samples: np.ndarray, voice: str, start: float, end: float) -> Piece:
    first, last = max(0, round(start * RATE_HZ)), round(end * RATE_HZ)
    return Piece(voice, first / RATE_HZ, samples[first:last])


def dialogues(pieces: Sequence[Piece]) -> list[list[Piece]]:
    """Pieces of all speakers in the order of their starts, as dialogues of at most six turns.

    A silence of two seconds between them ends a dialogue. Who speaks over another keeps his own piece: the channels, or
    the diariser, have parted them.
    """
    found: list[list[Piece]] = []
    until = 0.0
    for piece in sorted(pieces, key=lambda each: each.start):
        fresh = not found or len(found[-1]) >= TURNS_PER_DIALOGUE or piece.start - until > TURN_GAP_SECONDS
        found.append([piece]) if fresh else found[-1].append(piece)
        until = max(until, piece.end)
    return found
