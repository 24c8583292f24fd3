"""Sentences spoken at once: how many changes nothing of what is said, and each is what it would be alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from duologue.api import Model
from duologue.errors import CutSpeech, InputError
from duologue.speaking import seed_of

TEXT = "One came home late. Two were there already. Three had left. Nobody knew why. It rained."


def spoken(model: Model, together: int, **options: Any) -> np.ndarray:
    return model.generate(TEXT, voice="one", seed=5, side_by_side=together, **options).samples


@pytest.mark.parametrize("together", [3, 5, 16])
def test_the_number_of_rows_changes_nothing(tiny_model: Model, together: int) -> None:
    assert np.array_equal(spoken(tiny_model, together), spoken(tiny_model, 2))


def test_it_is_the_same_streamed(tiny_model: Model) -> None:
    pieces = list(tiny_model.stream(TEXT, voice="one", seed=5, side_by_side=3, check=False))
    assert np.array_equal(np.concatenate(pieces), spoken(tiny_model, 3, check=False))


def test_each_sentence_is_what_it_would_be_alone(tiny_model: Model) -> None:
    talk = tiny_model.conversation("one", side_by_side=3, check=False)
    talk.say(TEXT, seed=5)
    told = talk._context.turns
    assert len(told) == 5
    for index, turn in enumerate(told):
        alone = tiny_model.conversation("one", check=False)
        alone.say(turn.text, seed=seed_of(5, index, 0))
        np.testing.assert_array_equal(turn.segment.codes, alone._context.turns[0].segment.codes)


def test_one_after_another_sentences_hear_each_other(tiny_model: Model) -> None:
    """The trade: without it the two would be the same, and there would be nothing to choose."""
    assert not np.array_equal(spoken(tiny_model, 1, check=False), spoken(tiny_model, 2, check=False))


def test_a_limit_on_the_whole_takes_one_sentence_after_another(tiny_model: Model) -> None:
    one, four = (spoken(tiny_model, together, max_seconds=3.0, check=False) for together in (1, 4))
    assert np.array_equal(one, four)


def test_a_sentence_that_failed_is_tried_again_beside_the_others(
    tiny_model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed: list[str] = []

    def fails_once(text: str, *arguments: object, **options: object) -> None:
        if text.startswith("Three") and not failed:
            failed.append(text)
            raise CutSpeech("too short")

    monkeypatch.setattr("duologue.speaking.check_speech", fails_once)
    report = tiny_model.generate(TEXT, voice="one", seed=5, side_by_side=3).report
    assert report is not None
    assert [part.attempts for part in report.parts] == [1, 1, 2, 1, 1]
    assert [part.seed for part in report.parts][2] == seed_of(5, 2, 1)


def test_what_was_not_asked_for_is_not_remembered(tiny_model: Model) -> None:
    """Rows run ahead of the listener; closed in the second sentence, a conversation knows its first frames alone."""
    talk = tiny_model.conversation("one", side_by_side=3, check=False)
    speech = talk.stream(TEXT, seed=5)
    whole, first = tiny_model.conversation("one", side_by_side=3, check=False), 0
    whole.say(TEXT, seed=5)
    first = whole._context.turns[0].frames
    heard = 0
    for samples in speech:
        heard += len(samples) // 1920
        if heard > first:
            break
    speech.close()
    told = talk._context.turns
    assert told[0].frames == first
    assert len(told) == 2
    assert 0 < told[1].frames < whole._context.turns[1].frames
    all_of_it = whole._context.turns[1].segment.codes
    assert all_of_it is not None
    np.testing.assert_array_equal(told[1].segment.codes, all_of_it[:, : told[1].frames])
    talk.say("And then?", seed=1)


def test_numbers_that_make_no_sense_are_named(tiny_model: Model) -> None:
    with pytest.raises(InputError, match="side_by_side"):
        spoken(tiny_model, 0)
