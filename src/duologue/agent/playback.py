"""Sound that waits to be played, and how much of it was: the agent fills it, a sound device or a file empties it.

Thread-safe, because sound devices ask from threads of their own. Knows no device.
"""

from __future__ import annotations

import threading
from collections import deque

import numpy as np

from ..audio import Samples
from ..timebase import RATE_HZ, samples_to_seconds

DUCKED = 0.25  # -12 dB, while it isn't clear whether the other side wants the floor
FADE = RATE_HZ // 200  # 5 ms, so that a sudden end doesn't click


class Playback:
    """A queue of samples at 24 kHz that knows what the other side has heard of the answer that is being given."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[Samples] = deque()
        self._queued = 0
        self._heard = 0
        self._gain = self._target = 1.0
        self._held = False
        self._ending = np.zeros(0, np.float32)

    @property
    def queued(self) -> int:
        """Samples that wait."""
        return self._queued

    @property
    def heard_seconds(self) -> float:
        """How much of this answer was played."""
        return samples_to_seconds(self._heard)

    def begin(self) -> None:
        """Count anew: an answer begins."""
        with self._lock:
            self._heard = 0

    def play(self, samples: Samples) -> None:
        """Append samples (N,) to what waits."""
        with self._lock:
            self._waiting.append(samples)
            self._queued += len(samples)

    def duck(self, quiet: bool) -> None:
        """Play at a quarter of the level, or at full level again."""
        self._target = DUCKED if quiet else 1.0

    def hold(self, held: bool) -> None:
        """Let nothing out for a while; what waits goes on waiting."""
        self._held = held

    def flush(self) -> float:
        """Forget what waits, now, and be ready for the next answer. Returns the seconds that were heard of this one."""
        with self._lock:
            rest = self._pop(FADE)
            self._heard -= len(rest)
            self._ending = rest * np.linspace(self._gain, 0.0, len(rest), dtype=np.float32)
            if self._held or not self._heard:
                self._ending = self._ending[:0]
            self._waiting.clear()
            self._queued = 0
            self._gain, self._target, self._held = 1.0, 1.0, False
            return samples_to_seconds(self._heard)

    def take(self, count: int) -> Samples:
        """The next `count` samples to sound; silence where nothing waits."""
        with self._lock:
            out = np.zeros(count, np.float32)
            ending, self._ending = self._ending[:count], self._ending[count:]
            out[: len(ending)] = ending
            if self._held or len(ending):
                return out
            taken = self._pop(count)
            gain = np.full(len(taken), self._target, np.float32)
            ramp = min(FADE, len(gain))
            gain[:ramp] = np.linspace(self._gain, self._target, ramp, dtype=np.float32)
            out[: len(taken)] = taken * gain
            if len(taken):
                self._gain = self._target
            return out

    def _pop(self, count: int) -> Samples:
        """Take up to `count` samples off the queue; they count as heard."""
        pieces: list[Samples] = []
        while count and self._waiting:
            piece = self._waiting.popleft()
            if len(piece) > count:
                self._waiting.appendleft(piece[count:])
                piece = piece[:count]
            pieces.append(piece)
            count -= len(piece)
        taken = np.concatenate(pieces) if pieces else np.zeros(0, np.float32)
        self._queued -= len(taken)
        self._heard += len(taken)
        return taken
