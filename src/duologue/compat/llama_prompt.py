"""The prompts of llama.cpp's CSM pull request (#12648), read by its rules. Knows no model.

A prompt is `[0]Hello there.[1]Hi!`: a turn goes from one [number] to the next, on one line or over many, and newlines
inside it are spaces. Unlike a script (text/script.py) it knows neither comments nor names, and any number is a speaker.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..errors import InputError

MARK = re.compile(r"\[(\d{1,9})\]")
MAX_CHARACTERS = 2_000_000


@dataclass(frozen=True)
class PromptTurn:
    """What one speaker says, without the mark."""

    speaker: int
    text: str


def parse_prompt(prompt: str) -> list[PromptTurn]:
    """Turns of a prompt, in order. A mark with nothing behind it is no turn. Raises InputError."""
    if not prompt.strip():
        raise InputError("The prompt is empty.", hint='Give one: -p "[0]Hello there."', field="prompt")
    if len(prompt) > MAX_CHARACTERS:
        raise InputError(f"The prompt is longer than {MAX_CHARACTERS:,} characters.", field="prompt")
    if MARK.match(prompt.lstrip("\ufeff")) is None:
        raise InputError(
            "The prompt does not begin with a speaker's number.",
            hint='Write [0] before the words: -p "[0]Hello there."',
            field="prompt",
        )
    pieces = MARK.split(prompt.lstrip("\ufeff"))[1:]  # number, text, number, text, …
    spoken = [(int(number), " ".join(text.split())) for number, text in zip(pieces[::2], pieces[1::2], strict=True)]
    turns = [PromptTurn(speaker, text) for speaker, text in spoken if text]
    if not turns:
        raise InputError("No turn of the prompt has any words.", hint="Write text after each [0].", field="prompt")
    return turns
