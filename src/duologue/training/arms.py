"""An experiment as one file: a question, a recipe that all arms share, and what each arm changes in it. Trains nothing.

    {"question": "…?", "codec": {…}, "arms": {"one": {}, "two": {"loss": {"phones": 0}}}, "cpu_seconds": 600}

The recipe is a `codec`'s or a `csm`'s (codec_arms.py, csm_arms.py).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError

KINDS = ("codec", "csm")


@dataclass(frozen=True)
class Experiment:
    """A question, and the recipes (plain values) that answer it."""

    question: str
    kind: str  # one of KINDS
    arms: Mapping[str, dict[str, Any]]
    cpu_seconds: float | None  # for each arm; None: as many steps as the recipes say
    name: str  # of its file


def read_experiment(path: Path, seed: int | None = None) -> Experiment:
    """Read an experiment; `seed` replaces that of the shared recipe. Raises InputError naming what is wrong."""
    values = json.loads(path.read_text(encoding="utf-8"))
    kinds = [kind for kind in KINDS if kind in values]
    unknown = sorted(values.keys() - {"question", "arms", "cpu_seconds", *KINDS})
    if unknown or len(kinds) != 1 or not values.get("arms") or not values.get("question"):
        raise InputError(
            f"{path} needs question, arms, either codec or csm, perhaps cpu_seconds; not {unknown}.", field="config"
        )
    common = values[kinds[0]] | ({} if seed is None else {"seed": seed})
    arms = {name: changed(common, changes) for name, changes in values["arms"].items()}
    return Experiment(values["question"], kinds[0], arms, values.get("cpu_seconds"), path.name)


def changed(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """`values` with those of `changes`, dictionary by dictionary."""
    result = dict(values)
    for name, value in changes.items():
        inner = result.get(name)
        both = isinstance(inner, dict) and isinstance(value, dict)
        result[name] = changed(inner or {}, value) if both else value
    return result


def folder_of(run: Path, arm: str) -> Path:
    """Where an arm of that name trains."""
    return run / arm.replace(" ", "_").replace("/", "-")
