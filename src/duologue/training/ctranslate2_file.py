"""Read the tensors of a CTranslate2 model file (`model.bin`, versions 5 and 6). Knows no model.

Layout, little-endian: version u32; specification name (u16 length with the final NUL, bytes); revision u32; count u32;
then for each variable its name (as above), rank u8, dimensions u32 each, type u8, bytes u32, data. Aliases follow and
are not read. Nothing in it is code. Source: CTranslate2's `python/ctranslate2/specs/model_spec.py`.
"""

from __future__ import annotations

import math
import struct
from pathlib import Path

import numpy as np

from ..errors import WeightsDamaged

_TYPES = {0: np.float32, 1: np.int8, 2: np.int16, 3: np.int32, 4: np.float16}
_MOST_VARIABLES, _MOST_RANK = 100_000, 8


def read_ctranslate2(path: Path) -> dict[str, np.ndarray]:
    """Every variable by its name. Raises WeightsDamaged where the file is cut short, of another version or untrue."""
    reader = _Reader(path)
    version = reader.number("I")
    if version not in (5, 6):
        raise WeightsDamaged(f"{path} is of CTranslate2's file version {version}; 5 and 6 are read.", field="version")
    reader.text()
    reader.number("I")
    count = reader.number("I")
    if count > _MOST_VARIABLES:
        raise WeightsDamaged(f"{path} says that it holds {count} variables.", field="count")
    return dict(reader.variable() for _ in range(count))


class _Reader:
    def __init__(self, path: Path) -> None:
        self.path, self.data, self.place = path, memoryview(path.read_bytes()), 0

    def take(self, count: int) -> memoryview:
        if count > len(self.data) - self.place:
            raise WeightsDamaged(f"{self.path} ends at byte {len(self.data)}, in the midst of a value.", field="length")
        self.place += count
        return self.data[self.place - count : self.place]

    def number(self, kind: str) -> int:
        return int(struct.unpack("<" + kind, self.take(struct.calcsize(kind)))[0])

    def text(self) -> str:
        return bytes(self.take(self.number("H"))).rstrip(b"\0").decode("utf-8", "replace")

    def variable(self) -> tuple[str, np.ndarray]:
        name, rank = self.text(), self.number("B")
        if rank > _MOST_RANK:
            raise WeightsDamaged(f"{self.path}: {name!r} has {rank} dimensions.", field="rank")
        shape = tuple(self.number("I") for _ in range(rank))
        kind, size = self.number("B"), self.number("I")
        if kind not in _TYPES:
            raise WeightsDamaged(f"{self.path}: {name!r} is of unknown type {kind}.", field="type")
        dtype = np.dtype(_TYPES[kind])
        if math.prod(shape) * dtype.itemsize != size:
            raise WeightsDamaged(f"{self.path}: {name!r} has {size} bytes for the shape {shape}.", field="shape")
        return name, np.frombuffer(self.take(size), dtype).reshape(shape)
