"""Arrays in GGUF's number types: rounded to blocks of few bits, and back to float32. Knows no names and no files.

Rows are cut into blocks of 32 or 256 values that share scales. The `gguf` package reads every type and writes the
plain ones; Q4_K, Q5_K and Q6_K, which it only reads, are written by k_quants.py. Layouts: ggml's ggml-common.h.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..errors import InputError
from . import k_quants

if TYPE_CHECKING:
    from gguf import GGMLQuantizationType

Floats = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]

FLOAT_TYPES = ("F32", "F16", "BF16")  # a network computes on them as they are
BLOCK_TYPES = ("Q8_0", "Q6_K", "Q5_K", "Q5_1", "Q5_0", "Q4_K", "Q4_1", "Q4_0")  # rounded; from large to small
WRITABLE = (*FLOAT_TYPES, *BLOCK_TYPES)
READ_ONLY = (
    "Q2_K", "Q3_K", "IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S", "IQ4_NL", "IQ4_XS",
    "TQ1_0", "TQ2_0", "MXFP4", "NVFP4",
)  # fmt: skip
WHOLE_TYPES = ("I8", "I16", "I32", "I64")
READABLE = (*WRITABLE, *READ_ONLY)
CHUNK_VALUES = 2**21  # values rounded at a time: bounds the memory that this takes


def checked_type(name: str, known: Sequence[str] = READABLE) -> str:
    """The type's proper name, whatever its case. Raises InputError naming those that there are."""
    proper = name.upper()
    if proper not in known:
        raise InputError(f"There is no type {name!r} here.", hint=f"There are {', '.join(known)}.", field="type")
    return proper


def block_values(name: str) -> int:
    """Values of a row that are stored together: 1, 32 or 256."""
    return _sizes(name)[0]


def bits_per_value(name: str) -> float:
    """Bits that a value takes, its share of the scales included."""
    values, size = _sizes(name)
    return 8 * size / values


def stored_bytes(name: str, shape: Sequence[int]) -> int:
    """Bytes of an array of this shape. Raises InputError if its rows can't be cut into blocks."""
    values, size = _sizes(name)
    if values > 1 and (not shape or shape[-1] % values):
        raise InputError(f"Rows of {tuple(shape)} can't be cut into {name}'s blocks of {values}.", field="type")
    return math.prod(shape) // values * size


def fits(name: str, shape: Sequence[int]) -> bool:
    """Whether an array of this shape can be stored in this type."""
    values = block_values(name)
    return values == 1 or (len(shape) > 0 and shape[-1] % values == 0)


def quantize(values: npt.NDArray[Any], name: str, importance: Floats | None = None) -> Bytes:
    """Round an array (…, n) into a type's bytes (…, n / block · bytes).

    `importance` (n,), or (P, n) for P pages, weighs the columns' errors: the mean square of what each column is
    multiplied by. Q4_K, Q5_K, Q6_K, Q4_0 and Q5_0 heed it; for others it must be left out. Raises InputError for a
    type that can't be written, values that aren't finite, or rows that its blocks don't divide.
    """
    name = checked_type(name, WRITABLE)
    array = np.asarray(values)
    stored_bytes(name, array.shape)
    if importance is not None and array.ndim == 3 and importance.shape == (array.shape[0], array.shape[-1]):
        return np.stack([quantize(page, name, heeded) for page, heeded in zip(array, importance, strict=True)])
    if importance is not None and (name not in k_quants.WEIGHTED or importance.shape != array.shape[-1:]):
        raise InputError(f"{name} of {array.shape} can't heed an importance of {importance.shape}.", field="importance")
    rows = array.reshape(-1, array.shape[-1]) if array.ndim else array.reshape(1, 1)
    parts = [_quantized(np.asarray(part, np.float32), name, importance) for part in _chunks(rows)]
    joined = np.concatenate(parts) if parts else np.empty((0, 0), np.uint8)
    return joined.reshape(*array.shape[:-1], -1) if array.size else joined.reshape(*array.shape[:-1], 0)


def _quantized(rows: Floats, name: str, importance: Floats | None) -> Bytes:
    if not np.isfinite(rows).all():
        raise InputError("There are values that are not finite; they can't be rounded.", field="type")
    rows = np.ascontiguousarray(rows)
    if name == "F32":
        return rows.view(np.uint8)
    if name == "F16":
        return _half(rows).view(np.uint8)
    if importance is not None or name in k_quants.ENCODERS:
        return k_quants.encode(rows, name, importance)
    import gguf

    stored: Bytes = gguf.quantize(rows, _kind(name)).view(np.uint8)
    return stored


def _half(rows: Floats) -> npt.NDArray[np.float16]:
    largest = float(np.abs(rows).max(initial=0))
    if largest > 65_504:
        raise InputError(f"A value of {largest:g} is beyond F16's range.", hint="Use BF16 or F32.", field="type")
    return rows.astype(np.float16)


def dequantize(data: npt.NDArray[Any], name: str) -> Floats:
    """The float32 values (…, n) behind a type's bytes (…, bytes)."""
    name = checked_type(name)
    stored = np.asarray(data).view(np.uint8)
    values, size = _sizes(name)
    shape = (*stored.shape[:-1], stored.shape[-1] // size * values)
    out = np.empty(shape, np.float32)
    rows, room = stored.reshape(-1, stored.shape[-1]), out.reshape(-1, shape[-1])
    done = 0
    for part in _chunks(rows):
        room[done : done + len(part)] = _dequantized(part, name)
        done += len(part)
    return out


def _dequantized(rows: Bytes, name: str) -> Floats:
    import gguf

    with np.errstate(invalid="ignore", over="ignore"):  # a damaged file's scales may be infinite
        values: Floats = gguf.dequantize(np.ascontiguousarray(rows), _kind(name))
    return values


def _chunks(rows: npt.NDArray[Any]) -> Iterator[npt.NDArray[Any]]:
    step = max(1, CHUNK_VALUES // max(1, rows.shape[-1]))
    for start in range(0, len(rows), step):
        yield rows[start : start + step]


def _sizes(name: str) -> tuple[int, int]:
    from gguf import GGML_QUANT_SIZES

    values, size = GGML_QUANT_SIZES[_kind(name)]
    return int(values), int(size)


def _kind(name: str) -> GGMLQuantizationType:
    from gguf import GGMLQuantizationType

    return GGMLQuantizationType[name]
