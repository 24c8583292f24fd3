"""A codec's arrays by the names of mimi/codec.py, each checked for its shape when it is taken. Knows no files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ...errors import LayoutMismatch

Floats = npt.NDArray[np.float32]


class Tensors:
    """Float32 arrays from a mapping of stored ones; `rename` gives the stored name of one of ours."""

    def __init__(
        self, stored: Mapping[str, npt.NDArray[Any]], rename: Callable[[str], str] = lambda name: name
    ) -> None:
        self._stored, self._rename = stored, rename
        self._prefix = ""

    def within(self, prefix: str) -> Tensors:
        """The same arrays, seen from inside a module."""
        inner = Tensors(self._stored, self._rename)
        inner._prefix = f"{self._prefix}{prefix}."
        return inner

    def take(self, name: str, *shape: int) -> Floats:
        """An array of exactly this shape. Raises LayoutMismatch if it is missing or has another."""
        stored = self._rename(self._prefix + name)
        if stored not in self._stored:
            raise LayoutMismatch.of_keys("the codec's file", missing=[stored])
        array = self._stored[stored]
        if tuple(array.shape) != shape:
            raise LayoutMismatch(f"{stored} is {tuple(array.shape)}; this config wants {shape}.")
        if array.dtype == np.uint16:  # bfloat16, which numpy lacks
            return (array.astype(np.uint32) << 16).view(np.float32)
        return np.ascontiguousarray(array, np.float32)

    def has(self, name: str) -> bool:
        """Whether there is such an array."""
        return self._rename(self._prefix + name) in self._stored
