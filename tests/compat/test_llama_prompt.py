"""Prompts are read as llama.cpp's CSM command reads them: [number] opens a turn, newlines are spaces."""

from __future__ import annotations

import pytest

from duologue.compat.llama_prompt import PromptTurn, parse_prompt
from duologue.errors import InputError


def turns(prompt: str) -> list[tuple[int, str]]:
    return [(turn.speaker, turn.text) for turn in parse_prompt(prompt)]


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("[0]Hello there.", [(0, "Hello there.")]),
        ("[0]Hey how are you doing.\n[1]Pretty good,\npretty good.\n", [
            (0, "Hey how are you doing."), (1, "Pretty good, pretty good."),
        ]),
        ("[0]One.[1]Two.[0]Three.", [(0, "One."), (1, "Two."), (0, "Three.")]),
        ("[12]  A [note] and # no comment\n", [(12, "A [note] and # no comment")]),
        ("[0][1]Only one speaks.", [(1, "Only one speaks.")]),
    ],
)  # fmt: skip
def test_turns(prompt: str, expected: list[tuple[int, str]]) -> None:
    assert turns(prompt) == expected


def test_a_number_in_brackets_always_opens_a_turn() -> None:
    assert parse_prompt("[0]See figure [3] please.") == [PromptTurn(0, "See figure"), PromptTurn(3, "please.")]


@pytest.mark.parametrize("prompt", ["", "  \n ", "Hello.", " [0]Hello.", "[0]", "[x]Hello.", "[0] [1]\n", "[-1]Hi."])
def test_what_is_no_prompt_is_refused_with_a_hint(prompt: str) -> None:
    with pytest.raises(InputError) as raised:
        parse_prompt(prompt)
    assert raised.value.hint
