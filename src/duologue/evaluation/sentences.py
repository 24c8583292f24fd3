"""Sentences that no voice here was trained on, for judging voices. Knows where they are kept, nothing of speech."""

from __future__ import annotations

import importlib.resources
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..errors import InputError
from .wer import comparable
from .word_ways import homographs

SETS = ("heldout40", "heldout120", "short60", "homographs")
SHORT_WORDS = 2.0  # a set of fewer words a sentence is one of single words and numbers


def held_out(name: str = "heldout40") -> list[str]:
    """The sentences of a packaged set, or of a text file: one a line, # for comments. Raises InputError."""
    lines = [line.strip() for line in _text_of(name).splitlines()]
    sentences = [line for line in lines if line and not line.startswith("#")]
    if not sentences:
        raise InputError(f"{name} holds no sentences.", field="sentences")
    return sentences


def sections(name: str) -> dict[str, list[str]]:
    """The same sentences under the comment line that stands before them; what has none is under ""."""
    parts: dict[str, list[str]] = {}
    title = ""
    for line in (line.strip() for line in _text_of(name).splitlines()):
        if line.startswith("#"):
            title = line.lstrip("# ")
        elif line:
            parts.setdefault(title, []).append(line)
    return parts


def reading_order(parts: Mapping[str, Sequence[str]]) -> list[str]:
    """In which order a listener should read a set's sentences: as they are, but short ones with the parts mixed.

    Joined in a row, "7. 12. 30." is one number to an ASR and to the normaliser of its words.
    """
    everything = [sentence for part in parts.values() for sentence in part]
    if sum(len(sentence.split()) for sentence in everything) >= SHORT_WORDS * len(everything):
        return everything
    places = {sentence: (number + 0.5) / len(part) for part in parts.values() for number, sentence in enumerate(part)}
    return sorted(everything, key=places.__getitem__)


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


def _text_of(name: str) -> str:
    if name == "homographs":
        return "\n".join(case.sentence for case in homographs())
    if name in SETS:
        return (importlib.resources.files("duologue.evaluation") / "data" / f"{name}.txt").read_text(encoding="utf-8")
    return _own_file(Path(name))


def _own_file(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{str(path)!r} can't be read: {error}.", hint=f"Give a text file or {', '.join(SETS)}.", field="sentences"
        ) from error
