"""Words that can be said in two ways: homographs with a sentence for each way, and variants with turns of a talk.

Phones are the embedded voice's, by accent. Knows where they are kept; no sound.
"""

from __future__ import annotations

import importlib.resources
import json
from dataclasses import dataclass
from typing import Any

from ..text.lexicon import Accent


@dataclass(frozen=True)
class Way:
    """One way to say a word: its phones in each accent."""

    us: str
    gb: str

    def phones(self, accent: Accent) -> str:
        return self.us if accent == "us" else self.gb


@dataclass(frozen=True)
class Case:
    """A sentence that holds the word once. `right` is the only right way; None if both are."""

    word: str
    ways: tuple[Way, Way]
    sentence: str
    right: int | None


def homographs() -> list[Case]:
    """Two sentences for each word, one for each way to say it."""
    return [
        Case(row["word"], _ways(row), way["said"], number)
        for row in _data()["homographs"]
        for number, way in enumerate(row["ways"])
    ]


def variants() -> list[list[Case]]:
    """For each word a short talk of two people, one sentence a turn."""
    return [[Case(row["word"], _ways(row), turn, None) for turn in row["turns"]] for row in _data()["variants"]]


def _ways(row: dict[str, Any]) -> tuple[Way, Way]:
    first, second = (Way(way["us"], way["gb"]) for way in row["ways"])
    return first, second


def _data() -> Any:
    file = importlib.resources.files("duologue.evaluation") / "data" / "homographs.json"
    return json.loads(file.read_text(encoding="utf-8"))
