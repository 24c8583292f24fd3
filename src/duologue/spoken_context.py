"""The past that a model speaks from: turns as rows in an engine's cache. Knows codes and ids, no words and no sound.

Voice prompts are pinned at the front. When the positions run out, the oldest half of the turns leaves at once and the
rest is read again, which costs one prefill every few turns instead of one every turn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .csm.config import CsmConfig
from .csm.frames import Segment, frames_left, lay_out
from .engine.base import Cache, Engine, FrameSampling
from .engine.generator import Limits, Utterance, begin
from .errors import ContextTooLong


@dataclass(frozen=True, eq=False)
class HeardTurn:
    """One turn of the past: who, which words, the ids that the model read for them, and the frames that spoke them."""

    speaker: int
    text: str
    segment: Segment
    own: bool = False  # spoken by this model
    accent: str = "american"
    planned_frames: int = 0  # of our own speech that was broken off: about how many all of its words would have taken

    @property
    def frames(self) -> int:
        return 0 if self.segment.codes is None else int(self.segment.codes.shape[1])


class SpokenContext:
    """A growing past over one engine cache."""

    def __init__(self, engine: Engine, pinned: Sequence[HeardTurn] = ()) -> None:
        self.engine = engine
        self.config: CsmConfig = engine.config
        self.turns: list[HeardTurn] = []
        self._pinned = tuple(pinned)
        self._cache: Cache = engine.new_cache()
        self._origin = 0
        for turn in self._pinned:
            self._read(turn)
        self._base = (self._cache.fork(), self._origin)
        self._starts: list[tuple[int, int]] = []  # (cache length, origin) before each turn

    def fork(self) -> SpokenContext:
        """A second past that starts as this one and shares nothing with its future."""
        twin = SpokenContext.__new__(SpokenContext)
        twin.engine, twin.config, twin._pinned, twin._base = self.engine, self.config, self._pinned, self._base
        twin.turns, twin._starts = list(self.turns), list(self._starts)
        twin._cache, twin._origin = self._cache.fork(), self._origin
        return twin

    @property
    def frames(self) -> int:
        """Frames of all turns, voice prompts included."""
        return sum(turn.frames for turn in (*self._pinned, *self.turns))

    def add(self, turn: HeardTurn) -> list[HeardTurn]:
        """Take in a whole turn; returns the turns that had to leave. Raises ContextTooLong if it can't fit alone."""
        dropped = self.make_room(len(turn.segment.text), turn.frames + 1)
        self._starts.append((self._cache.length, self._origin))
        self._read(turn)
        self.turns.append(turn)
        return dropped

    def make_room(self, ids: int, frames: int) -> list[HeardTurn]:
        """Drop the oldest turns until a turn of so many ids and frames fits; returns them."""
        dropped: list[HeardTurn] = []
        while not self._fits(ids, frames):
            if not self.turns:
                raise ContextTooLong(
                    f"{ids} units of text with {frames} frames don't fit behind the voice prompts: "
                    f"{self.frames_left(ids)} frames are free of {self.config.backbone.max_positions} positions.",
                    hint="Use shorter turns, a shorter voice prompt or a smaller max_seconds.",
                )
            leaving = max(1, len(self.turns) // 2)
            dropped += self.turns[:leaving]
            self._rebuild(self.turns[leaving:])
        return dropped

    def frames_left(self, ids: int) -> int:
        """Frames that a turn of so many ids could have now."""
        start = self._origin if self.config.positions == "parallel" else self._origin + ids
        if self._origin + ids > self.config.backbone.max_positions:
            return 0
        return frames_left(self.config, start)

    def begin(self, ids: np.ndarray, sampling: FrameSampling, limits: Limits) -> Utterance:
        """Start to speak a turn of these ids. End it by `keep` or `abandon`."""
        self._starts.append((self._cache.length, self._origin))
        grid = lay_out(self.config, [Segment(ids)], self._origin)
        try:
            return begin(self.engine, self._cache, grid, ids, sampling, limits)
        except BaseException:
            self.abandon()
            raise

    def keep(self, utterance: Utterance, turn: HeardTurn) -> None:
        """Close the turn that was spoken; it is part of the past from now on."""
        self._origin = utterance.close(self.engine)
        self.turns.append(turn)

    def abandon(self) -> None:
        """Forget the turn that was begun."""
        length, self._origin = self._starts.pop()
        self._cache.truncate(length)

    def replace_last(self, turn: HeardTurn) -> None:
        """Put another form of the last turn in its place."""
        self.turns.pop()
        self.abandon()
        self.add(turn)

    def remove_last(self) -> None:
        """Forget the last turn."""
        self.turns.pop()
        self.abandon()

    def _fits(self, ids: int, frames: int) -> bool:
        return frames < self.frames_left(ids) + 1

    def _read(self, turn: HeardTurn) -> None:
        grid = lay_out(self.config, [turn.segment], self._origin)
        if grid.positions.max() >= self.config.backbone.max_positions:
            raise ContextTooLong(
                f"A turn of {turn.frames} frames by speaker {turn.speaker} is beyond the model's "
                f"{self.config.backbone.max_positions} positions.",
                hint="Use shorter voice prompts or turns.",
            )
        self.engine.prefill(self._cache, grid.rows, grid.positions)
        self._origin = grid.next_origin

    def _rebuild(self, turns: list[HeardTurn]) -> None:
        base, self._origin = self._base
        self._cache = base.fork()
        self.turns, self._starts = [], []
        for turn in turns:
            self._starts.append((self._cache.length, self._origin))
            self._read(turn)
            self.turns.append(turn)
