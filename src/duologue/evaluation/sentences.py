"""Sentences that no voice here was trained on, for judging voices. Knows where they are kept, nothing of speech."""

from __future__ import annotations

import importlib.resources
import json
from collections.abc import Sequence
from pathlib import Path

from ..errors import InputError
from .wer import comparable

SETS = ("heldout40", "heldout120", "short60")


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


def trained_on(sentences: Sequence[str], corpus: Path) -> dict[str, list[str]]:
    """Which of these sentences a corpus's training turns hold word for word, and in which shards."""
    wanted = {comparable(sentence): sentence for sentence in sentences}
    found: dict[str, list[str]] = {}
    for listing in sorted(corpus.glob("[0-9]*.jsonl")):
        for line in listing.read_text(encoding="utf-8").splitlines():
            item = json.loads(line)
            for turn in item["turns"] if item["split"] == "train" else ():
                if (sentence := wanted.get(comparable(turn["text"]))) is not None:
                    found.setdefault(sentence, []).append(listing.stem)
    return found


def _own_file(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{str(path)!r} can't be read: {error}.", hint=f"Give a text file or {', '.join(SETS)}.", field="sentences"
        ) from error
