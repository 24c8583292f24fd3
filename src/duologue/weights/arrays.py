"""A checkpoint's tensors as numpy arrays that lie in the mapped file. Needs no torch; nothing is read until it is used.

numpy has no bfloat16: such tensors come as uint16, their bits. Headers are checked by checkpoint.py.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import BackendUnavailable, WeightsDamaged
from .checkpoint import Checkpoint, read_header

_DTYPES = {
    "BOOL": "?", "U8": "u1", "I8": "i1", "I16": "<i2", "U16": "<u2", "F16": "<f2", "BF16": "<u2",
    "I32": "<i4", "U32": "<u4", "F32": "<f4", "I64": "<i8", "U64": "<u8", "F64": "<f8",
}  # fmt: skip


def load_arrays(checkpoint: Checkpoint) -> dict[str, npt.NDArray[Any]]:
    """All tensors of a checkpoint by name. Raises WeightsDamaged for a type that numpy can't hold."""
    if sys.byteorder != "little":
        raise BackendUnavailable("Weight files are little-endian, this machine is not.", hint='Use engine="torch".')
    arrays: dict[str, npt.NDArray[Any]] = {}
    for file in checkpoint.files:
        arrays.update(file_arrays(file))
    return arrays


def file_arrays(path: Path) -> dict[str, npt.NDArray[Any]]:
    """All tensors of one safetensors file, checked by its header."""
    tensors, _ = read_header(path)  # refuses sizes and offsets that contradict each other or the file
    with path.open("rb") as file:
        start = 8 + int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(start - 8))
    mapped = np.memmap(path, np.uint8, mode="r") if tensors else np.empty(0, np.uint8)
    arrays = {}
    for name, info in tensors.items():
        if info.dtype not in _DTYPES:
            raise WeightsDamaged(f"{name} in {path.name} is {info.dtype}, which can't be read here.")
        first, last = header[name]["data_offsets"]
        values = mapped[start + first : start + last]
        arrays[name] = np.frombuffer(values, _DTYPES[info.dtype]).reshape(info.shape)
    return arrays
