"""Callers for measurements: one waits for each answer, one speaks into it, and a room gives the voice back."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..audio import Samples
from ..timebase import RATE_HZ

PAUSE_SECONDS = 1.0  # after an answer, before the next sentence
PATIENCE_SECONDS = 15.0  # without an answer
PAUSES_WITHIN_SECONDS = 1.2  # silence within an answer, up to which it isn't taken for its end


class PatientCaller:
    """Says one sentence after the other and hears each answer to its end. `said` notes where each one ended."""

    def __init__(self, sentences: Sequence[Samples]) -> None:
        self._waiting = list(sentences)
        self._speaking = np.zeros(int(PAUSE_SECONDS * RATE_HZ), np.float32)
        self._at = 0  # samples on the line
        self._quiet = 0.0
        self._answered = True
        self.said: list[int] = []  # the sample after each sentence's last one

    def next(self, played: Samples) -> Samples | None:
        """The next block."""
        count = len(played)
        seconds = count / RATE_HZ
        sounding = bool(np.any(played))
        self._answered = self._answered or sounding
        self._quiet = 0.0 if sounding else self._quiet + seconds
        if not len(self._speaking) and self._is_over():
            if not self._waiting:
                return None
            sentence = self._waiting.pop(0)
            self._speaking, self._answered, self._quiet = sentence, False, 0.0
            self.said.append(self._at + len(sentence))
        block, self._speaking = self._speaking[:count], self._speaking[count:]
        if len(self._speaking):
            self._quiet = 0.0
        self._at += count
        return np.pad(block, (0, count - len(block)))

    def _is_over(self) -> bool:
        return self._quiet > (PAUSE_SECONDS + PAUSES_WITHIN_SECONDS if self._answered else PATIENCE_SECONDS)


class InterjectingCaller:
    """Says one sentence, then something into the answer once that has sounded for a while, then nothing."""

    def __init__(
        self, sentence: Samples, interjection: Samples, after_seconds: float, room: Room | None = None
    ) -> None:
        self._speaking = np.concatenate([np.zeros(RATE_HZ // 2, np.float32), sentence])
        self._interjection: Samples | None = interjection
        self._after = after_seconds
        self._room = room
        self._sounded = self._quiet = 0.0
        self._at = 0
        self.interjected_at: int | None = None  # its first sample on the line

    def next(self, played: Samples) -> Samples | None:
        """The next block."""
        count = len(played)
        sounding = bool(np.any(played))
        self._sounded += count / RATE_HZ if sounding else 0.0
        self._quiet = 0.0 if sounding or len(self._speaking) else self._quiet + count / RATE_HZ
        if self._interjection is not None and self._sounded >= self._after:
            self._speaking, self._interjection = self._interjection, None
            self.interjected_at = self._at
        if self._quiet > (2.0 if self._sounded else PATIENCE_SECONDS):
            return None
        block, self._speaking = self._speaking[:count], self._speaking[count:]
        block = np.pad(block, (0, count - len(block)))
        self._at += count
        return block if self._room is None else (block + self._room.step(played)).astype(np.float32)


class Room:
    """A loudspeaker and a microphone in one room: delay, level and some reflections that die away."""

    def __init__(self, delay_seconds: float, level: float, seed: int = 3) -> None:
        draw = np.random.default_rng(seed)
        tail = draw.standard_normal(int(0.2 * RATE_HZ)) * np.exp(-np.linspace(0, 6, int(0.2 * RATE_HZ))) * 0.06
        tail[0] = 1.0
        self._response = np.concatenate([np.zeros(int(delay_seconds * RATE_HZ)), tail]) * level
        self._carried = np.zeros(0)

    def step(self, played: Samples) -> np.ndarray:
        """What the microphone hears of what the loudspeaker played, block by block."""
        size = len(played) + len(self._response) - 1
        length = 1 << (size - 1).bit_length()
        sound = np.fft.irfft(np.fft.rfft(played, length) * np.fft.rfft(self._response, length), length)[:size]
        sound[: len(self._carried)] += self._carried
        self._carried = sound[len(played) :]
        return np.asarray(sound[: len(played)])
