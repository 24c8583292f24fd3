"""Speech that is broken off while it is made: only the words that sounded may be remembered."""

from __future__ import annotations

from duologue.api import Model
from duologue.speaking import GenerationConfig

LONG = "Once upon a time there was a king who had three daughters and a very old and quiet horse."
ANYHOW = GenerationConfig(check=False)


def test_words_that_never_sounded_are_forgotten(tiny_model: Model) -> None:
    talk = tiny_model.conversation(options=ANYHOW)
    speech = talk.stream(LONG, seed=3)
    heard = 0
    while heard < 5 * 1920:
        heard += len(next(speech))
    speech.close()
    (spoken,) = talk.turns
    assert spoken.frames < 15
    remains = talk.cut(10.0)  # all that there is was heard
    assert 0 < len(remains.split()) <= 4
    assert LONG.startswith(remains)
    assert [turn.frames for turn in talk.turns] == [spoken.frames], "its sound stays"
    assert talk.cut(10.0) == remains, "a turn that was cut is whole"


def test_a_sentence_that_ended_by_itself_keeps_its_words(tiny_model: Model) -> None:
    talk = tiny_model.conversation(options=ANYHOW)
    talk.say("Yes, of course.", seed=1)
    assert talk.cut(60.0) == "Yes, of course."
