"""A model file in the CPU engine's own form: int8, int4, compact or whatever plan, written once, mapped when loaded.

The bytes lie as the kernels read them, so nothing is converted and nothing is copied: pages that are used are in memory
once, shared by all processes. weights/gguf_packed.py knows the keys and tensors.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..configuration import from_dict, to_dict
from ..csm.config import CsmConfig
from ..errors import InputError, LayoutMismatch, WeightsDamaged
from ..native import binding
from ..weights.gguf_packed import PLAN_PREFIX, NewPacked, PackedPart, settings_keys, settings_text
from .packed import PackedModel, checksum, joined_vectors, new_block, pack_model, packed_sizes, view_packed
from .pieces import VALUE_BYTES, Pieces
from .quantize import Floats, Format, FormatPlan, Kind

MOST_EXCEPTIONS, LONGEST_PATTERN = 64, 100


def packed_for_file(config: CsmConfig, weights: Mapping[str, npt.NDArray[Any]], plan: FormatPlan) -> NewPacked:
    """Round a network's arrays as the plan says, ready to be written. The block is in memory until it is."""
    return for_file(pack_model(config, weights, plan))


def for_file(model: PackedModel) -> NewPacked:
    """Packed weights, ready to be written."""
    vectors, table = joined_vectors(model), _plan_table(model.plan)
    scales = np.array([matrix.scale for matrix in model.matrices.values()], np.float32)
    crc32 = _checksum(settings_text(settings_keys(model.config, table)), model.block, vectors, scales)
    return NewPacked(model.config, binding.LAYOUT_VERSION, table, crc32, model.block, vectors, scales)


def load_part(part: PackedPart, *, mapped: bool = True) -> PackedModel:
    """The packed weights in a file; `mapped` leaves them there, else they are read into large pages.

    Raises LayoutMismatch for a file of other kernels, WeightsDamaged for one whose bytes don't match its sizes or its
    checksum, InputError for a plan that can't be.
    """
    if part.layout != binding.LAYOUT_VERSION:
        raise LayoutMismatch(
            f"{part.path.name} is made for kernels of order {part.layout}; these read {binding.LAYOUT_VERSION}.",
            hint="Make it again with `duologue quantize` from the model it came from.",
        )
    plan = _plan(part.plan)
    names = [piece.name for piece in Pieces(part.config, {}, plan).all() if isinstance(piece.stored, Format)]
    wanted = (*packed_sizes(part.config, plan), len(names))
    if (len(part.block), len(part.vectors), len(part.scales)) != wanted:
        raise _damaged(part, "its bytes are not as many as its sizes and formats ask for")
    if _checksum(part.settings, part.block, part.vectors, part.scales) != part.crc32:
        raise _damaged(part, "its checksum differs")
    block = part.block if mapped else _read(part.block)
    vectors = np.ascontiguousarray(part.vectors)
    return view_packed(part.config, plan, block, vectors, dict(zip(names, part.scales.tolist(), strict=True)))


def _read(mapped: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    block = new_block(len(mapped))
    block[:] = mapped
    return block


def _checksum(settings: bytes, block: npt.NDArray[np.uint8], vectors: Floats, scales: Floats) -> int:
    others = np.concatenate([vectors, scales]).astype(np.float32)
    return zlib.crc32(settings, checksum(others, block))


def _damaged(part: PackedPart, reason: str) -> WeightsDamaged:
    return WeightsDamaged(f"{part.path.name} is damaged: {reason}.", hint="Fetch it again, whole.")


@dataclass(frozen=True)
class _Exceptional:
    """An exception of a plan as the file has it."""

    pattern: str
    format: Format


@dataclass(frozen=True)
class _Regular:
    """A plan without its exceptions."""

    name: str
    backbone: Format
    depth: Format
    heads: Format
    tables: Kind
    bfloat16_cache: bool


def _plan_table(plan: FormatPlan) -> dict[str, Any]:
    regular = _Regular(plan.name, plan.backbone, plan.depth, plan.heads, plan.tables, plan.bfloat16_cache)
    pairs = enumerate(plan.exceptions)
    exceptions = {str(i): to_dict(_Exceptional(pattern, format)) for i, (pattern, format) in pairs}
    return to_dict(regular) | ({"exceptions": exceptions} if exceptions else {})


def _plan(table: Mapping[str, Any]) -> FormatPlan:
    """The way back. Raises InputError naming the key."""
    values = dict(table)
    exceptions = values.pop("exceptions", {})
    regular = from_dict(_Regular, values, PLAN_PREFIX)
    if regular.tables not in VALUE_BYTES:
        raise InputError(f"Tables can't be {regular.tables}.", field=f"{PLAN_PREFIX}.tables")
    if not isinstance(exceptions, Mapping) or len(exceptions) > MOST_EXCEPTIONS:
        raise InputError("The exceptions can't be read.", field=f"{PLAN_PREFIX}.exceptions")
    where = f"{PLAN_PREFIX}.exceptions"
    found = [from_dict(_Exceptional, exceptions[key], f"{where}.{key}") for key in sorted(exceptions, key=_number)]
    if any(len(each.pattern) > LONGEST_PATTERN for each in found):
        raise InputError("A pattern is too long.", field=where)
    pairs = tuple((each.pattern, each.format) for each in found)
    return FormatPlan(**vars(regular), exceptions=pairs)


def _number(key: str) -> int:
    if not key.isdecimal():
        raise InputError(f"{key!r} is no number of an exception.", field=f"{PLAN_PREFIX}.exceptions")
    return int(key)
