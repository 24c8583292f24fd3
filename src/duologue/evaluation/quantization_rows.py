"""The rows of the quality table: which type on which part, and the engine that speaks with it. Measures nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ..csm.config import CsmConfig
from ..engine.native_engine import NativeEngine
from ..engine.quantize import PLANS, FormatPlan, part_of
from ..weights.type_policy import MIXTURES
from .quantization_weights import PARTS, Importance, rounded

GGUF_TYPES = ("F32", "F16", "BF16", "Q8_0", "Q6_K", "Q5_K_M", "Q5_K", "Q4_K_M", "Q4_K", "Q4_0")
ENGINE_FORMATS = ("int8", "int4", "compact")
WEIGHTED_TYPES = ("Q6_K", "Q5_K", "Q4_K", "Q4_0")
SPOKEN_PARTS = ("backbone", "depth")  # beside "all"; every part is compared by its logits
SPOKEN_IN_PARTS = ("Q8_0", "Q4_K", "Q4_0", *ENGINE_FORMATS)


@dataclass(frozen=True)
class RowKey:
    """One row: a type or format, the part of the model that has it, and whether importance chose the scales."""

    type: str
    part: str
    importance: bool = False

    @property
    def spoken(self) -> bool:
        """Whether the row is also listened to."""
        return self.part == "all" or (self.part in SPOKEN_PARTS and self.type in SPOKEN_IN_PARTS)

    def __str__(self) -> str:
        return f"{self.type}{' weighted' if self.importance else ''} on {self.part}"


REFERENCE = RowKey("F32", "all")


def row_keys() -> Iterator[RowKey]:
    """All rows; the reference comes first."""
    for name in (*GGUF_TYPES, *ENGINE_FORMATS):
        whole = name == "F32" or name in MIXTURES
        yield from (RowKey(name, part) for part in PARTS if not whole or part == "all")
        if name in WEIGHTED_TYPES:
            yield from (RowKey(name, part, True) for part in PARTS if part != "embeddings")


@dataclass(frozen=True)
class Row:
    """An engine with rounded weights, and what they take. Engine formats take the same in a file and in memory."""

    engine: NativeEngine
    bits_per_weight: float
    fallback_percent: float
    file_bytes: int
    same_weights: bool  # as the reference: nothing was lost


def build_row(key: RowKey, config: CsmConfig, weights: Mapping[str, npt.NDArray[Any]], importance: Importance) -> Row:
    """The engine of one row. GGUF's types are rounded and read back, then multiplied in float32."""
    if key.type in ENGINE_FORMATS:
        engine = NativeEngine.from_weights(config, weights, engine_plan(key.type, key.part))
        return Row(engine, bits_per_weight(engine, key.part), 0.0, engine.packed.block.nbytes, False)
    made = rounded(weights, key.type, key.part, importance if key.importance else None)
    engine = NativeEngine.from_weights(config, made.tensors, "float32")
    same = all(np.array_equal(made.tensors[name], np.asarray(values, np.float32)) for name, values in weights.items())
    return Row(engine, made.bits_per_weight, made.fallback_percent, made.file_bytes, same)


def engine_plan(name: str, part: str) -> FormatPlan:
    """The engine's own format on one part, everything else in float32. Raises InputError for an unknown part."""
    own = PLANS[name]
    return own if part == "all" else replace(PLANS["float32"].with_part(part, own), name=f"{name}-{part}")


def bits_per_weight(engine: NativeEngine, part: str) -> float:
    """Bits of a part's matrices in the engine's form, scales included; "all" is all matrices, without tables."""
    plan, matrices = engine.packed.plan, engine.packed.matrices
    if part == "embeddings":
        return {"float32": 32.0, "bfloat16": 16.0, "int8": 8.0}[plan.tables]
    chosen = [matrix for name, matrix in matrices.items() if part in ("all", part_of(name))]
    values = [matrix.rows * matrix.cols for matrix in chosen]
    return sum(n * matrix.format.bits for n, matrix in zip(values, chosen, strict=True)) / sum(values)
