"""The pointer of aligned text: which unit is being spoken at each audio frame. Knows no network and no sound.

A turn has U text units. Frame t is spoken at unit pointer[t]; pointer[0] = 0, every move is 0..max_advance, and the
frame after the last one (the EOS) stands at the last unit. What the network sees of this are the *aligned columns* of
a grid row, which describe the frame that this row predicts:

    unit[p - before] … unit[p] … unit[p + after] | timing

Outside the turn a unit is `pad` (= text_vocab, one id beyond the vocabulary). The timing symbol tells the recent past:
    0                          the turn's first frame
    1 … max_advance            the pointer has just moved by that many units
    max_advance + 1 … + n      the n-th further frame on the same unit, n capped at max_dwell
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ..errors import InputError
from .config import AlignedText

FIRST_FRAME = 0


class Pointer:
    """Where a turn's speech stands in its text. Moves forward only, and never beyond the last unit."""

    def __init__(self, units: Sequence[int] | npt.NDArray[np.int64], config: AlignedText, pad: int) -> None:
        if len(units) == 0:
            raise InputError("Aligned text needs at least one unit.", field="text")
        self.config = config
        self.last = len(units) - 1
        self.unit = 0
        self.dwell = 0  # frames already spoken on this unit
        self._timing = FIRST_FRAME
        edges = (config.before, config.after)
        self._padded = np.pad(np.asarray(units, np.int64), edges, constant_values=pad)

    @property
    def at_end(self) -> bool:
        """Whether the last unit has been reached, so that the turn may end."""
        return self.unit == self.last

    def columns(self) -> npt.NDArray[np.int64]:
        """Aligned columns (window + 1,) for the row that predicts the frame at this pointer."""
        window = self._padded[self.unit : self.unit + self.config.window]
        return np.append(window, self._timing)

    def move(self, advance: int) -> int:
        """Go on to the next frame, `advance` units further (cut at the last unit). Returns the units really moved."""
        moved = min(max(int(advance), 0), self.config.max_advance, self.last - self.unit)
        self.dwell = 0 if moved else self.dwell + 1
        self.unit += moved
        self._timing = moved if moved else self.config.max_advance + min(self.dwell, self.config.max_dwell)
        return moved


def aligned_columns(
    units: Sequence[int] | npt.NDArray[np.int64], pointers: npt.NDArray[np.int64], config: AlignedText, pad: int
) -> npt.NDArray[np.int64]:
    """Aligned columns (T, window + 1) of a whole turn whose frames stand at `pointers` (T,).

    Raises InputError if the pointers don't start at 0, go back, jump too far or leave the text.
    """
    pointers = np.asarray(pointers, np.int64)
    moves = np.diff(pointers)
    if len(pointers) == 0 or pointers[0] != 0 or pointers[-1] >= len(units):
        raise InputError(f"Pointers should start at unit 0 and stay below {len(units)}.", field="pointers")
    if len(moves) and (moves.min() < 0 or moves.max() > config.max_advance):
        raise InputError(f"A pointer moves by 0 to {config.max_advance} units per frame.", field="pointers")
    pointer = Pointer(units, config, pad)
    columns = [pointer.columns()]
    for move in moves:
        pointer.move(int(move))
        columns.append(pointer.columns())
    return np.stack(columns)


def pointers_from_durations(
    durations: Sequence[int] | npt.NDArray[np.int64], frames: int, frame_samples: int, max_advance: int
) -> npt.NDArray[np.int64]:
    """Pointer (frames + 1,) of each frame and of the EOS after them, from each unit's duration in samples.

    A frame stands at the unit that sounds at its centre. Where speech is too fast for `max_advance` (or starts beyond
    unit 0), pointers are brought within reach: late at the start, early at the end. Raises InputError if the text has
    more units than so many frames can pass.
    """
    durations = np.asarray(durations, np.int64)
    last = len(durations) - 1
    if last < 0 or durations.min() < 0:
        raise InputError("Durations should be at least one, none negative.", field="durations")
    if last > frames * max_advance:
        raise InputError(f"{last + 1} units can't be passed in {frames} frames.", field="durations")
    centres = np.arange(frames) * frame_samples + frame_samples // 2
    sounding = np.searchsorted(np.cumsum(durations), centres, side="right")
    pointers = np.append(np.minimum(sounding, last), last)
    steps = np.arange(frames + 1) * max_advance
    soonest_end = last - steps[::-1]  # further back than this, the end is out of reach
    pointers = np.maximum(pointers, soonest_end)
    # p[t] <= p[t-1] + max_advance for all t, and p[0] = 0: the running minimum of p[t] - t * max_advance
    pointers[0] = 0
    return np.minimum.accumulate(pointers - steps) + steps
