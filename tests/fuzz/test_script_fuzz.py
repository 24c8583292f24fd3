"""Thousands of mutated dialogue scripts: each gives turns or a typed error, quickly."""

import random

from duologue.errors import InputError
from duologue.text.script import parse_script

SEEDS = (
    "[0]Hey how are you doing.[1]Pretty good, pretty good.[0]Great! So happy.\n[1]So what's the plan?",
    "# scene\nANNA: Hello there.\nBob Smith: Hi!\n  and more: yes\n\nanna: bye",
)
TOKENS = (
    "[",
    "]",
    "[0]",
    "[1]",
    "[99]",
    "[9999999]",
    ":",
    "\n",
    "\r",
    "#",
    "\ufeff",
    "\x00",
    "A:",
    "é",
    "😀",
    " ",
    "\u2028",
)
RUNS = 4_000


def mutate(script: str, rng: random.Random) -> str:
    for _ in range(rng.randint(1, 8)):
        at, kind = rng.randrange(len(script) + 1), rng.randrange(4)
        if kind == 0:
            script = script[:at] + rng.choice(TOKENS) + script[at:]
        elif kind == 1:
            script = script[:at] + script[at + rng.randint(1, 9) :]
        elif kind == 2:
            script = script[:at] + chr(rng.randrange(1, 0xD800)) + script[at + 1 :]
        else:
            script += script[at : at + rng.randint(1, 60)]
    return script


def test_mutated_scripts_give_turns_or_a_typed_error():
    rng = random.Random(20_261_122)
    answers = errors = 0
    for i in range(RUNS):
        script = mutate(SEEDS[i % 2], rng)
        try:
            turns = parse_script(script)
        except InputError as error:
            assert error.hint and error.field.startswith("script")
            errors += 1
        else:
            assert turns and all(turn.text and 0 <= turn.speaker < 64 for turn in turns)
            answers += 1
    assert answers > RUNS // 10 and errors > RUNS // 10
