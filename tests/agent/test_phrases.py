"""Text in bits becomes phrases: an early clause first, then sentences; no word is lost or doubled."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from duologue.agent.phrases import PhraseBuffer

TEXT = "Well, let me think about that, because it matters. There may be a way. I would like to try!"


def phrases(bits: list[str]) -> list[str]:
    buffer = PhraseBuffer()
    return [phrase for bit in bits for phrase in buffer.push(bit)] + buffer.flush()


def test_the_first_clause_leaves_before_its_sentence_is_over() -> None:
    assert PhraseBuffer().push("I can see that, and ") == ["I can see that,"]
    assert PhraseBuffer().push("Well, I ") == [], "two words are too short to sound natural"
    assert phrases(list(TEXT))[0] == "Well, let me think about that,"


@given(st.lists(st.integers(1, len(TEXT) - 1), max_size=12))
def test_no_word_is_lost_however_the_text_is_cut(cuts: list[int]) -> None:
    places = [0, *sorted(set(cuts)), len(TEXT)]
    bits = [TEXT[start:end] for start, end in itertools.pairwise(places)]
    found = phrases(bits)
    assert " ".join(found) == TEXT
    assert found[-2:] == ["There may be a way.", "I would like to try!"]


def test_only_the_first_phrase_is_a_clause() -> None:
    buffer = PhraseBuffer()
    assert buffer.push("Yes. I can see that, and I like ") == ["Yes."]
    assert buffer.push("it. So ") == ["I can see that, and I like it."]
