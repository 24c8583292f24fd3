"""Codes of a corpus on disk: one safetensors file per corpus shard, every turn encoded by itself. Knows no model.

A thousand hours at eight codebooks are less than 1 GB, so everything is read into memory at once. A shard names the
codec that made it and the corpus listing it belongs to; codes of two codecs never mix.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from ..errors import InputError, WeightsDamaged


@dataclass(frozen=True)
class CodeShard:
    """Codes of one corpus shard, turn by turn in the order of its .jsonl: each (K, T) int64."""

    turns: list[np.ndarray]
    codec: str  # fingerprint of the codec's weights
    corpus: str  # fingerprint of the corpus listing (.jsonl)


@dataclass(frozen=True)
class SpokenTurn:
    """One turn of the corpus with its codes (K, T) and its alignment in 25 ms units."""

    voice: str
    text: str
    phonemes: str
    durations: list[int]  # first edge, one per phoneme character, last edge
    codes: np.ndarray


@dataclass(frozen=True)
class SpokenItem:
    """A dialogue or a single line: `kind` is chat, line, phrase or template; `split` train, validation or test."""

    name: str
    kind: str
    split: str
    turns: list[SpokenTurn]


def write_code_shard(path: Path, turns: Sequence[np.ndarray], codec: str, corpus: str) -> None:
    """Write one shard atomically. `turns` are (K, T) arrays of codes below 65 536; all with the same K."""
    if len({turn.shape[0] for turn in turns}) != 1:
        raise InputError(f"The turns of {path} differ in their number of codebooks.", field="turns")
    lengths = np.array([turn.shape[1] for turn in turns], np.int64)
    tensors: dict[str, np.ndarray] = {"lengths": lengths}
    tensors["codes"] = np.ascontiguousarray(np.concatenate(turns, axis=1).astype(np.uint16))
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    save_file(tensors, temporary, metadata={"codec": codec, "corpus": corpus})
    temporary.replace(path)


def read_code_shard(path: Path) -> CodeShard:
    """Read one shard. Raises WeightsDamaged for a file that isn't one."""
    try:
        with safe_open(path, framework="np") as shard:
            metadata = shard.metadata() or {}
            codes, lengths = shard.get_tensor("codes").astype(np.int64), shard.get_tensor("lengths")
    except (SafetensorError, OSError) as error:
        raise WeightsDamaged(f"{path} is not a shard of codes: {error}.", hint="Encode it again.") from error
    if codes.ndim != 2 or lengths.sum() != codes.shape[1] or "codec" not in metadata:
        raise WeightsDamaged(f"{path} holds codes that don't fit their lengths.", hint="Encode it again.")
    turns = np.split(codes, np.cumsum(lengths)[:-1], axis=1)
    return CodeShard(turns, metadata["codec"], metadata.get("corpus", ""))


def load_items(codes: Path, corpus: Path) -> tuple[list[SpokenItem], str]:
    """Join every shard of codes with its corpus listing. Returns the items and the codec's fingerprint.

    Raises InputError if there are no shards, if two codecs are mixed, or if a shard doesn't fit its listing.
    """
    items: list[SpokenItem] = []
    codecs: dict[str, Path] = {}
    for path in sorted(codes.glob("[0-9]*.safetensors")):
        shard = read_code_shard(path)
        codecs.setdefault(shard.codec, path)
        if len(codecs) > 1:
            names = " and ".join(str(each) for each in codecs.values())
            raise InputError(f"{names} come from different codecs.", hint="Encode the corpus again with one codec.")
        listing = corpus / f"{path.stem}.jsonl"
        lines = [json.loads(line) for line in listing.read_text(encoding="utf-8").splitlines()]
        joined = join_listing(lines, shard.turns, path.stem)
        items += _without_bad_turns(joined, [line["id"] for line in lines], bad_turns(corpus, path.stem))
    if not items:
        raise InputError(
            f"There are no shards of codes in {codes}.", hint="Run `python -m duologue.training.encode_codes`."
        )
    return items, next(iter(codecs))


def bad_turns(corpus: Path, shard: str) -> set[tuple[int, int]]:
    """(item id, turn) of what `duologue corpus check` found not to be said as written; empty for an unchecked shard.

    A shifted copy's name is the shift before the shard's five digits; its items keep their ids.
    """
    checked = corpus / "checks" / f"{shard[-5:]}.json"
    if not checked.is_file():
        return set()
    return {(turn["item"], turn["turn"]) for turn in json.loads(checked.read_text(encoding="utf-8"))["bad"]}


def _without_bad_turns(items: list[SpokenItem], ids: list[int], bad: set[tuple[int, int]]) -> list[SpokenItem]:
    """Leave bad turns out; what lies before and after one becomes items of their own."""
    if not bad:
        return items
    kept = []
    for item, number in zip(items, ids, strict=True):
        runs: list[list[SpokenTurn]] = [[]]
        for place, turn in enumerate(item.turns):
            if (number, place) in bad:
                runs.append([])
            else:
                runs[-1].append(turn)
        kept += [SpokenItem(item.name, item.kind, item.split, run) for run in runs if run]
    return kept


def join_listing(lines: list[dict[str, Any]], codes: list[np.ndarray], shard: str) -> list[SpokenItem]:
    """A listing's items with the codes of their turns. Raises InputError if their numbers differ."""
    wanted = sum(len(line["turns"]) for line in lines)
    if wanted != len(codes):
        raise InputError(
            f"Shard {shard} lists {wanted} turns but holds the codes of {len(codes)}.", hint="Encode it again."
        )
    remaining = iter(codes)
    return [
        SpokenItem(
            name=f"{shard}/{line['id']}",
            kind=line["kind"],
            split=line["split"],
            turns=[
                SpokenTurn(turn["voice"], turn["text"], turn["phonemes"], turn["durations"], next(remaining))
                for turn in line["turns"]
            ],
        )
        for line in lines
    ]
