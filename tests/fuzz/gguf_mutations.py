"""How a good GGUF file becomes a bad one: the faults that parsers of this format were attacked with.

Counts and lengths that overflow when multiplied (CVE-2024-21802, -21825, -21836, -23496, -23605: ggml's gguf_fread_str,
n_kv, n_tensors, n_dims and array lengths), dimensions whose product wraps, offsets beyond the file, no alignment,
unknown types, nested arrays, and names that come twice.
"""

from __future__ import annotations

import random
import struct
import tempfile
import zlib
from dataclasses import dataclass
from pathlib import Path

from duologue.weights.gguf_file import open_gguf
from duologue.weights.gguf_packed import ALIGNMENT, BLOCK, CHECKSUM_KEY, SCALES, VECTORS, settings_text

HUGE = (2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**48, 2**60, 2**61, 2**62, 2**63 - 1, 2**63, 2**64 - 16, 2**64 - 1)
NEAR = (0, 1, 2, 3, 5, 255, 256, 4_097)


@dataclass(frozen=True)
class Map:
    """Where a good file keeps what: places of 64-bit numbers, 32-bit numbers, and names (place, length)."""

    counts: tuple[int, int]
    lengths: tuple[int, ...]  # of texts and arrays
    types: tuple[int, ...]
    axes: tuple[int, ...]
    dimensions: tuple[int, ...]
    offsets: tuple[int, ...]
    names: tuple[tuple[int, int], ...]
    alignment: int | None
    end: int  # of all headers


_SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}


def mapped(data: bytes) -> Map:
    """The map of a file that is good."""
    at, alignment = 24, None
    lengths, types, axes, dimensions, offsets, names = [], [], [], [], [], []
    tensors, keys = struct.unpack_from("<QQ", data, 8)

    def text() -> bytes:
        nonlocal at
        size = struct.unpack_from("<Q", data, at)[0]
        lengths.append(at)
        at += 8 + size
        return data[at - size : at]

    def value(kind: int) -> None:
        nonlocal at
        if kind == 8:
            text()
        elif kind == 9:
            inner, count = struct.unpack_from("<IQ", data, at)
            types.append(at)
            lengths.append(at + 4)
            at += 12
            for _ in range(count):
                value(inner)
        else:
            at += _SIZES[kind]

    for _ in range(keys):
        start = at
        key = text()
        names.append((start + 8, len(key)))
        types.append(at)
        kind = struct.unpack_from("<I", data, at)[0]
        at += 4
        alignment = at if key == b"general.alignment" else alignment
        value(kind)
    for _ in range(tensors):
        start = at
        names.append((start + 8, len(text())))
        axes.append(at)
        count = struct.unpack_from("<I", data, at)[0]
        dimensions += [at + 4 + 8 * i for i in range(count)]
        at += 4 + 8 * count
        types.append(at)
        offsets.append(at + 4)
        at += 12
    return Map(
        (8, 16),
        tuple(lengths),
        tuple(types),
        tuple(axes),
        tuple(dimensions),
        tuple(offsets),
        tuple(names),
        alignment,
        at,
    )


def mutate_gguf(data: bytes, rng: random.Random) -> bytes:
    """One to three faults of the known kinds, in a file that was good."""
    places = mapped(data)
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 3))):
        rng.choice(_KINDS)(changed, places, rng)
    if rng.random() < 0.1:
        del changed[rng.randrange(len(changed)) :]
    return bytes(changed)


def mutate_packed(data: bytes, rng: random.Random) -> bytes:
    """The same for a file in the CPU engine's form; half of them with weights that are noise under a true checksum,
    as somebody would make them who wants the kernels to meet what no packing gives: NaN scales, infinite vectors."""
    if rng.random() < 0.5:
        return mutate_gguf(data, rng)
    changed = bytearray(data)
    spans = _spans(data)
    for _ in range(rng.choice((1, 1, 3))):
        start, end = spans[rng.choice(list(spans))]
        at = rng.randrange(start, end - 4)
        size = min(end - at, rng.choice((4, 4, 64, 4096)))
        kind = rng.randrange(4)
        if kind == 0:
            changed[at : at + size] = rng.randbytes(size)
        elif kind == 1:
            changed[at : at + size] = rng.choice((b"\xff", b"\x00", b"\x7c", b"\x80")) * size
        else:
            at -= (at - start) % 4
            _put(changed, "<f", at, rng.choice((float("nan"), float("inf"), -float("inf"), 3e38, -0.0, 1e-45)))
    _sign(changed, data, spans)
    return bytes(changed)


def _spans(data: bytes) -> dict[str, tuple[int, int]]:
    """Where a file's block, vectors and scales are, from start to end."""
    found, base = {}, -(-mapped(data).end // ALIGNMENT) * ALIGNMENT
    for name, width in ((BLOCK, 1), (VECTORS, 4), (SCALES, 4)):
        at = data.index(struct.pack("<Q", len(name)) + name.encode()) + 8 + len(name)
        axes, count, _, offset = struct.unpack_from("<IQIQ", data, at)
        assert axes == 1
        found[name] = (base + offset, base + offset + count * width)
    return found


def _sign(changed: bytearray, good: bytes, spans: dict[str, tuple[int, int]]) -> None:
    """Make the checksum true again: of the settings, which are those of the good file, and of what was changed."""
    with tempfile.NamedTemporaryFile(suffix=".gguf") as file:
        file.write(good)
        file.flush()
        settings = settings_text(open_gguf(Path(file.name)).metadata)
    block, vectors, scales = (bytes(changed[start:end]) for start, end in spans.values())
    crc = zlib.crc32(settings, zlib.crc32(vectors + scales, zlib.crc32(block)))
    at = good.index(CHECKSUM_KEY.encode()) + len(CHECKSUM_KEY) + 4
    _put(changed, "<I", at, crc)


def _put(data: bytearray, form: str, at: int, number: int | float) -> None:
    struct.pack_into(form, data, at, number if form == "<f" else number % 256 ** struct.calcsize(form))


def _odd(rng: random.Random) -> int:
    return rng.choice((*HUGE, *NEAR, -1, -8, rng.getrandbits(64)))


def _count(data: bytearray, places: Map, rng: random.Random) -> None:
    _put(data, "<Q", rng.choice(places.counts), _odd(rng))


def _length(data: bytearray, places: Map, rng: random.Random) -> None:
    _put(data, "<Q", rng.choice(places.lengths), _odd(rng))


def _type(data: bytearray, places: Map, rng: random.Random) -> None:
    _put(data, "<I", rng.choice(places.types), rng.choice((*range(45), 2**31, 2**32 - 1)))


def _axes(data: bytearray, places: Map, rng: random.Random) -> None:
    _put(data, "<I", rng.choice(places.axes), rng.choice((0, 2, 3, 4, 5, 64, 2**29, 2**31, 2**32 - 1)))


def _dimension(data: bytearray, places: Map, rng: random.Random) -> None:
    """Alone, or several whose product wraps around to something small."""
    for at in rng.sample(places.dimensions, min(len(places.dimensions), rng.choice((1, 1, 2)))):
        _put(data, "<Q", at, _odd(rng))


def _offset(data: bytearray, places: Map, rng: random.Random) -> None:
    at = rng.choice(places.offsets)
    here = struct.unpack_from("<Q", data, at)[0]
    _put(data, "<Q", at, rng.choice((_odd(rng), here + 1, here + 32, here - 32, 2**64 - 32, len(data), 2**64 - here)))


def _twice(data: bytearray, places: Map, rng: random.Random) -> None:
    """One name over another of the same length."""
    at, size = rng.choice(places.names)
    equal = [other for other in places.names if other[1] == size and other[0] != at]
    if equal:
        other = rng.choice(equal)[0]
        data[at : at + size] = data[other : other + size]


def _name(data: bytearray, places: Map, rng: random.Random) -> None:
    at, size = rng.choice(places.names)
    data[at + rng.randrange(size)] = rng.choice((0, 0xFF, 0xC3, ord("."), ord("9"), rng.randrange(256)))


def _alignment(data: bytearray, places: Map, rng: random.Random) -> None:
    if places.alignment is not None:
        _put(data, "<I", places.alignment, rng.choice((0, 1, 3, 7, 31, 33, 64, 4_096, 2**31, 2**32 - 1)))


def _version(data: bytearray, places: Map, rng: random.Random) -> None:
    _put(data, rng.choice(("<I", ">I")), 4, rng.choice((0, 1, 2, 3, 4, 2**32 - 1)))


def _byte(data: bytearray, places: Map, rng: random.Random) -> None:
    """Anywhere: settings, tensors, padding."""
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def _setting(data: bytearray, places: Map, rng: random.Random) -> None:
    """A value of the metadata, just behind its type."""
    at = rng.choice(places.types) + 4
    _put(data, rng.choice(("<I", "<Q")), min(at, len(data) - 8), _odd(rng))


_KINDS = (
    _count, _length, _length, _type, _axes, _dimension, _dimension, _offset, _offset, _twice, _name, _alignment,
    _version, _byte, _setting, _setting,
)  # fmt: skip
