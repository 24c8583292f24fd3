"""Word errors: fair normalisation on both sides, exact counts, and a joined transcript shared out without loss."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from duologue.errors import InputError
from duologue.evaluation.wer import split_errors, word_errors


@pytest.mark.parametrize(
    ("wanted", "heard"),
    [
        ("Call at 10:30, it's $23.50!", "call at ten thirty it is twenty three dollars and fifty cents"),
        ("Dr. Smith paid 5% of 1,250.", "Doctor Smith paid five percent of one thousand two hundred and fifty"),
        ("We leave at 7:45 with $4.50.", "We leave at 7.45 with $4.50"),
        ("June 3rd, 1987", "June third nineteen eighty-seven"),
        ("The neighbours painted it grey.", "the neighbors painted it gray"),
        ("I'm going to, um, go.", "I am gonna go"),
    ],
)
def test_the_same_words_written_differently_are_no_error(wanted, heard):
    assert word_errors(wanted, heard).errors == 0


def test_counts_and_differences():
    errors = word_errors("the cat sat on the mat", "the hat sat the mat today")
    assert (errors.words, errors.substitutions, errors.deletions, errors.insertions) == (6, 1, 1, 1)
    assert set(errors.differences) == {("cat", "hat"), ("on", ""), ("", "today")}
    assert errors.rate == 0.5


def test_silence_deletes_every_word():
    errors = word_errors("three little words", "")
    assert errors.deletions == errors.words == 3 and errors.rate == 1


def test_a_joined_transcript_is_shared_out():
    parts = split_errors(["one big apple", "green pears taste well"], "one apple green bears taste really well")
    assert [(part.words, part.errors) for part in parts] == [(3, 1), (4, 2)]
    assert parts[1].differences == (("pears", "bears"), ("", "really"))
    with pytest.raises(InputError):
        split_errors(["fine", "..."], "fine")


WORDS = st.lists(st.sampled_from(["apple", "river", "stone", "green", "quiet", "house"]), min_size=1, max_size=6)


@given(st.lists(WORDS, min_size=1, max_size=4), WORDS)
@settings(max_examples=60, deadline=None)
def test_shares_sum_to_the_whole(texts, heard):
    wanted = [" ".join(words) for words in texts]
    whole = word_errors(" ".join(wanted), " ".join(heard))
    parts = split_errors(wanted, " ".join(heard))
    assert sum(part.errors for part in parts) == whole.errors
    assert sum(part.words for part in parts) == whole.words
