"""Which turns train together, and when: whole conversations and single turns, packed by length, short ones first.

A plan follows from (seed, epoch, phase) alone, so a resumed run sees the same batches. Knows lengths, no codes.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import InputError

SORT_WINDOW = 24  # batches' worth of stretches that are sorted by length together


@dataclass(frozen=True)
class Phase:
    """A stretch of the curriculum: until this fraction of the run, sequences of at most so many frames."""

    until: float
    max_frames: int
    single_share: float = 0.35  # conversations taken apart into turns without context


@dataclass(frozen=True)
class Stretch:
    """Consecutive turns first..last-1 of an item, trained as one sequence."""

    item: int
    first: int
    last: int
    frames: int


@dataclass
class Cursor:
    """Place in the data: plain numbers that go into a checkpoint."""

    epoch: int = 0
    batch: int = 0
    phase: int = 0


class BatchPlan:
    """Endless batches over items given as the frame counts of their turns."""

    def __init__(
        self, turn_frames: Sequence[Sequence[int]], phases: Sequence[Phase], frames_per_batch: int, seed: int
    ) -> None:
        self.turn_frames = turn_frames
        self.phases = phases
        self.frames_per_batch = frames_per_batch
        self.seed = seed
        self._planned: tuple[int, int] | None = None
        self._batches: list[list[Stretch]] = []

    def next(self, cursor: Cursor, progress: float) -> list[Stretch]:
        """The batch at `cursor`, which then moves on. A new phase (by `progress` in 0..1) starts a new epoch."""
        phase = next((i for i, p in enumerate(self.phases) if progress < p.until), len(self.phases) - 1)
        if phase > cursor.phase:
            cursor.epoch, cursor.batch, cursor.phase = cursor.epoch + (cursor.batch > 0), 0, phase
        batches = self._epoch(cursor)
        if cursor.batch >= len(batches):
            cursor.epoch, cursor.batch = cursor.epoch + 1, 0
            batches = self._epoch(cursor)
        if not batches:
            limit = self.phases[cursor.phase].max_frames
            raise InputError(f"No turn is as short as {limit} frames.", hint="Raise max_frames.", field="phases")
        cursor.batch += 1
        return batches[cursor.batch - 1]

    def _epoch(self, cursor: Cursor) -> list[list[Stretch]]:
        if self._planned != (cursor.epoch, cursor.phase):
            rng = random.Random(f"{self.seed} {cursor.epoch} {cursor.phase}")
            stretches = self._stretches(self.phases[cursor.phase], rng)
            self._batches = pack(stretches, self.frames_per_batch, rng)
            self._planned = (cursor.epoch, cursor.phase)
        return self._batches

    def _stretches(self, phase: Phase, rng: random.Random) -> list[Stretch]:
        found = []
        for item, frames in enumerate(self.turn_frames):
            single = rng.random() < phase.single_share
            first = 0
            while first < len(frames):
                last, total = first + 1, frames[first]
                while not single and last < len(frames) and total + frames[last] <= phase.max_frames:
                    total += frames[last]
                    last += 1
                if total <= phase.max_frames:
                    found.append(Stretch(item, first, last, total))
                first = last
        return found


def pack(stretches: list[Stretch], frames_per_batch: int, rng: random.Random) -> list[list[Stretch]]:
    """Shuffle, sort by length within windows, cut into batches of about `frames_per_batch` frames, shuffle these."""
    rng.shuffle(stretches)
    total = sum(stretch.frames for stretch in stretches)
    per_window = max(1, round(SORT_WINDOW * len(stretches) * frames_per_batch / max(1, total)))
    batches: list[list[Stretch]] = []
    for start in range(0, len(stretches), per_window):
        held = 0
        batch: list[Stretch] = []
        for stretch in sorted(stretches[start : start + per_window], key=lambda each: each.frames):
            if batch and held + stretch.frames > frames_per_batch:
                batches.append(batch)
                batch, held = [], 0
            batch.append(stretch)
            held += stretch.frames
        if batch:
            batches.append(batch)
    rng.shuffle(batches)
    return batches
