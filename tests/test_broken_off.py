"""Speech that is broken off while it is made: only the words that sounded may be remembered."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

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


@pytest.mark.parametrize("kept", ["", "stream = "])
def test_a_stream_under_way_ends_quietly_with_its_process(kept: str, tiny_folder: Path) -> None:
    """Its generator is collected together with the engine, in any order, or when the interpreter is half gone."""
    script = f"""
import duologue
model = duologue.load({str(tiny_folder)!r}, device="cpu")
{kept}speech = iter(model.stream({LONG!r}, seed=7, check=False))
print(len(next(speech)))
{"" if kept else "del speech"}
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "1920\n", "")
