"""The CPU engine's own form of a speech model inside our GGUF: its keys and its three tensors. Knows no kernels.

Such a file has, in place of the speech model's tensors, one block of bytes in the order that the kernels read
(`engine.block`), the norms' scales joined (`engine.vectors`) and a number per matrix (`engine.scales`). What the bytes
mean follows from `duologue.csm.*` and `duologue.engine.plan.*`; engine/packed_file.py makes and reads them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..configuration import from_dict, to_dict
from ..csm.config import CsmConfig
from ..errors import WeightsDamaged
from .gguf_file import GgufFile, NewTensor
from .gguf_keys import from_keys, to_keys

PREFIX = "duologue.engine"
LAYOUT_KEY, CHECKSUM_KEY, PLAN_PREFIX = f"{PREFIX}.layout", f"{PREFIX}.crc32", f"{PREFIX}.plan"
BLOCK, VECTORS, SCALES = "engine.block", "engine.vectors", "engine.scales"
ALIGNMENT = 64  # bytes: a cache line, and the widest vector register


@dataclass(frozen=True)
class PackedPart:
    """A speech model in the engine's form, mapped from its file; nothing of it is checked but types."""

    path: Path
    config: CsmConfig
    layout: int  # the version of the kernels' order of bytes
    plan: Mapping[str, Any]  # engine.quantize.FormatPlan as a table
    crc32: int  # of settings, block, vectors and scales
    settings: bytes  # what the file says of sizes and plan, for the checksum
    block: npt.NDArray[np.uint8]
    vectors: npt.NDArray[np.float32]
    scales: npt.NDArray[np.float32]

    @property
    def name(self) -> str:
        """What the engine calls this choice of formats: int4, compact, …"""
        return str(self.plan.get("name", ""))


def is_packed(file: GgufFile) -> bool:
    """Whether a file of ours holds the engine's form."""
    return LAYOUT_KEY in file.metadata


def read_packed(file: GgufFile) -> PackedPart:
    """The part in a file. Raises WeightsDamaged, or InputError naming a key of its metadata."""
    config = from_dict(CsmConfig, from_keys(file.metadata, "duologue.csm"), "duologue.csm")
    layout, crc32 = (file.metadata.get(key) for key in (LAYOUT_KEY, CHECKSUM_KEY))
    block, vectors, scales = (_flat(file, name, kind) for name, kind in _TYPES.items())
    if not isinstance(layout, int) or not isinstance(crc32, int):
        raise WeightsDamaged(f"{file.path.name} is damaged: {LAYOUT_KEY} or {CHECKSUM_KEY} is no number.")
    plan = from_keys(file.metadata, PLAN_PREFIX)
    settings = settings_text(file.metadata)
    return PackedPart(file.path, config, layout, plan, crc32, settings, block.view(np.uint8), vectors, scales)


def settings_text(metadata: Mapping[str, Any]) -> bytes:
    """The keys of sizes and plan with their values, in one order."""
    keys = [key for key in metadata if key.startswith(("duologue.csm.", f"{PLAN_PREFIX}."))]
    return json.dumps([(key, metadata[key]) for key in sorted(keys)]).encode()


_TYPES = {BLOCK: "I8", VECTORS: "F32", SCALES: "F32"}


def _flat(file: GgufFile, name: str, kind: str) -> npt.NDArray[Any]:
    tensor = file.tensors.get(name)
    if tensor is None or tensor.type != kind or len(tensor.shape) != 1:
        raise WeightsDamaged(f"{file.path.name} is damaged: it has no {name} ({kind}, one axis).")
    return tensor.data


def settings_keys(config: CsmConfig, plan: Mapping[str, Any]) -> dict[str, Any]:
    """Sizes and plan as keys of a file."""
    return to_keys(to_dict(config), "duologue.csm") | to_keys(plan, PLAN_PREFIX)


@dataclass(frozen=True)
class NewPacked:
    """A speech model in the engine's form, to be written."""

    config: CsmConfig
    layout: int
    plan: Mapping[str, Any]
    crc32: int
    block: npt.NDArray[np.uint8]
    vectors: npt.NDArray[np.float32]
    scales: npt.NDArray[np.float32]

    def keys(self) -> dict[str, Any]:
        """What the file says of it."""
        return {LAYOUT_KEY: self.layout, CHECKSUM_KEY: self.crc32, **settings_keys(self.config, self.plan)}

    def tensors(self) -> dict[str, NewTensor]:
        """The three tensors."""
        arrays: dict[str, npt.NDArray[Any]] = {
            BLOCK: self.block.view(np.int8),
            VECTORS: self.vectors,
            SCALES: self.scales,
        }
        return {name: NewTensor(_TYPES[name], array.shape, _given(array)) for name, array in arrays.items()}


def _given(array: npt.NDArray[Any]) -> Callable[[], npt.NDArray[Any]]:
    return lambda: array
