"""A GGUF file's counts, lengths and offsets, checked before anything trusts them. Reads no value and no tensor.

The `gguf` package believes what a header says: a count of 2^60 keeps it busy, an offset that overflows shows it other
bytes. So every length is followed here once, against the file's real size. Layout: ggml's docs/gguf.md, versions 2, 3.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import WeightsDamaged, WeightsNotFound

MAGIC = b"GGUF"
VERSIONS = (2, 3)
MAX_TENSORS, MAX_KEYS, MAX_AXES = 100_000, 65_536, 4
MAX_KEY, MAX_NAME, MAX_STRING = 1_024, 256, 2**26  # bytes; a Llama tokenizer.json has 17 MB
MAX_ARRAY = 2**24  # elements; Llama 3 has 280,147 merges
MAX_ALIGNMENT = 2**20
STRING, ARRAY = 8, 9
SCALAR_BYTES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
ALIGNMENT_KEY = b"general.alignment"


@dataclass
class Bounds:
    """What was found: where each array value starts and ends, by the place of its element type in the file."""

    array_ends: dict[int, int] = field(default_factory=dict)
    alignment: int = 32


def check_bounds(path: Path, sizes: Mapping[int, tuple[int, int]]) -> Bounds:
    """Walk a header. `sizes` are values and bytes per block of each tensor type, by the type's number.

    Raises WeightsNotFound for a file that can't be read, and WeightsDamaged naming what is wrong in any other.
    """
    try:
        with path.open("rb") as file:
            if path.stat().st_size < 24:
                raise WeightsDamaged(f"{path.name} is damaged: it ends within its first 24 bytes.", hint=_HINT)
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return _Walk(data, path.name, sizes).all()
    except OSError as error:
        raise WeightsNotFound(f"{path} can't be read: {error.strerror}.") from error


_HINT = "Fetch it again, whole."


class _Walk:
    """One pass over the bytes; `at` is where the next value starts."""

    def __init__(self, data: mmap.mmap, name: str, sizes: Mapping[int, tuple[int, int]]) -> None:
        self.data, self.name, self.sizes, self.at = data, name, sizes, 0
        self.found = Bounds()

    def all(self) -> Bounds:
        """Header, keys, tensors, and that every tensor lies within the file."""
        if self._take(4) != MAGIC:
            raise self._wrong("it is no GGUF file")
        version = self._number("<I")
        if version not in VERSIONS:
            swapped = int.from_bytes(version.to_bytes(4, "little"), "big")
            kind = "big-endian" if swapped in VERSIONS else f"version {version}"
            raise WeightsDamaged(
                f"{self.name} is {kind}; GGUF is read here in little-endian form, versions 2 and 3.",
                hint="Convert it again with a current llama.cpp.",
            )
        tensors, keys = self._count("<Q", MAX_TENSORS, "tensors"), self._count("<Q", MAX_KEYS, "keys")
        self._keys(keys)
        spans = self._tensors(tensors)
        start = -(-self.at // self.found.alignment) * self.found.alignment
        for name, offset, size in spans:
            if offset % self.found.alignment or start + offset + size > len(self.data):
                raise self._wrong(f"{name!r} lies beyond its end or off its alignment")
        return self.found

    def _keys(self, count: int) -> None:
        seen = set()
        for _ in range(count):
            key = self._string(MAX_KEY)
            if not key or key in seen or not _is_text(key):
                raise self._wrong(f"the key {key!r} is there twice, or is no text")
            seen.add(key)
            kind = self._number("<I")
            place = self.at
            self._value(kind)
            if key == ALIGNMENT_KEY:
                self._set_alignment(kind, place)

    def _set_alignment(self, kind: int, place: int) -> None:
        value = int.from_bytes(self.data[place : self.at], "little")
        if kind != 4 or not 1 <= value <= MAX_ALIGNMENT or value & (value - 1):
            raise self._wrong(f"an alignment of {value} is no power of two in 32 bits")
        self.found.alignment = value

    def _value(self, kind: int) -> None:
        if kind == STRING:
            self._string(MAX_STRING)
        elif kind == ARRAY:
            self._array()
        elif kind in SCALAR_BYTES:
            self._take(SCALAR_BYTES[kind])
        else:
            raise self._wrong(f"a value has the unknown type {kind}")

    def _array(self) -> None:
        place = self.at
        kind, count = self._number("<I"), self._count("<Q", MAX_ARRAY, "elements of an array")
        if kind in SCALAR_BYTES:
            self._skip(count * SCALAR_BYTES[kind])
        elif kind == STRING:
            self._skip_strings(count)
        else:
            raise self._wrong(f"an array has elements of the type {kind}")
        self.found.array_ends[place] = self.at

    def _skip_strings(self, count: int) -> None:
        """The one loop that may run long: 280,147 merges."""
        data, at, end = self.data, self.at, len(self.data)
        unpack = struct.Struct("<Q").unpack_from
        for _ in range(count):
            if at + 8 > end:
                raise self._wrong("it ends inside its header")
            at += 8 + unpack(data, at)[0]
        if at > end:
            raise self._wrong("a text is longer than the file")
        self.at = at

    def _tensors(self, count: int) -> list[tuple[str, int, int]]:
        spans, seen = [], set()
        for _ in range(count):
            raw = self._string(MAX_NAME)
            if not raw or raw in seen or not _is_text(raw):
                raise self._wrong(f"the tensor {raw!r} is there twice, or its name is no text")
            seen.add(raw)
            name = raw.decode()
            axes = self._count("<I", MAX_AXES, f"axes of {name!r}")
            shape = [self._number("<Q") for _ in range(axes)]
            kind, offset = self._number("<I"), self._number("<Q")
            spans.append((name, offset, self._tensor_bytes(name, shape, kind)))
        return spans

    def _tensor_bytes(self, name: str, shape: list[int], kind: int) -> int:
        if kind not in self.sizes:
            raise self._wrong(f"{name!r} has the unknown type {kind}")
        values, size = self.sizes[kind]
        total = 1
        for length in shape:
            if length < 1:
                raise self._wrong(f"{name!r} has an axis of no length")
            total *= length
        if total >= 2**63 or (values > 1 and (not shape or shape[0] % values)):
            raise self._wrong(f"the shape {shape} of {name!r} doesn't suit its type")
        return total // values * size

    def _string(self, most: int) -> bytes:
        length = self._number("<Q")
        if length > most:
            raise self._wrong(f"a text of {length} bytes is too long")
        return self._take(length)

    def _count(self, form: str, most: int, what: str) -> int:
        count = self._number(form)
        if count > most:
            raise self._wrong(f"it claims {count} {what}")
        return count

    def _number(self, form: str) -> int:
        number: int = struct.unpack(form, self._take(struct.calcsize(form)))[0]
        return number

    def _take(self, size: int) -> bytes:
        start = self.at
        self._skip(size)
        return self.data[start : self.at]

    def _skip(self, size: int) -> None:
        if size > len(self.data) - self.at:
            raise self._wrong("it ends inside its header")
        self.at += size

    def _wrong(self, reason: str) -> WeightsDamaged:
        return WeightsDamaged(f"{self.name} is damaged: {reason}.", hint=_HINT)


def _is_text(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True
