"""Writes small files in CTranslate2's form (version 6), for tests of their reader."""

import struct
from pathlib import Path

import numpy as np

TYPES = {np.dtype(np.float32): 0, np.dtype(np.int8): 1, np.dtype(np.int16): 2, np.dtype(np.float16): 4}


def write_ctranslate2(path: Path, arrays: dict[str, np.ndarray], specification: str = "WhisperSpec") -> None:
    """Variables in order, no aliases."""
    parts = [struct.pack("<I", 6), _text(specification), struct.pack("<II", 3, len(arrays))]
    for name, array in arrays.items():
        parts += [_text(name), struct.pack(f"<B{array.ndim}I", array.ndim, *array.shape)]
        parts += [struct.pack("<BI", TYPES[array.dtype], array.nbytes), array.tobytes()]
    path.write_bytes(b"".join([*parts, struct.pack("<I", 0)]))


def _text(value: str) -> bytes:
    data = value.encode() + b"\0"
    return struct.pack("<H", len(data)) + data
