"""Splitting: at sentences, then at clauses, never in a word, and never losing one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duologue.errors import InputError
from duologue.text.split import split_sentences


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("Hello there. How are you? Fine!", ["Hello there.", "How are you?", "Fine!"]),
        (
            "Dr. Smith met J. R. Brown at 5.30 p.m. near St. Paul.",
            ["Dr. Smith met J. R. Brown at 5.30 p.m. near St. Paul."],
        ),
        ("He left at 6 p.m. Then it rained.", ["He left at 6 p.m.", "Then it rained."]),
        ('"Really?" she asked. "Yes."', ['"Really?" she asked.', '"Yes."']),
        ("Wait... what? Oh… I see.", ["Wait... what?", "Oh…", "I see."]),
        ("No. I am. No. 5 is late.", ["No.", "I am.", "No. 5 is late."]),
        ("how are you? i am fine", ["how are you?", "i am fine"]),
        ("One.\n\nTwo.\tThree", ["One.", "Two.", "Three"]),
        ("Hi . . .", ["Hi . . ."]),
        ("", []),
        ("  \n ", []),
    ],
)
def test_sentences(text, pieces):
    assert split_sentences(text) == pieces


def test_a_long_sentence_is_cut_at_a_clause():
    text = (
        "We went to the shop because there was nothing left at home, and then we walked along the river until it was "
        "dark, which took far longer than anybody had expected."
    )
    assert [piece.split()[-1] for piece in split_sentences(text, max_words=20)] == ["home,", "expected."] or all(
        piece[-1] in ",." for piece in split_sentences(text, max_words=20)
    )


words = st.one_of(
    st.text(min_size=1, max_size=8).filter(lambda word: word.split() == [word]),
    st.sampled_from(["Mr.", "No.", "e.g.", "U.S.", "a.m.", "5.", "—", "...", '"Yes!"', "and", "Hello,", "end."]),
)


@given(st.lists(words, max_size=120), st.integers(1, 40))
def test_every_word_survives_in_order(parts, max_words):
    pieces = split_sentences(" ".join(parts), max_words)
    assert [word for piece in pieces for word in piece.split()] == parts
    assert all(1 <= len(piece.split()) <= max_words for piece in pieces)


def test_senseless_limits_are_refused():
    with pytest.raises(InputError, match="max_words"):
        split_sentences("Hello.", 0)
