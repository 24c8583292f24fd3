"""Where phones lie in a recording, from the times of its words."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from duologue.corpus.timing import phone_durations
from duologue.evaluation.asr import HeardWord
from duologue.text.units import unit_durations

UNIT = 600
LOUD = (0.1 * np.sin(np.arange(80 * UNIT) / 10)).astype(np.float32)  # 2 s


def test_words_lie_where_they_were_heard():
    heard = [HeardWord("Big", 0.25, 0.55), HeardWord("apple.", 1.0, 1.5)]
    durations = phone_durations("Big apple.", "bˈɪɡ ˈæpəl.", LOUD, heard)
    assert sum(durations) == 80
    assert durations[0] == 10 and sum(durations[1:5]) == 12  # the edge, then four symbols of "big"
    assert durations[5] == 18  # the pause is the space's
    assert sum(durations[6:11]) == 20 and sum(durations[11:]) == 20


def test_words_heard_otherwise_share_the_time_between_their_neighbours():
    heard = [HeardWord("one", 0.0, 0.5), HeardWord("four", 1.5, 2.0)]
    durations = phone_durations("one two three four", "wʌn tu θɹi fɔɹ", LOUD, heard)
    assert durations[1:4] == pytest.approx([7, 7, 7], abs=1)
    assert sum(durations[5:7]) == 16 and sum(durations[8:11]) == 24  # two and three symbols of one second


def test_a_pause_counted_to_a_word_is_given_back():
    wav = LOUD.copy()
    wav[40 * UNIT : 60 * UNIT] = 0
    heard = [HeardWord("hello", 0.0, 1.5), HeardWord("you", 1.5, 2.0)]
    durations = phone_durations("hello you", "həlO ju", wav, heard)
    assert sum(durations[1:5]) == 40 and durations[5] == 20


def test_phones_that_dont_pair_with_words_are_refused():
    assert phone_durations("one two", "wʌn", LOUD, []) is None
    assert phone_durations("one", "wʌn", LOUD[: 2 * UNIT], []) is None
    assert phone_durations("", "", LOUD, []) is None


TIMES = st.lists(st.tuples(st.floats(-1, 3), st.floats(-1, 3)), min_size=4, max_size=4)


@given(TIMES, st.lists(st.booleans(), min_size=4, max_size=4))
def test_durations_always_sum_to_the_sound(times, known):
    heard = [
        HeardWord(word if there else "x", *time)
        for word, time, there in zip(["one", "two", "three", "four"], times, known, strict=True)
    ]
    durations = phone_durations("one two, three four", "wʌn tu, θɹi fɔɹ", LOUD, heard)
    assert sum(durations) == 80 and min(durations) >= 0
    assert sum(unit_durations("wʌn tu, θɹi fɔɹ", durations)) == 80
