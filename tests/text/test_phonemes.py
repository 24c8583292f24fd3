"""Phonemes: they agree with misaki 0.9.4, every word is spoken, and every symbol is a unit of the voice."""

import json
import string
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from duologue.text.lexicon import load_lexicon
from duologue.text.phonemes import Phonemizer
from duologue.text.units import BOUNDARIES, units_of

US, GB = Phonemizer("us"), Phonemizer("gb")
# What misaki gave for chat turns (BYU Chit-Chat, MIT), WordNet phrases and templates that the word-class model did not
# learn from; made by recipes/voice/tag_text.py.
REFERENCE = [
    json.loads(line) for line in (Path(__file__).parent / "data" / "misaki_lines.jsonl").read_text("utf-8").splitlines()
]


@pytest.mark.parametrize(("accent", "phonemizer"), [("us", US), ("gb", GB)])
def test_words_agree_with_misaki(accent, phonemizer):
    same = total = 0
    for line in REFERENCE:
        wanted, got = line[accent].split(), phonemizer.phonemize(line["text"]).split()
        total += max(len(wanted), len(got))
        same += sum(a == b for a, b in zip(wanted, got, strict=False))
    assert total > 1500
    assert same / total >= 0.985


@pytest.mark.parametrize(
    ("text", "phonemes"),
    [
        ("the end, the start", "ði ˈɛnd, ðə stˈɑɹt"),
        ("a cat to eat to see", "ɐ kˈæt tʊ ˈit tə sˈi"),
        ("Who am I? Here I am.", "hˌu ɐm ˌI? hˈɪɹ ˌI æm."),
        ("cats dogs horses", "kˈæts dˈɔɡz hˈɔɹsᵻz"),
        ("walked called wanted", "wˈɔkt kˈɔld wˈɑntᵻd"),
        ("They live near the live wire.", "ðˌA lˈɪv nˌɪɹ ðə lˈIv wˈIəɹ."),
        ("The record shows we record it.", "ðə ɹˈɛkəɹd ʃˈOz wi ɹəkˈɔɹd ɪt."),
        ("I used to use it.", "ˌI jˈust tə jˈuz ɪt."),
        ("the U.S. and NASA", "ðə jˌuˈɛs ænd nˈæsə"),
        ("What'd Hannah's mother say?", "wˌʌtd hˈænəz mˈʌðəɹ sˈA?"),
        ("a well-known man", "ɐ wˌɛlnˈOn mˈæn"),
        ("12 cats", "twˈɛlv kˈæts"),
        ("Kevin and Nina", "kˈɛvɪn ænd nˈinə"),
    ],
)
def test_words_in_context(text, phonemes):
    assert US.phonemize(text) == phonemes


def test_accents_differ_where_they_should():
    assert US.phonemize("car park tomato bath go") == "kˈɑɹ pˈɑɹk təmˈATO bˈæθ ɡˌO"
    assert GB.phonemize("car park tomato bath go") == "kˈɑː pˈɑːk təmˈɑːtQ bˈɑːθ ɡˌQ"


def test_names_are_read_in_both_accents():
    assert GB.phonemize("Marlborough Kevin Tolkien").split()[1:] == ["kˈɛvɪn", "tˈɔːlkiːˌɛn"]


@given(st.lists(st.text(string.ascii_letters, min_size=1, max_size=14), min_size=1, max_size=5))
@settings(max_examples=150, deadline=None)
def test_no_word_is_dropped(words):
    """Even nonsense gets a sound of its own, and nothing else is said."""
    for phonemizer in (US, GB):
        spoken = phonemizer.phonemize(" ".join(words))
        assert len(spoken.split(" ")) == len(words)
        units_of(spoken)


@given(st.text(max_size=60))
@settings(max_examples=200, deadline=None)
def test_any_text_becomes_known_units(text):
    assert all(unit for unit in units_of(US.phonemize(text)))


def test_punctuation_passes_and_rare_marks_become_learned_ones():
    spoken = US.phonemize("Yes, no; maybe: so… (quite) “right”! Really? Good.")
    assert [unit for unit in units_of(spoken) if unit in BOUNDARIES and unit != " "] == [
        ",",
        ",",
        ",",
        ",",
        ",",
        "!",
        "?",
        ".",
    ]


def test_lexicon_misses_are_none_and_capitals_are_found():
    lexicon = load_lexicon("us")
    assert lexicon.get("zqxv") is None and lexicon.get("") is None
    assert lexicon.get("Table") == lexicon.get("table") is not None
