"""Who speaks in a corpus, and one short recording of each to know a voice by. Knows listings, no networks."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from ..errors import InputError
from ..text.units import MAX_SPEAKERS
from ..timebase import RATE_HZ

WANTED_SECONDS = 6.5  # of a prompt
SHORTEST, LONGEST = 5.0, 8.5

Prompt = tuple[dict[str, Any], np.ndarray]


def voices_in(corpus: Path) -> list[str]:
    """Names of the voices of a corpus, in the order of their first turns. Raises InputError without listings."""
    listings = sorted(corpus.glob("[0-9]*.jsonl"))
    if not listings:
        raise InputError(f"There are no listings in {corpus}.", hint="Prepare a corpus first.", field="corpus")
    names: dict[str, None] = {}
    for listing in listings:
        for line in listing.read_text(encoding="utf-8").splitlines():
            names.update((turn["voice"], None) for turn in json.loads(line)["turns"])
    return list(names)


def number_voices(names: Collection[str], known: Mapping[str, int]) -> dict[str, int]:
    """Speaker numbers for voices: a known voice keeps its own, a new one gets the lowest that is free.

    Raises InputError if there are more voices than a model has numbers for.
    """
    free = (number for number in range(MAX_SPEAKERS) if number not in known.values())
    found: dict[str, int] = {}
    for name in names:
        number = known[name] if name in known else next(free, None)
        if number is None:
            raise InputError(
                f"{len(names)} voices and {len(known)} known ones are more than {MAX_SPEAKERS}.",
                hint="Train on fewer voices, or give `voices` in the recipe.",
                field="voices",
            )
        found[name] = number
    return found


def prompts(
    corpus: Path, names: Collection[str], kinds: Collection[str] = (), least: float = SHORTEST, most: float = LONGEST
) -> dict[str, Prompt]:
    """For each voice its training turn whose length is nearest to 6.5 s, as listing and samples (N,).

    Only turns of `least` to `most` seconds count and, if given, only items of these kinds; a voice without one is
    missing from the result.
    """
    best: dict[str, tuple[float, Path, dict[str, Any]]] = {}
    for path, turn in _turns(corpus, kinds):
        seconds = turn["samples"] / RATE_HZ
        distance = abs(seconds - WANTED_SECONDS)
        if turn["voice"] in names and least <= seconds <= most and distance < best.get(turn["voice"], (9e9,))[0]:
            best[turn["voice"]] = (distance, path, turn)
    found = {}
    for name, (_, path, turn) in best.items():
        samples, _ = soundfile.read(
            path.with_suffix(".flac"), frames=turn["samples"], start=turn["start"], dtype="float32"
        )
        found[name] = (turn, samples)
    return found


def _turns(corpus: Path, kinds: Collection[str]) -> Iterator[tuple[Path, dict[str, Any]]]:
    for path in sorted(corpus.glob("[0-9]*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines() if path.with_suffix(".flac").is_file() else ():
            item = json.loads(line)
            if item["split"] == "train" and (not kinds or item["kind"] in kinds):
                yield from ((path, turn) for turn in item["turns"])
