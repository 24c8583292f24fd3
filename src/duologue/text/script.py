"""Dialogue scripts -> turns. Knows how scripts are written, nothing of voices.

Two forms, told apart by the first line that is neither blank nor a comment (#):

    [0]Hello there. [1]Hi! How are you?      llama.cpp's form: [n] opens a turn, on one line or over many
    ANNA: Hello there.                       one turn a line; a line without a name continues the turn before it
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ..errors import InputError

MAX_CHARACTERS = 2_000_000
MAX_TURNS = 20_000
MAX_SPEAKERS = 64
BRACKET = re.compile(r"\[(\d{1,4})\]")
NAME = re.compile(r"\s*([^\W\d_][\w.'’-]*(?: [^\W_][\w.'’-]*){0,2}) ?:(?!//)\s*(.*)", re.DOTALL)


@dataclass(frozen=True)
class ScriptTurn:
    """One turn: speaker number (as written, or by first appearance of the name), name, text, line it begins on."""

    speaker: int
    name: str
    text: str
    line: int


def parse_script(script: str) -> list[ScriptTurn]:
    """Read a script of either form. Raises InputError that names the line and what to write instead."""
    if len(script) > MAX_CHARACTERS:
        raise InputError(
            f"The script has {len(script):,} characters; {MAX_CHARACTERS:,} are the limit.",
            hint="Split it into several files.",
            field="script",
        )
    lines = [(number, line) for number, line in enumerate(script.splitlines(), 1) if _is_content(line)]
    if not lines:
        raise InputError("The script holds no turns.", hint="Write [0]Hello. [1]Hi! or ANNA: Hello.", field="script")
    numbered = lines[0][1].lstrip().startswith("[")
    turns = list(_numbered_turns(lines) if numbered else _named_turns(lines))
    if len(turns) > MAX_TURNS:
        raise InputError(f"The script has {len(turns)} turns; {MAX_TURNS} are the limit.", field="script")
    return turns


def _is_content(line: str) -> bool:
    stripped = line.lstrip("\ufeff \t")
    return bool(stripped.strip()) and not stripped.startswith("#")


def _numbered_turns(lines: list[tuple[int, str]]) -> Iterator[ScriptTurn]:
    opened: tuple[int, int] | None = None  # speaker, line
    parts: list[str] = []
    for number, line in lines:
        position = 0
        for match in BRACKET.finditer(line):
            parts.append(line[position : match.start()])
            yield from _close(opened, parts, number)
            opened, parts, position = (int(match[1]), number), [], match.end()
            if opened[0] >= MAX_SPEAKERS:
                raise _problem(
                    number, f"speaker {opened[0]} is out of range", f"Number speakers 0 to {MAX_SPEAKERS - 1}."
                )
        parts.append(line[position:])
    yield from _close(opened, parts, lines[-1][0])


def _close(opened: tuple[int, int] | None, parts: list[str], line: int) -> Iterator[ScriptTurn]:
    text = " ".join(" ".join(parts).split())
    if opened is None:
        if text.strip("\ufeff"):
            raise _problem(line, f"{text[:30]!r} stands before any speaker", "Open each turn with [0], [1], …")
        return
    if not text:
        raise _problem(
            opened[1], f"speaker [{opened[0]}] says nothing", f"Write text after [{opened[0]}] or remove it."
        )
    yield ScriptTurn(opened[0], str(opened[0]), text, opened[1])


def _named_turns(lines: list[tuple[int, str]]) -> Iterator[ScriptTurn]:
    speakers: dict[str, int] = {}
    current: ScriptTurn | None = None
    for number, line in lines:
        match = NAME.fullmatch(line.lstrip("\ufeff"))
        if match is None:
            if current is None:
                raise _problem(number, f"{line.strip()[:30]!r} has no speaker", "Write NAME: text, or [0]text.")
            current = ScriptTurn(
                current.speaker, current.name, f"{current.text} {' '.join(line.split())}".strip(), current.line
            )
            continue
        if current is not None:
            yield _spoken(current)
        name = match[1]
        speaker = speakers.setdefault(name.casefold(), len(speakers))
        if speaker >= MAX_SPEAKERS:
            raise _problem(
                number, f"{name!r} would be speaker number {speaker + 1}", f"Use at most {MAX_SPEAKERS} names."
            )
        current = ScriptTurn(speaker, name, " ".join(match[2].split()), number)
    if current is not None:
        yield _spoken(current)


def _spoken(turn: ScriptTurn) -> ScriptTurn:
    if not turn.text:
        raise _problem(turn.line, f"{turn.name} says nothing", f"Write text after {turn.name}: or remove the line.")
    return turn


def _problem(line: int, what: str, hint: str) -> InputError:
    return InputError(f"Line {line} of the script: {what}.", hint=hint, field=f"script:{line}")
