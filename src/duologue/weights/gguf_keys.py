"""Settings as GGUF keys and back: each value of a nested table is one typed key. Knows no particular table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import WeightsDamaged

NOTHING = "(none)"  # a value that is deliberately absent, such as the sizes of a front end that a codec doesn't have


def to_keys(table: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """One key per value: {"a": {"b": 1}} with the prefix "x" is {"x.a.b": 1}. Empty texts and lists are left out."""
    keys: dict[str, Any] = {}
    for name, value in table.items():
        key = f"{prefix}.{name}"
        if isinstance(value, Mapping):
            keys.update(to_keys(value, key))
        elif value is None:
            keys[key] = NOTHING
        elif value not in ("", []):
            keys[key] = value
    return keys


def from_keys(metadata: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """The table behind the keys that begin with `prefix`. Raises WeightsDamaged for keys that contradict each other."""
    table: dict[str, Any] = {}
    for key in metadata:
        if not key.startswith(prefix + "."):
            continue
        *path, leaf = key.removeprefix(prefix + ".").split(".")
        inner = table
        for step in path:
            inner = inner.setdefault(step, {})
            if not isinstance(inner, dict):
                raise WeightsDamaged(f"{key} contradicts another key.", hint="Fetch the file again.")
        if leaf in inner:
            raise WeightsDamaged(f"{key} contradicts another key.", hint="Fetch the file again.")
        value = metadata[key]
        inner[leaf] = None if value == NOTHING else value
    return table


def short_float(value: Any) -> float:
    """A number that was stored in 32 bits as it was written: 1e-05, not 9.999999747378752e-06."""
    import numpy as np

    return float(str(np.float32(value)))
