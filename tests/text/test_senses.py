"""Nouns of two sounds: what stands around them tells which is meant."""

import pytest

from duologue.text.phonemes import Phonemizer
from duologue.text.senses import SENSES, said_as

CASES = [
    ("The pipe was made of lead.", "lead", "led"),
    ("Lead paint is poisonous.", "Lead", "Led"),
    ("A lead weight sank.", "lead", "led"),
    ("The lead singer of a metal band.", "lead", "lead"),
    ("They took the lead in the race.", "lead", "lead"),
    ("You will lead the group past the pipes.", "lead", "lead"),
    ("He plays bass guitar.", "bass", "base"),
    ("Turn up the bass.", "bass", "base"),
    ("We caught a bass in the lake.", "bass", "bass"),
    ("She tied a red bow on the box.", "bow", "bow"),
    ("He shot the bow and arrow.", "bow", "bow"),
    ("Take a bow, they said.", "bow", "bough"),
    ("The bow of the ship broke.", "bow", "bough"),
    ("They bow to the crowd.", "bow", "bough"),
    ("He bowed to the king.", "bowed", "boughed"),
    ("He bowed the strings softly.", "bowed", "bowed"),
    ("There is a tear in my shirt.", "tear", "tare"),
    ("A tear ran down her cheek.", "tear", "tear"),
    ("She tears the letter.", "tears", "tares"),
    ("Her eyes filled with tears.", "tears", "tears"),
]


def words_of(sentence):
    return sentence.replace(",", " ,").replace(".", " .").split()


@pytest.mark.parametrize(("sentence", "word", "wanted"), CASES)
def test_the_words_around_tell_which_is_meant(sentence, word, wanted):
    words = words_of(sentence)
    assert said_as(words, words.index(word)) == wanted


@pytest.mark.parametrize("accent", ["us", "gb"])
def test_the_other_word_has_the_wanted_sound_in_both_accents(accent):
    reader = Phonemizer(accent)
    for sense in SENSES.values():
        assert reader.phonemize(sense.said_as), sense
    assert reader.phonemize("The pipe was made of lead.").endswith("lˈɛd.")
    assert "bˈAs" in reader.phonemize("He plays bass guitar.")
    assert "bˈWd" in reader.phonemize("He bowed to the king.")


def test_other_words_and_lone_words_stay():
    assert said_as(["Lead"], 0) == "Lead"
    assert said_as(["The", "house"], 1) == "house"
    assert said_as(["Bow", "!"], 0) == "Bow"
