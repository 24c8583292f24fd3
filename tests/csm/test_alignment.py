"""The pointer: where it may go, what a row shows of it, and how durations become pointers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from duologue.csm.alignment import Pointer, aligned_columns, pointers_from_durations
from duologue.csm.config import AlignedText
from duologue.errors import InputError

WAYS = AlignedText(before=1, after=2, max_advance=3, max_dwell=2)
PAD = 99


def test_the_window_shows_the_units_around_the_pointer() -> None:
    pointer = Pointer([10, 11, 12], WAYS, PAD)
    assert pointer.columns().tolist() == [PAD, 10, 11, 12, 0]
    pointer.move(2)
    assert pointer.columns()[:-1].tolist() == [11, 12, PAD, PAD]


def test_timing_tells_the_first_frame_then_moves_then_dwelling() -> None:
    pointer = Pointer(range(9), WAYS, PAD)
    timings = [int(pointer.columns()[-1])]
    for move in (0, 0, 0, 2, 0, 1, 3):
        pointer.move(move)
        timings.append(int(pointer.columns()[-1]))
    assert timings == [0, 4, 5, 5, 2, 4, 1, 3]
    assert max(timings) < WAYS.timings


def test_the_pointer_never_passes_the_last_unit() -> None:
    pointer = Pointer([1, 2], WAYS, PAD)
    assert pointer.move(3) == 1
    assert pointer.at_end
    assert pointer.move(3) == 0
    assert pointer.columns()[-1] == WAYS.max_advance + 1  # a move that goes nowhere is dwelling


@given(st.lists(st.integers(0, 4000), min_size=1, max_size=40), st.integers(1, 60))
def test_pointers_start_at_zero_end_at_the_last_unit_and_never_jump(durations: list[int], frames: int) -> None:
    assume(len(durations) - 1 <= frames * 3)
    pointers = pointers_from_durations(durations, frames, 1920, 3)
    moves = np.diff(pointers)
    assert len(pointers) == frames + 1
    assert pointers[0] == 0
    assert pointers[-1] == len(durations) - 1
    assert moves.min() >= 0
    assert moves.max() <= 3


def test_a_frame_stands_at_the_unit_that_sounds_at_its_centre() -> None:
    # centres at 960, 2880, 4800, 6720; units sound until 2000, 2500, 5000, 9000
    assert pointers_from_durations([2000, 500, 2500, 4000], 4, 1920, 3).tolist() == [0, 2, 2, 3, 3]


def test_durations_longer_than_the_frames_hurry_at_the_end() -> None:
    assert pointers_from_durations([4000] * 20, 10, 1920, 3).tolist() == [0, 0, 1, 1, 2, 4, 7, 10, 13, 16, 19]


def test_speech_faster_than_the_pointer_is_caught_up_with() -> None:
    assert pointers_from_durations([100] * 12 + [9000], 7, 1920, 3).tolist() == [0, 3, 6, 9, 12, 12, 12, 12]


def test_text_too_long_for_its_frames_is_refused() -> None:
    with pytest.raises(InputError, match="can't be passed"):
        pointers_from_durations([100] * 8, 2, 1920, 3)


@given(st.lists(st.integers(0, 3), max_size=30), st.integers(1, 12))
def test_columns_of_a_whole_turn_equal_those_step_by_step(moves: list[int], units: int) -> None:
    pointer = Pointer(range(units), WAYS, PAD)
    steps, places = [pointer.columns()], [0]
    for move in moves:
        pointer.move(move)
        steps.append(pointer.columns())
        places.append(pointer.unit)
    assert np.array_equal(aligned_columns(range(units), np.array(places), WAYS, PAD), np.stack(steps))


@pytest.mark.parametrize("pointers", [[], [1, 2], [0, 4], [0, 1, 0], [0, 1, 9]])
def test_impossible_pointers_are_refused(pointers: list[int]) -> None:
    with pytest.raises(InputError):
        aligned_columns(range(8), np.array(pointers, np.int64), WAYS, PAD)
