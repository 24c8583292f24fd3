"""How a good file becomes a bad one: bits, lengths, header numbers, and words of a JSON header."""

from __future__ import annotations

import json
import random
import struct

NUMBERS = (0, 1, 2, 7, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1)
ODD_NUMBERS = (-1, 0, 1, 2**40, 2**63, 1.5, float("nan"), True)
VALUES = (*ODD_NUMBERS, None, "", "x", "../x", "F64", "I4", "\x00", [], [0], [-1, 2], {})


def mutate(data: bytes, rng: random.Random) -> bytes:
    """One to four changes of kinds that real damage and real attackers make."""
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        data = rng.choice((_flip, _cut, _grow, _number, _splice, _header, _header, _header, _header))(data, rng)
    return data


def _flip(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 4, 32))):
        if changed:
            changed[_early(len(changed), rng)] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _cut(data: bytes, rng: random.Random) -> bytes:
    return data[: _early(len(data) + 1, rng)]


def _grow(data: bytes, rng: random.Random) -> bytes:
    return data + rng.randbytes(rng.choice((1, 8, 1_000)))


def _number(data: bytes, rng: random.Random) -> bytes:
    """Overwrite 1, 2, 4 or 8 bytes by a number on the edge of some type."""
    form = rng.choice(("<B", "<H", "<I", "<Q", ">I"))
    size = struct.calcsize(form)
    if len(data) < size:
        return data
    at = _early(len(data) - size + 1, rng)
    return data[:at] + struct.pack(form, rng.choice(NUMBERS) % 256**size) + data[at + size :]


def _splice(data: bytes, rng: random.Random) -> bytes:
    if not data:
        return data
    at, source = _early(len(data), rng), rng.randrange(len(data))
    return data[:at] + data[source : source + rng.randint(1, 64)] + data[at:]


def _header(data: bytes, rng: random.Random) -> bytes:
    """Change a value somewhere inside a safetensors header, keeping its length field true."""
    length = int.from_bytes(data[:8], "little")
    if not 2 <= length <= len(data) - 8:
        return _flip(data, rng)
    try:
        header = json.loads(data[8 : 8 + length])
    except ValueError:
        return data
    if not isinstance(header, dict) or not header:
        return data
    _spoil(header, rng)
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data[8 + length :]


def _spoil(table: dict, rng: random.Random) -> None:
    key = rng.choice(list(table))
    inner = table[key]
    if isinstance(inner, dict) and inner and rng.random() < 0.8:
        return _spoil(inner, rng)
    choice = rng.randrange(5)
    if choice == 0:
        del table[key]
    elif choice == 1:
        table[key + rng.choice(("x", ".weight", "\u0000"))] = table.pop(key)
    elif choice == 2 and isinstance(inner, list) and inner:
        inner[rng.randrange(len(inner))] = rng.choice((*NUMBERS, -1, 1.5, "1", None))
    elif choice == 3 and isinstance(inner, str) and inner.startswith("{"):
        table[key] = _spoil_text(inner, rng)
    else:
        table[key] = rng.choice(VALUES)
    return None


def _spoil_text(text: str, rng: random.Random) -> str:
    """Change a value of JSON inside JSON, which is how configs and cards travel."""
    try:
        inner = json.loads(text)
    except ValueError:
        return text
    if isinstance(inner, dict) and inner:
        _spoil(inner, rng)
    return json.dumps(inner)


def _early(size: int, rng: random.Random) -> int:
    """A place in the file, mostly near its start, where headers are."""
    return min(size - 1, int(size * rng.random() ** rng.choice((1, 4, 12)))) if size > 0 else 0
