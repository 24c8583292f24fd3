"""An array in a rounded type that becomes float32 where it is looked at. Knows types, no files.

It behaves as a read-only numpy array as far as weights are used: shape, len, first-axis indexing, np.asarray. What lies
behind it stays as it is stored, mapped from the file, so that a model is never in memory twice.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import LayoutMismatch, WeightsDamaged
from .quantized_types import bits_per_value, dequantize, quantize

Floats = npt.NDArray[np.float32]


class StoredArray:
    """Rounded values (…, n) by their bytes (…, bytes per row); `swapped` shows the last two axes exchanged."""

    dtype = np.dtype(np.float32)

    def __init__(self, data: npt.NDArray[np.uint8], type_name: str, *, swapped: bool = False) -> None:
        self.data, self.type, self.swapped = data, type_name, swapped

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the values."""
        row = round(self.data.shape[-1] * 8 / bits_per_value(self.type))
        shape = (*self.data.shape[:-1], row)
        return (*shape[:-2], shape[-1], shape[-2]) if self.swapped else shape

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> Floats:
        """Values of some indices of the first axis; only those are made."""
        if self.swapped and self.ndim == 2:
            return np.asarray(self)[index]
        values = dequantize(self.data[index], self.type)
        return values.swapaxes(-1, -2) if self.swapped else values

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        values = dequantize(self.data, self.type)
        if self.swapped:
            values = values.swapaxes(-1, -2)
        return values if dtype is None else values.astype(dtype, copy=False)

    def swap(self) -> StoredArray:
        """The same values with the last two axes exchanged."""
        return StoredArray(self.data, self.type, swapped=not self.swapped)

    def rows(self, order: npt.NDArray[np.int64] | slice) -> StoredArray:
        """Some indices of the first axis, in this order, still as stored."""
        return StoredArray(self.data[order], self.type, swapped=self.swapped)


def swap_axes(values: Any) -> Any:
    """Any array with its last two axes exchanged."""
    return values.swap() if isinstance(values, StoredArray) else values.swapaxes(-1, -2)


def take_rows(values: Any, order: npt.NDArray[np.int64] | slice) -> Any:
    """Some indices of any array's first axis."""
    return values.rows(order) if isinstance(values, StoredArray) else values[order]


def join_rows(parts: list[Any]) -> Any:
    """Arrays of one type, one below the other; torch tensors stay torch tensors.

    Raises LayoutMismatch where their rows differ in shape.
    """
    shapes = [tuple(part.shape) for part in parts]
    if len({shape[1:] for shape in shapes}) > 1:
        raise LayoutMismatch(f"Tensors to be joined by rows have the shapes {shapes}.")
    if all(isinstance(part, StoredArray) and part.type == parts[0].type for part in parts):
        return StoredArray(np.concatenate([part.data for part in parts]), parts[0].type)
    if all(isinstance(part, np.ndarray) and part.dtype == parts[0].dtype for part in parts):
        return np.concatenate(parts)
    if any(isinstance(part, StoredArray | np.ndarray) for part in parts):
        return np.concatenate([as_floats(part) for part in parts])
    import torch

    return torch.cat(parts)


def type_of(values: Any) -> str:
    """The GGUF type in which an array is now. Raises WeightsDamaged for one that is no weight."""
    if isinstance(values, StoredArray):
        return values.type
    names = {np.dtype(np.float32): "F32", np.dtype(np.float16): "F16", np.dtype(np.uint16): "BF16"}
    if values.dtype not in names:
        raise WeightsDamaged(f"A tensor is {values.dtype}; weights should be float32, float16 or bfloat16.")
    return names[values.dtype]


def as_floats(values: Any) -> Floats:
    """Any array as float32; uint16 stands for bfloat16, which numpy lacks."""
    if isinstance(values, np.ndarray) and values.dtype == np.uint16:
        return (values.astype(np.uint32) << 16).view(np.float32)
    return np.asarray(values, np.float32)


def in_type(values: Any, type_name: str, importance: Floats | None = None) -> npt.NDArray[Any]:
    """An array's bytes in a type. What is in that type already is not touched, so that its bits stay."""
    if type_of(values) == type_name:
        if not isinstance(values, StoredArray):
            return np.ascontiguousarray(values).view(np.uint8) if values.ndim else values
        if not values.swapped:
            return values.data
    return quantize(as_floats(values), type_name, importance)


def as_tensor(values: Any) -> Any:
    """A torch tensor of these values: floats in their own type and, if they lie in a file, still there."""
    import warnings

    import torch

    if isinstance(values, StoredArray):
        return torch.from_numpy(np.ascontiguousarray(values))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "not writable": weights that lie in a mapped file are never written to
        tensor = torch.from_numpy(np.ascontiguousarray(values))
    return tensor.view(torch.bfloat16) if values.dtype == np.uint16 else tensor
