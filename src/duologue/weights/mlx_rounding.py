"""MLX's rounded matrices: levels of a few bits in 32-bit words, groups of a row sharing a scale. Knows no names.

Levels are one stream of bits along a row, the lowest first, also where 3, 5 or 6 bits cross a word. What a level means
is the mode's: affine (level · scale + bias), or floating point of 4 or 8 bits times a power of two (mxfp4, mxfp8) or
times an 8-bit float (nvfp4). Learned from, and tested against, what MLX 0.32 itself writes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import LayoutMismatch
from .quantized_types import CHUNK_VALUES
from .stored_array import as_floats

Floats = npt.NDArray[np.float32]
AFFINE_BITS = (2, 3, 4, 5, 6, 8)
FLOAT_MODES = {"mxfp4": (4, 32), "mxfp8": (8, 32), "nvfp4": (4, 16)}  # bits, columns that share a scale
E2M1 = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6], np.float32)


def _e4m3() -> Floats:
    codes = np.arange(256)
    sign, exponent, fraction = np.where(codes & 128, -1.0, 1.0), (codes >> 3) & 15, codes & 7
    sizes = np.where(exponent == 0, fraction * 2.0**-9, (1 + fraction / 8) * 2.0 ** (exponent - 7))
    values: Floats = (sign * np.where((codes & 127) == 127, np.nan, sizes)).astype(np.float32)
    return values


E4M3 = _e4m3()


class GroupedArray:
    """A matrix in MLX's rounded form that becomes float32 where it is looked at."""

    dtype = np.dtype(np.float32)
    ndim = 2

    def __init__(self, words: npt.NDArray[np.uint32], scales: Any, biases: Any, bits: int, mode: str) -> None:
        self._words, self._scales, self._biases, self._bits, self._mode = words, scales, biases, bits, mode
        self.shape = (words.shape[0], words.shape[1] * 32 // bits)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> Floats:
        words, scales = np.asarray(self._words[rows]), self._scales[rows]
        levels = unpacked_levels(words.reshape(-1, words.shape[-1]), self._bits)
        grouped = levels.reshape(*scales.shape, -1)
        values: Floats
        with np.errstate(over="ignore", invalid="ignore"):  # a damaged file's scales may be infinite
            if self._mode == "affine":
                biases = as_floats(self._biases[rows])[..., None]
                values = grouped.astype(np.float32) * as_floats(scales)[..., None] + biases
            else:
                table = E4M3 if self._bits == 8 else E2M1
                factors = E4M3[scales] if self._mode == "nvfp4" else np.exp2(scales.astype(np.float32) - 127)
                values = table[grouped] * factors[..., None]
        return values.reshape(*words.shape[:-1], self.shape[1])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        values = self[:]
        return values if dtype is None else values.astype(dtype, copy=False)


def unpacked_levels(words: npt.NDArray[np.uint32], bits: int) -> npt.NDArray[np.uint8]:
    """The levels (rows, n) in words (rows, n · bits / 32)."""
    if 8 % bits == 0:
        shifts = np.arange(0, 32, bits, dtype=np.uint32)
        levels = (words[..., None] >> shifts) & np.uint32(2**bits - 1)
        return levels.reshape(len(words), -1).astype(np.uint8)
    columns, step = words.shape[1] * 32 // bits, max(1, CHUNK_VALUES // max(1, words.shape[1]))
    levels = np.empty((len(words), columns), np.uint8)
    for start in range(0, len(words), step):  # a bit takes a byte meanwhile
        part = np.ascontiguousarray(words[start : start + step]).view(np.uint8)
        stream = np.unpackbits(part, axis=1, bitorder="little").reshape(len(part), columns, bits)
        levels[start : start + step] = np.packbits(stream, axis=2, bitorder="little")[..., 0]
    return levels


def grouped_array(base: str, words: Any, scales: Any, biases: Any, settings: Sequence[Any], where: str) -> GroupedArray:
    """The matrix `base` from its tensors; `settings` are bits and mode as its config has them.

    Raises LayoutMismatch for a form that is unknown, or tensors that don't fit it.
    """
    bits, mode = settings[0], settings[1] or "affine"
    affine = mode == "affine" and bits in AFFINE_BITS and biases is not None
    if not affine and not (mode in FLOAT_MODES and bits == FLOAT_MODES[mode][0] and biases is None):
        known = f"affine in {AFFINE_BITS} bits, {', '.join(FLOAT_MODES)}"
        raise LayoutMismatch(
            f"{base} in {where} is rounded to {bits!r} bits ({mode}); read are {known}.",
            hint="Its config.json should lie beside it; else take another copy.",
        )
    kinds = (np.uint8,) if not affine else (np.float16, np.float32, np.uint16)
    fitting = words.dtype == np.uint32 and words.ndim == scales.ndim == 2 and scales.dtype in kinds
    fitting = fitting and (biases is None or (scales.shape == biases.shape and scales.dtype == biases.dtype))
    columns = words.shape[1] * 32 // bits if fitting else 0
    groups = max(1, scales.shape[1]) if fitting else 1
    whole = fitting and words.shape[0] == scales.shape[0] and words.shape[1] * 32 % bits == 0 and columns % groups == 0
    if not whole or (not affine and columns // groups != FLOAT_MODES[mode][1]):
        raise LayoutMismatch(f"{base} in {where} has scales {scales.shape} that don't fit its words {words.shape}.")
    return GroupedArray(words, scales, biases, bits, mode)
