"""Phone units: every character of a phoneme string belongs to exactly one unit, and no time is lost."""

import hashlib
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duologue.errors import InputError
from duologue.text.units import (
    BOUNDARIES,
    END,
    PAD,
    PHONES,
    STRESSES,
    UNIT_IDS,
    UNITS,
    speaker_unit,
    unit_durations,
    unit_groups,
    unit_ids,
    units_of,
)

phones = st.builds(str.__add__, st.sampled_from(STRESSES), st.sampled_from(PHONES))
runs = st.text(st.sampled_from("".join(BOUNDARIES) + '“”"()'), min_size=1, max_size=4)
phoneme_strings = st.lists(st.one_of(phones, phones, phones, runs), max_size=40).map("".join)


def test_stress_and_length_belong_to_their_phone():
    assert units_of("ʤˈʌst ɡˌuːz") == ["ʤ", "ˈʌ", "s", "t", " ", "ɡ", "ˌuː", "z"]


def test_a_run_of_marks_is_its_strongest_one():
    assert units_of("nˈO, — ɡˈO!? ðə") == ["n", "ˈO", "—", "ɡ", "ˈO", "?", "ð", "ə"]
    assert units_of("sˌO” wˌi") == ["s", "ˌO", " ", "w", "ˌi"]
    assert units_of("“nˈO.”") == ["n", "ˈO", "."]


def test_durations_fold_onto_units_and_keep_the_edges():
    # Taken from the corpus: "Blow up the moon." by af_heart.
    phonemes = "blˈO ˌʌp ðə mˈun."
    durations = [5, 2, 2, 2, 2, 1, 1, 1, 2, 1, 1, 1, 2, 2, 4, 4, 13, 7, 0]
    assert units_of(phonemes) == ["b", "l", "ˈO", " ", "ˌʌ", "p", " ", "ð", "ə", " ", "m", "ˈu", "n", "."]
    assert unit_durations(phonemes, durations) == [7, 2, 4, 1, 2, 2, 1, 1, 1, 2, 2, 8, 13, 7, 0]


@given(phoneme_strings, st.data())
def test_no_time_is_lost(phonemes, data):
    durations = data.draw(st.lists(st.integers(0, 50), min_size=len(phonemes) + 2, max_size=len(phonemes) + 2))
    folded = unit_durations(phonemes, durations)
    assert len(folded) == len(units_of(phonemes)) + 1
    assert sum(folded) == sum(durations)


@given(phoneme_strings)
def test_units_are_known_and_boundaries_never_touch(phonemes):
    units = units_of(phonemes)
    assert all(UNITS[index] == unit for index, unit in zip(unit_ids(units), units, strict=True))
    assert not any(a in BOUNDARIES and b in BOUNDARIES for a, b in pairwise(units))
    assert units_of("".join(units)) == units


@given(st.text(max_size=30))
def test_any_text_gives_units_or_a_typed_error(text):
    try:
        assert all(unit in UNIT_IDS for unit in units_of(text))
    except InputError as error:
        assert error.hint and error.field == "phonemes"


@pytest.mark.parametrize("broken", ["xə", "ˈ", "ːə", "bˈˌʌ", "Iː", "ə ˌ"])
def test_unknown_symbols_are_named(broken):
    with pytest.raises(InputError, match="not a phone"):
        units_of(broken)


def test_wrong_counts_are_refused():
    with pytest.raises(InputError, match="2 phonemes came with 3 durations"):
        unit_durations("ðə", [1, 2, 3])
    with pytest.raises(InputError, match="Speaker 8"):
        speaker_unit(8)


def test_the_vocabulary_is_frozen():
    """Ids are baked into trained weights. Appending units changes this digest's input, never its first 187 ids."""
    assert UNITS[:3] == (PAD, END, "<speaker 0>")
    assert len(set(UNITS)) == len(UNITS)
    assert hashlib.sha256("\n".join(UNITS[:187]).encode()).hexdigest()[:16] == "97a2cb851df5519a"


def test_units_know_their_group() -> None:
    phonemes = "ʤˈʌst — tɹˈI, nˈW?"
    assert len(unit_groups(phonemes)) == len(units_of(phonemes))
    assert unit_groups(phonemes) == [0, 0, 0, 0, -1, 2, 2, 2, -1, 3, 3, -1]
