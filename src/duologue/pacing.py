"""How many drawn frames wait for each other before they are decoded together. Knows a clock, and no sound.

A codec that decodes four frames in one call is a third to a half cheaper a frame than one by one: its weights are read
once. The first frame of a speech never waits. After it, a frame may wait as long as the listener, who began to play
when the first one left, has more sound in hand than the next frame will take; nobody hears the difference, since the
codec's samples are the same however they are cut.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from .timebase import FRAMES_PER_SECOND

MOST_FRAMES = 4  # per call, while somebody listens
MOST_UNHEARD_FRAMES = 8  # when nobody does; more hardly gain
LONGEST_WAIT_SECONDS = 0.2  # of a drawn frame, so that an interruption finds little that nobody has heard
CAUTION = 2.0  # frames may take so many times as long as they usually do
SPARE_SECONDS = 0.02
FORGETTING = 0.7  # of a slow frame's time, with each frame after it


class Pace:
    """Decides, frame by frame, whether to decode what is there."""

    def __init__(self, live: bool, together: bool, clock: Callable[[], float] = time.perf_counter) -> None:
        """`live`: somebody listens while it is spoken, else only the number of frames counts; `together`: the codec's
        samples don't depend on how its frames are cut, else none waits."""
        most = MOST_FRAMES if live else MOST_UNHEARD_FRAMES
        self._live, self._most, self._clock = live, most if together else 1, clock
        self._began: float | None = None  # the listener's start
        self._left = 0  # frames that left
        self._since = clock()  # the drawing of the next frame began
        self._oldest = 0.0  # when the first of the waiting frames was drawn
        self._drawing = self._decoding = 0.0  # usual seconds of a frame

    def ready(self, waiting: int) -> bool:
        """Called after each drawn frame, with the number that now wait: decode them?"""
        now = self._clock()
        self._drawing = max(now - self._since, FORGETTING * self._drawing)
        self._since = now
        if waiting == 1:
            self._oldest = now
        first = self._live and self._began is None
        return first or waiting >= self._most or (self._live and not self._can_wait(waiting, now))

    def leave(self, frames: int) -> None:
        """So many frames were decoded and are about to leave."""
        now = self._clock()
        self._began = now if self._began is None else self._began
        self._decoding = max((now - self._since) / frames, FORGETTING * self._decoding)
        self._left += frames

    def resume(self) -> None:
        """They left; drawing goes on."""
        self._since = self._clock()

    def _can_wait(self, waiting: int, now: float) -> bool:
        assert self._began is not None
        in_hand = self._left / FRAMES_PER_SECOND - (now - self._began)
        next_one = self._drawing + self._decoding * (waiting + 1)
        return (
            CAUTION * next_one + SPARE_SECONDS < in_hand and now + self._drawing - self._oldest < LONGEST_WAIT_SECONDS
        )
