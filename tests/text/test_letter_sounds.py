"""Reading by letters: unknown words get plausible, stressed, deterministic pronunciations."""

import pytest

from duologue.text.inflection import PRIMARY
from duologue.text.letter_sounds import sound_out
from duologue.text.units import units_of


@pytest.mark.parametrize(
    ("word", "phones"),
    [("zentable", "zˈɛntəbᵊl"), ("plintic", "plˈɪntɪk"), ("grabsters", "ɡɹˈæbstəɹz"), ("stade", "stˈAd")],
)
def test_invented_words_read_like_english(word, phones):
    assert sound_out(word, "us") == phones


@pytest.mark.parametrize("accent", ["us", "gb"])
@pytest.mark.parametrize("word", ["blorptastic", "o'zorn", "x", "qqq", "a" * 200])
def test_whatever_comes_in_is_read(word, accent):
    phones = sound_out(word, accent)
    assert units_of(phones)
    assert sound_out(word, accent) == phones


def test_a_vowel_carries_the_stress():
    assert all(PRIMARY in sound_out(word, "us") for word in ("mipo", "bim", "zander", "kirbulation"))


def test_nothing_readable_gives_nothing():
    assert sound_out("", "us") == sound_out("東京", "us") == sound_out("'", "us") == ""
