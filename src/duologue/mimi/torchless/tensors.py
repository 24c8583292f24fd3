"""A codec's arrays by the names of mimi/codec.py, each checked when it is taken. Knows no files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ...errors import LayoutMismatch, WeightsDamaged

Floats = npt.NDArray[np.float32]


class Tensors:
    """Float32 arrays from a mapping of stored ones; `rename` gives the stored name of one of ours.

    With `taken`, nothing is read: names that are asked for are noted there, and arrays of zeros are handed out.
    """

    def __init__(
        self,
        stored: Mapping[str, npt.NDArray[Any]],
        rename: Callable[[str], str] = lambda name: name,
        taken: set[str] | None = None,
    ) -> None:
        self._stored, self._rename, self._taken = stored, rename, taken
        self._prefix = ""

    def within(self, prefix: str) -> Tensors:
        """The same arrays, seen from inside a module."""
        inner = Tensors(self._stored, self._rename, self._taken)
        inner._prefix = f"{self._prefix}{prefix}."
        return inner

    def dry(self, taken: set[str]) -> Tensors:
        """The same names and shapes without the values."""
        return Tensors(self._stored, self._rename, taken)

    def take(self, name: str, *shape: int) -> Floats:
        """An array of exactly this shape. Raises LayoutMismatch if it is missing or has another, WeightsDamaged if it
        holds anything but finite numbers."""
        ours = self._prefix + name
        stored = self._rename(ours)
        if stored not in self._stored:
            raise LayoutMismatch.of_keys("the codec's file", missing=[stored])
        array = self._stored[stored]
        if tuple(array.shape) != shape:
            raise LayoutMismatch(f"{stored} is {tuple(array.shape)}; this config wants {shape}.")
        if array.dtype.kind != "f" and array.dtype != np.uint16:
            raise WeightsDamaged(f"{stored} is {array.dtype}; weights should be floating-point.")
        if self._taken is not None:
            self._taken.add(ours)
            return np.broadcast_to(np.float32(0), shape)
        if array.dtype == np.uint16:  # bfloat16, which numpy lacks
            values = (array.astype(np.uint32) << 16).view(np.float32)
        else:
            values = np.ascontiguousarray(array, np.float32)
        if not np.isfinite(values).all():
            raise WeightsDamaged(f"{stored} holds values that are not finite.", hint="Fetch the file again.")
        return values

    def has(self, name: str) -> bool:
        """Whether there is such an array."""
        return self._rename(self._prefix + name) in self._stored
