"""The held-out sentences: enough words, all different, all readable, and none of them in the voice's own templates."""

import pytest

from duologue.errors import InputError
from duologue.evaluation.sentences import held_out, reading_order, sections
from duologue.evaluation.wer import split_errors
from duologue.text.normalize import normalize
from duologue.text.split import split_sentences


@pytest.mark.parametrize(
    ("name", "sentences", "words"), [("heldout40", 40, 350), ("heldout120", 120, 1000), ("short60", 60, 70)]
)
def test_size(name, sentences, words):
    lines = held_out(name)
    assert len(lines) == len(set(lines)) == sentences
    assert sum(len(line.split()) for line in lines) >= words


def test_the_smaller_set_is_part_of_the_larger():
    assert set(held_out("heldout40")) <= set(held_out("heldout120"))


def test_each_everyday_sentence_is_one_piece():
    assert all(split_sentences(normalize(line)) == [normalize(line)] for line in held_out("heldout40"))


def test_own_files_are_read_and_missing_ones_named(tmp_path):
    (tmp_path / "mine.txt").write_text("# note\n\nHello there.\n")
    assert held_out(str(tmp_path / "mine.txt")) == ["Hello there."]
    (tmp_path / "empty.txt").write_text("# note\n")
    for path in ("empty.txt", "missing.txt"):
        with pytest.raises(InputError):
            held_out(str(tmp_path / path))


def test_parts_of_a_set_hold_all_of_it():
    parts = sections("short60")
    assert {title: len(part) for title, part in parts.items()} == {
        "Words": 20,
        "Numbers": 20,
        "Names": 10,
        "Answers": 10,
    }
    assert [line for part in parts.values() for line in part] == held_out("short60")


@pytest.mark.parametrize("backwards", [False, True])
def test_a_perfect_listener_understands_every_short_item(backwards):
    order = reading_order(sections("short60"))
    assert sorted(order) == sorted(held_out("short60"))
    order = order[::-1] if backwards else order
    assert not any(each.errors for each in split_errors(order, " ".join(order)))


def test_as_the_file_stands_numbers_would_run_together():
    lines = held_out("short60")
    assert sum(each.errors > 0 for each in split_errors(lines, " ".join(lines))) > 10


def test_longer_sentences_are_read_as_they_stand():
    assert reading_order(sections("heldout120")) == held_out("heldout120")
