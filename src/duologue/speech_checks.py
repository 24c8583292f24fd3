"""Does this speech hold what it should? Finds empty, silent, cut, looping and endless output. Knows no network.

A text says how long its speech can be: English is spoken at 10 to 20 letters a second; beyond a wide margin around
that, something went wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .audio import Samples, is_silent, level_dbfs
from .errors import CutSpeech, EmptySpeech, Runaway
from .timebase import FRAMES_PER_SECOND, RATE_HZ, samples_to_seconds

FASTEST_LETTERS_PER_SECOND, SLOWEST_LETTERS_PER_SECOND = 32.0, 5.0
USUAL_LETTERS_PER_SECOND = 13.0  # a LibriVox reader, over five sentences
SPARE_SECONDS, PAUSE_SECONDS = 2.0, 0.5  # silence that a turn, and each mark in it, may add
PAUSES = frozenset(",;:.!?…—")
LONGEST_SILENCE_SECONDS = 2.5
SILENCE_BELOW_SPEECH_DB = 40.0
SAME_FRAME_LIMIT = 25  # 2 s of one frame again and again
LONGEST_PERIOD, MIN_PERIODS, MIN_LOOP_FRAMES = 25, 4, 38


@dataclass(frozen=True)
class Expectation:
    """How long the speech of a text can be, in seconds."""

    shortest: float
    longest: float
    usual: float = 0.0

    @classmethod
    def of_text(cls, text: str) -> Expectation:
        """From the letters and marks of a text that is already written as it is spoken."""
        letters = sum(character.isalnum() for character in text)
        pauses = sum(character in PAUSES for character in text)
        longest = letters / SLOWEST_LETTERS_PER_SECOND + pauses * PAUSE_SECONDS + SPARE_SECONDS
        shortest = max(0.0, letters / FASTEST_LETTERS_PER_SECOND - 0.25)
        return cls(shortest, longest, letters / USUAL_LETTERS_PER_SECOND)

    @property
    def usual_frames(self) -> int:
        """Frames that the text takes at a usual pace."""
        return int(np.ceil(self.usual * FRAMES_PER_SECOND))

    @property
    def max_frames(self) -> int:
        """Frames after which speech of this text is endless."""
        return int(np.ceil(self.longest * FRAMES_PER_SECOND))


class LoopWatch:
    """Hears frame after frame and tells when they go round in circles."""

    def __init__(self) -> None:
        self._first: list[int] = []  # codebook 0
        self._same = 0
        self._last: bytes = b""

    def push(self, codes: npt.NDArray[np.int64]) -> None:
        """Take in one frame (K,). Raises Runaway once the last seconds only repeat."""
        frame = codes.tobytes()
        self._same = self._same + 1 if frame == self._last else 1
        self._last = frame
        self._first.append(int(codes[0]))
        if self._same >= SAME_FRAME_LIMIT:
            raise Runaway(f"The speech stuck: {self._same} equal frames.", hint=RETRY_HINT)
        period = _period(self._first)
        if period:
            raise Runaway(f"The speech loops every {period / FRAMES_PER_SECOND:.2f} s.", hint=RETRY_HINT)


RETRY_HINT = "Another seed, a lower temperature or a voice prompt often helps."


def _period(codes: Sequence[int]) -> int:
    """Length of the pattern that fills the last frames at least four times; 0 if there is none or it is constant."""
    for period in range(2, LONGEST_PERIOD + 1):
        frames = max(MIN_PERIODS * period, MIN_LOOP_FRAMES)
        tail = codes[-frames:]
        if len(codes) >= frames and tail[period:] == tail[:-period] and len(set(tail)) > 1:
            return period
    return 0


def check_speech(text: str, samples: Samples, *, ended: bool, limited: bool, expected: Expectation) -> None:
    """Raise EmptySpeech, CutSpeech or Runaway unless samples (N,) can be the speech of `text`.

    `ended` says that the model stopped by itself; `limited` that the caller's own limit was what stopped it.
    """
    seconds = samples_to_seconds(len(samples))
    if len(samples) == 0:
        raise EmptySpeech(f"Nothing was spoken for {_quoted(text)}.", hint=RETRY_HINT)
    if is_silent(samples):
        raise EmptySpeech(f"{seconds:.1f} s of silence were spoken for {_quoted(text)}.", hint=RETRY_HINT)
    if limited:
        return
    if not ended:
        raise Runaway(f"The speech of {_quoted(text)} did not end within {seconds:.1f} s.", hint=RETRY_HINT)
    if seconds < expected.shortest:
        raise CutSpeech(f"The speech of {_quoted(text)} ended after only {seconds:.2f} s.", hint=RETRY_HINT)
    silence = longest_silence(samples)
    if silence > LONGEST_SILENCE_SECONDS:
        raise Runaway(f"The speech of {_quoted(text)} fell silent for {silence:.1f} s.", hint=RETRY_HINT)


def longest_silence(samples: Samples) -> float:
    """Seconds of the longest stretch 40 dB below the speech around it."""
    block = RATE_HZ // 50
    blocks = samples[: len(samples) // block * block].reshape(-1, block)
    power = np.mean(np.square(blocks, dtype=np.float64), axis=1)
    quiet = power < 10 ** ((level_dbfs(samples) - SILENCE_BELOW_SPEECH_DB) / 10)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], quiet.astype(np.int8), [0]])))
    runs = edges[1::2] - edges[::2]
    return float(runs.max()) * block / RATE_HZ if len(runs) else 0.0


def _quoted(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:39] + "…")
