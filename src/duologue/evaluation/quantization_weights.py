"""One group of a CSM's tensors rounded to one of GGUF's types and back, and what a file of it takes. Knows no engines.

The groups, and what happens to rows that a type's blocks don't divide, are those of `duologue quantize`
(weights/type_policy.py), so that each figure here speaks for a choice there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..engine.pieces import as_float32
from ..weights.k_quants import WEIGHTED
from ..weights.quantized_types import dequantize, quantize, stored_bytes
from ..weights.type_policy import TypePolicy, group_of, is_vector, named_policy

PARTS = ("backbone", "depth", "heads", "embeddings", "all")
REST_TYPE = "F16"  # what matrices are stored in that a row of the table leaves alone
Arrays = Mapping[str, npt.NDArray[Any]]
Importance = Mapping[str, npt.NDArray[np.float32]]  # by tensor: mean square of each column's input (n,) or (P,n)


def in_rows(name: str, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """A tensor as it stands in a GGUF file, rows along what it is multiplied by: audio_head's pages are turned."""
    return np.swapaxes(values, -1, -2) if name == "audio_head" else values


@dataclass(frozen=True)
class Rounded:
    """Weights after rounding, as float32, and what a file of them takes."""

    tensors: dict[str, npt.NDArray[np.float32]]
    file_bytes: int  # of all tensors, those that were left alone in F16
    part_bytes: int  # of the rounded tensors
    part_values: int
    fallback_values: int  # of them in another type, because blocks of 256 don't divide their rows

    @property
    def bits_per_weight(self) -> float:
        return 8 * self.part_bytes / self.part_values

    @property
    def fallback_percent(self) -> float:
        return 100 * self.fallback_values / self.part_values


def rounded(weights: Arrays, wanted: str, part: str, importance: Importance | None = None) -> Rounded:
    """Round one part of a model to a type and back; the rest keeps its values. Vectors are never rounded."""
    policy = named_policy(wanted) if part == "all" else TypePolicy(**{part: wanted})
    out: dict[str, npt.NDArray[np.float32]] = {}
    file_bytes = part_bytes = part_values = fallback_values = 0
    for name, stored in weights.items():
        values = as_float32(stored)
        rows = in_rows(name, values)
        vector = is_vector(name, rows.shape)
        kind = policy.type_for(name, rows.shape, "F32" if vector else REST_TYPE)
        size = stored_bytes(kind, rows.shape)
        file_bytes += size
        if not vector and part in ("all", group_of(name)):
            part_bytes, part_values = part_bytes + size, part_values + values.size
            fallback_values += values.size * (kind != getattr(policy, str(group_of(name))))
            values = in_rows(name, _round(rows, kind, None if importance is None else importance.get(name)))
        out[name] = np.ascontiguousarray(values, np.float32)
    return Rounded(out, file_bytes, part_bytes, part_values, fallback_values)


def _round(
    rows: npt.NDArray[np.float32], kind: str, importance: npt.NDArray[np.float32] | None
) -> npt.NDArray[np.float32]:
    if importance is None or kind not in WEIGHTED:  # the plain fallbacks heed none
        return dequantize(quantize(rows, kind), kind)
    if importance.ndim == 1:
        return dequantize(quantize(rows, kind, importance), kind)
    pages = [dequantize(quantize(page, kind, own), kind) for page, own in zip(rows, importance, strict=True)]
    return np.stack(pages)
