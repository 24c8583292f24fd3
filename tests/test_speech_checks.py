"""What a listener would call broken is found: nothing, silence, cut, loops, endlessness, holes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from duologue.errors import CutSpeech, EmptySpeech, Runaway
from duologue.speech_checks import Expectation, LoopWatch, check_speech, longest_silence

from .tiny import speech_like

TEXT = "The quick brown fox jumps over the lazy dog near the river bank."


def check(samples: np.ndarray, *, ended: bool = True, limited: bool = False) -> None:
    check_speech(TEXT, samples, ended=ended, limited=limited, expected=Expectation.of_text(TEXT))


def test_speech_of_a_plausible_length_passes() -> None:
    check(speech_like(4.0))


def test_each_fault_has_its_error() -> None:
    with pytest.raises(EmptySpeech, match="Nothing"):
        check(np.zeros(0, np.float32))
    with pytest.raises(EmptySpeech, match="silence"):
        check(np.zeros(96_000, np.float32))
    with pytest.raises(CutSpeech, match="after only"):
        check(speech_like(0.5))
    with pytest.raises(Runaway, match="did not end"):
        check(speech_like(20.0), ended=False)
    with pytest.raises(Runaway, match="fell silent for 3"):
        check(np.concatenate([speech_like(2.0), np.zeros(72_000, np.float32), speech_like(1.0)]))


def test_a_limit_that_the_caller_set_is_no_fault_but_silence_still_is() -> None:
    check(speech_like(0.5), ended=False, limited=True)
    with pytest.raises(EmptySpeech):
        check(np.zeros(12_000, np.float32), ended=False, limited=True)


@given(st.text(alphabet="abc ,.?", min_size=1, max_size=300))
def test_expectations_leave_room_and_grow_with_the_text(text: str) -> None:
    expected, longer = Expectation.of_text(text), Expectation.of_text(text + "abcdefgh.")
    assert 0 <= expected.shortest < expected.longest
    assert longer.longest > expected.longest and longer.shortest >= expected.shortest
    letters = sum(character.isalnum() for character in text)
    assert expected.shortest <= letters / 15 <= expected.longest  # an ordinary pace always passes


def watch(frames: np.ndarray) -> int:
    """Frames taken in before the watch gave the alarm, -1 for none."""
    watcher = LoopWatch()
    for index, frame in enumerate(frames):
        try:
            watcher.push(frame)
        except Runaway:
            return index
    return -1


@given(st.integers(2, 25), st.integers(0, 2**32 - 1))
def test_any_loop_up_to_two_seconds_is_found_soon(period: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    start, pattern = rng.integers(0, 1000, (20, 4)), rng.integers(0, 1000, (period, 4))
    found = watch(np.concatenate([start, np.tile(pattern, (50, 1))]))
    assert 0 <= found <= 20 + max(4 * period, 38) + 1


def test_a_stuck_frame_is_found_after_two_seconds() -> None:
    assert watch(np.ones((60, 4), np.int64)) == 24


@given(st.integers(0, 2**32 - 1))
def test_varied_speech_gives_no_alarm(seed: int) -> None:
    assert watch(np.random.default_rng(seed).integers(0, 50, (300, 4))) == -1


def test_a_word_said_three_times_gives_no_alarm() -> None:
    rng = np.random.default_rng(0)
    word = rng.integers(0, 1000, (6, 4))
    assert (
        watch(np.concatenate([rng.integers(0, 1000, (30, 4)), word, word, word, rng.integers(0, 1000, (30, 4))])) == -1
    )


def test_the_longest_silence_is_measured() -> None:
    samples = np.concatenate([speech_like(1.0), np.zeros(24_000, np.float32), speech_like(1.0)])
    assert abs(longest_silence(samples) - 1.0) < 0.05
