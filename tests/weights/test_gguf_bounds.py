"""Known attacks on GGUF parsers, each refused by name before anything is made of it."""

from __future__ import annotations

import struct
import time
import tracemalloc
from pathlib import Path

import gguf
import numpy as np
import pytest

from duologue.errors import WeightsDamaged, WeightsNotFound
from duologue.weights.gguf_file import NewTensor, open_gguf, write_gguf

HEADER = struct.Struct("<4sIQQ")


def header(tensors: int = 0, keys: int = 0, version: int = 3) -> bytes:
    return HEADER.pack(b"GGUF", version, tensors, keys)


def text(value: bytes, length: int | None = None) -> bytes:
    return struct.pack("<Q", len(value) if length is None else length) + value


def tensor(name: bytes, shape: tuple[int, ...], kind: int = 0, offset: int = 0, axes: int | None = None) -> bytes:
    sizes = struct.pack(f"<{len(shape)}Q", *shape)
    return (
        text(name) + struct.pack("<I", len(shape) if axes is None else axes) + sizes + struct.pack("<IQ", kind, offset)
    )


def key(name: bytes, kind: int, value: bytes) -> bytes:
    return text(name) + struct.pack("<I", kind) + value


ATTACKS = {
    "it ends within": b"GGUF",
    "no GGUF file": b"GGUG" + bytes(60),
    "version 1": header(version=1) + bytes(64),
    "big-endian": HEADER.pack(b"GGUF", 3 << 24, 0, 0) + bytes(64),
    "claims 18446744073709551615 tensors": header(tensors=2**64 - 1) + bytes(64),
    "claims 1152921504606846976 keys": header(keys=2**60) + bytes(64),
    "a text of 18446744073709551615 bytes": header(keys=1) + text(b"k", 2**64 - 1) + bytes(64),
    "claims 2305843009213693952 elements": header(keys=1) + key(b"k", 9, struct.pack("<IQ", 4, 2**61)) + bytes(64),
    "a text is longer than the file": header(keys=1)
    + key(b"k", 9, struct.pack("<IQ", 8, 1) + text(b"", 2**63)) + bytes(64),
    "elements of the type 9": header(keys=1) + key(b"k", 9, struct.pack("<IQ", 9, 2)) + bytes(64),
    "unknown type 99": header(keys=1) + key(b"k", 99, bytes(8)) + bytes(64),
    "is there twice": header(keys=2) + key(b"k", 4, bytes(4)) * 2 + bytes(64),
    "an alignment of 0": header(keys=1) + key(b"general.alignment", 4, struct.pack("<I", 0)) + bytes(64),
    "an alignment of 33": header(keys=1) + key(b"general.alignment", 4, struct.pack("<I", 33)) + bytes(64),
    "claims 4294967295 axes": header(tensors=1) + tensor(b"t", (1,), axes=2**32 - 1) + bytes(64),
    "axis of no length": header(tensors=1) + tensor(b"t", (0, 4)) + bytes(64),
    "doesn't suit its type": header(tensors=1) + tensor(b"t", (2**32, 2**32)) + bytes(64),  # the product wraps to 0
    "the shape [33]": header(tensors=1) + tensor(b"t", (33,), kind=2) + bytes(64),
    "has the unknown type 77": header(tensors=1) + tensor(b"t", (4,), kind=77) + bytes(64),
    "'t' lies beyond its end": header(tensors=1) + tensor(b"t", (1_000,)) + bytes(64),
    "lies beyond its end or": header(tensors=1) + tensor(b"t", (1,), offset=2**64 - 32) + bytes(64),  # wraps backwards
    "off its alignment": header(tensors=1) + tensor(b"t", (1,), offset=4) + bytes(128),
    "the tensor b't' is there twice": header(tensors=2) + tensor(b"t", (1,)) * 2 + bytes(128),
    "its name is no text": header(tensors=1) + tensor(b"\xff\xfe", (1,)) + bytes(128),
    "ends inside its header": header(tensors=3) + tensor(b"t", (1,)),
}  # fmt: skip


@pytest.mark.parametrize("words", ATTACKS)
def test_an_attack_is_refused_by_name_at_once(words: str, tmp_path: Path) -> None:
    path = tmp_path / "a.gguf"
    path.write_bytes(ATTACKS[words])
    began = time.perf_counter()
    tracemalloc.start()
    with pytest.raises(WeightsDamaged) as caught:
        open_gguf(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert words in str(caught.value)
    assert time.perf_counter() - began < 2 and peak < 8 * 2**20


def test_a_good_file_is_what_was_written(tmp_path: Path) -> None:
    values = np.arange(96, dtype=np.float32).reshape(3, 32)
    keys = {"a.b": 3, "a.c": -2, "a.d": 0.1, "a.e": "words", "a.f": [1, 2], "a.g": ["x", "yä"], "a.h": True}
    write_gguf(tmp_path / "a.gguf", "test", keys, {"t": NewTensor("F32", (3, 32), lambda: values)})
    file = open_gguf(tmp_path / "a.gguf")
    assert file.architecture == "test" and {name: file.metadata[name] for name in keys} == keys
    assert np.array_equal(file.tensors["t"].array(), values)
    theirs = gguf.GGUFReader(tmp_path / "a.gguf")
    assert [theirs.fields[name].contents() for name in keys] == list(keys.values())
    with pytest.raises(WeightsNotFound):
        open_gguf(tmp_path / "absent.gguf")


def test_a_write_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    from duologue.errors import InputError

    with pytest.raises(InputError, match="takes 384"):
        write_gguf(tmp_path / "a.gguf", "test", {}, {"t": NewTensor("F32", (3, 32), lambda: np.zeros(3, np.float32))})
    assert list(tmp_path.iterdir()) == []
