"""The grid: what stands in which row, at which position, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from duologue.csm.frames import (
    INACTIVE,
    Segment,
    check_budget,
    eos_row,
    frames_left,
    is_eos,
    lay_out,
)
from duologue.errors import ContextTooLong, InputError
from tests.csm.sizes import ALIGNED, BOTH, PLAIN, dialogue, turn

SIZES = st.lists(st.tuples(st.integers(2, 9), st.integers(3, 9)), min_size=1, max_size=4)


def test_a_prompt_is_text_audio_eos_for_each_turn_then_text() -> None:
    first, second = turn(PLAIN, 3, 2), turn(PLAIN, 4, None, seed=1)
    rows = lay_out(PLAIN, [first, second]).rows
    assert rows.shape == (3 + 2 + 1 + 4, 5)
    assert rows[:3, 4].tolist() == first.text.tolist()
    assert (rows[:3, :4] == INACTIVE).all()
    assert first.codes is not None
    assert rows[3:5, :4].T.tolist() == first.codes.tolist()
    assert rows[5].tolist() == [0, 0, 0, 0, INACTIVE]
    assert rows[6:, 4].tolist() == second.text.tolist()
    assert (rows[3:6, 4] == INACTIVE).all()


def test_an_eos_frame_is_recognised_only_if_every_codebook_says_so() -> None:
    assert is_eos(PLAIN, np.zeros(4, np.int64))
    assert not is_eos(PLAIN, np.array([0, 0, 0, 1]))
    assert is_eos(ALIGNED, np.array([32, 7, 7, 7]))
    assert not is_eos(ALIGNED, np.zeros(4, np.int64))
    for config in BOTH:
        assert is_eos(config, eos_row(config)[:4])


@given(SIZES)
def test_sequential_positions_count_rows(sizes: list[tuple[int, int]]) -> None:
    grid = lay_out(PLAIN, dialogue(PLAIN, sizes), origin=5)
    assert grid.positions.tolist() == list(range(5, 5 + len(grid.rows)))
    assert grid.next_origin == 5 + len(grid.rows)


@given(SIZES)
def test_parallel_positions_restart_at_each_turns_origin(sizes: list[tuple[int, int]]) -> None:
    segments = [Segment(s.text, s.codes) for s in dialogue(ALIGNED, sizes)]
    grid = lay_out(ALIGNED, segments)
    wanted, origin = [], 0
    for units, frames in sizes:
        wanted += [*range(origin, origin + units), *range(origin, origin + frames + 1)]
        origin += max(units, frames + 1)
    assert grid.positions.tolist() == wanted
    assert grid.next_origin == origin


@given(SIZES)
def test_turns_laid_out_one_by_one_equal_the_whole(sizes: list[tuple[int, int]]) -> None:
    for config in BOTH:
        segments = [Segment(s.text, s.codes) for s in dialogue(config, sizes)]
        whole = lay_out(config, segments)
        origin, rows, positions = 0, [], []
        for segment in segments:
            part = lay_out(config, [segment], origin)
            rows.append(part.rows)
            positions.append(part.positions)
            origin = part.next_origin
        assert np.array_equal(np.concatenate(rows), whole.rows)
        assert np.array_equal(np.concatenate(positions), whole.positions)


def test_rows_that_predict_frames_are_the_last_text_row_and_every_audio_row() -> None:
    segments = [turn(PLAIN, 3, 2), turn(PLAIN, 2, 3, seed=1, trained=False), turn(PLAIN, 4, 1, seed=2)]
    grid = lay_out(PLAIN, segments)
    first = [False, False, True, True, True, False]
    second = [False] * 6
    third = [False, False, False, True, True, False]
    assert grid.trained.tolist() == first + second + third


def test_aligned_columns_stand_on_the_rows_that_predict() -> None:
    segment = turn(ALIGNED, 4, 3)
    assert segment.pointers is not None
    grid = lay_out(ALIGNED, [segment])
    columns = grid.rows[:, 5:]
    assert (columns[:3] == INACTIVE).all()  # text rows before the last
    assert (columns[-1] == INACTIVE).all()  # the EOS row predicts nothing
    centre = columns[3:7, 1]  # one unit before, then the unit itself
    assert centre.tolist() == segment.text[segment.pointers].tolist()
    assert grid.advance[3:6].tolist() == np.diff(segment.pointers).tolist()
    assert (np.delete(grid.advance, [3, 4, 5]) == INACTIVE).all()


def test_audio_that_goes_on_has_no_eos_row() -> None:
    whole = turn(PLAIN, 3, 4)
    grid = lay_out(PLAIN, [replace(whole, ended=False)])
    assert len(grid.rows) == 7
    assert grid.trained.tolist() == [False, False, True, True, True, True, False]


def test_budget_leaves_room_for_the_frames_and_their_eos() -> None:
    grid = lay_out(PLAIN, [turn(PLAIN, 28, None)])
    assert frames_left(PLAIN, grid.audio_position) == 99
    check_budget(PLAIN, grid, 99)
    with pytest.raises(ContextTooLong):
        check_budget(PLAIN, grid, 100)
    assert frames_left(PLAIN, 500) == 0


@pytest.mark.parametrize(
    "segment",
    [
        Segment(np.array([], np.int64)),
        Segment(np.array([50])),
        Segment(np.array([-1])),
        Segment(np.array([1]), np.zeros((3, 2), np.int64)),
        Segment(np.array([1]), np.full((4, 2), 35)),
    ],
)
def test_ids_and_codes_beyond_the_model_are_refused(segment: Segment) -> None:
    with pytest.raises(InputError):
        lay_out(PLAIN, [segment])


def test_pointers_must_fit_frames() -> None:
    segment = turn(ALIGNED, 4, 3)
    assert segment.pointers is not None
    with pytest.raises(InputError, match="want 4 pointers"):
        lay_out(ALIGNED, [replace(segment, pointers=segment.pointers[:-1])])
