"""A line made of files or of a program: the caller is a recording, what is played is kept. No sound device.

In real time a block leaves every 32 ms. In fast time blocks leave at once, and the line's clock stands still wherever
somebody on the line would have to wait: while a judgement is made and while an answer has no sound yet. So a fast run
takes the same decisions as a machine that thinks without delay, however busy this one is.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from os import PathLike
from typing import Protocol

import numpy as np
import soundfile

from ..audio import Samples, to_audio
from ..timebase import RATE_HZ
from .parts import Block
from .playback import Playback
from .vad import WINDOW_SAMPLES, WINDOW_SECONDS

TAIL_SECONDS = 5.0  # silence after the recording, in which the last turn can end
LONGEST_SECONDS = 3_600.0
POLL_SECONDS = 0.001


class Caller(Protocol):
    """Somebody at the other end."""

    def next(self, played: Samples) -> Samples | None:
        """The next (768,) samples, knowing what was played in the block before; None to hang up."""
        ...


class RecordedCaller:
    """A recording, then silence until nothing is left to answer."""

    def __init__(self, samples: Samples, tail_seconds: float = TAIL_SECONDS) -> None:
        tail = np.zeros(int(tail_seconds * RATE_HZ), np.float32)
        self._samples = np.concatenate([samples, tail])
        self._at = 0

    @classmethod
    def from_file(cls, path: str | PathLike[str]) -> RecordedCaller:
        """A recording in any container."""
        return cls(to_audio(path).samples)

    def next(self, played: Samples) -> Samples | None:
        block = self._samples[self._at : self._at + WINDOW_SAMPLES]
        self._at += WINDOW_SAMPLES
        if not len(block):
            return None
        return np.pad(block, (0, WINDOW_SAMPLES - len(block)))


class FileLine:
    """A line to a `Caller`. `heard` and `played` keep both sides of the call."""

    def __init__(self, caller: Caller, *, fast: bool = False) -> None:
        self.playback = Playback()
        self.deciding = 0
        self.answering = False
        self._caller, self._fast = caller, fast
        self._blocks: list[Block] = []
        self.times: list[float] = []  # by the line's clock, when each block was through
        self._began = time.monotonic()
        self._stood_still = 0.0
        self._stopped: float | None = None

    async def blocks(self) -> AsyncIterator[Block]:
        self._began = time.monotonic()
        played = np.zeros(WINDOW_SAMPLES, np.float32)
        while len(self._blocks) * WINDOW_SECONDS < LONGEST_SECONDS:
            await self._wait()
            heard = self._caller.next(played)
            if heard is None and not (self.answering or self.deciding or self.playback.queued):
                return
            played = self.playback.take(WINDOW_SAMPLES)
            block = Block(np.zeros(WINDOW_SAMPLES, np.float32) if heard is None else heard, played)
            self._blocks.append(block)
            self.times.append(self.now())
            yield block

    async def _wait(self) -> None:
        if not self._fast:
            due = self._began + (len(self._blocks) + 1) * WINDOW_SECONDS
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            return
        await asyncio.sleep(0)
        self._stopped = time.monotonic()
        while self.deciding or (self.answering and self.playback.queued < WINDOW_SAMPLES):
            await asyncio.sleep(POLL_SECONDS)
        self._stood_still += time.monotonic() - self._stopped
        self._stopped = None

    def now(self) -> float:
        """In fast time: the seconds on the line, and those that somebody would have had to wait."""
        if not self._fast:
            return time.monotonic() - self._began
        standing = 0.0 if self._stopped is None else time.monotonic() - self._stopped
        return len(self._blocks) * WINDOW_SECONDS + self._stood_still + standing

    @property
    def heard(self) -> Samples:
        """The caller's side, from the beginning."""
        return self._joined([block.heard for block in self._blocks])

    @property
    def played(self) -> Samples:
        """Our side, sample for sample beside it."""
        return self._joined([block.played for block in self._blocks])

    def save(self, path: str | PathLike[str]) -> None:
        """Write the call as stereo, the caller on the left. The ending chooses wav or flac."""
        soundfile.write(path, np.stack([self.heard, self.played], axis=1), RATE_HZ, subtype="PCM_16")

    def _joined(self, pieces: list[Samples]) -> Samples:
        return np.concatenate(pieces) if pieces else np.zeros(0, np.float32)
