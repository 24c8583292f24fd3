"""Sentences that no voice here was trained on, for judging voices. Knows where they are kept, nothing of speech."""

from __future__ import annotations

import importlib.resources
from pathlib import Path

from ..errors import InputError

SETS = ("heldout40", "heldout120")


def held_out(name: str = "heldout40") -> list[str]:
    """The sentences of a packaged set, or of a text file: one a line, # for comments. Raises InputError."""
    if name in SETS:
        text = (importlib.resources.files("duologue.evaluation") / "data" / f"{name}.txt").read_text(encoding="utf-8")
    else:
        text = _own_file(Path(name))
    lines = [line.strip() for line in text.splitlines()]
    sentences = [line for line in lines if line and not line.startswith("#")]
    if not sentences:
        raise InputError(f"{name} holds no sentences.", field="sentences")
    return sentences


def _own_file(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{str(path)!r} can't be read: {error}.", hint=f"Give a text file or {', '.join(SETS)}.", field="sentences"
        ) from error
