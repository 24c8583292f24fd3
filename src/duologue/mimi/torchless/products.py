"""Matrix products on one thread: by the CPU engine's kernels where they are compiled, else by numpy.

numpy's own library spreads even small products over all cores and spins; on a machine that others use, a frame that
takes 4 ms on one thread was seen to take a hundred times that.
"""

from __future__ import annotations

import ctypes

import numpy as np

from ...errors import BackendUnavailable
from ...native import binding
from .tensors import Floats

_FLOAT32, _NO_GROUP, _ANY_PATH = 0, 0, b"auto"


class Product:
    """x (S,inputs) times a fixed matrix (inputs,outputs)."""

    def __init__(self, weight: Floats) -> None:
        self._shape = weight.shape
        self._weight: Floats | None = None  # only where there are no kernels
        try:
            self._packed = self._pack(weight)
        except BackendUnavailable:
            self._weight = np.ascontiguousarray(weight, np.float32)

    def __call__(self, x: Floats) -> Floats:
        """The product, float32."""
        if self._weight is not None:
            plain: Floats = x @ self._weight
            return plain
        inputs, outputs = self._shape
        values = np.ascontiguousarray(x, np.float32).reshape(-1, inputs)
        y = np.empty((len(values), outputs), np.float32)
        places = binding.address(values), len(values), binding.address(y)
        binding.check(binding.library().dl_multiply(_ANY_PATH, ctypes.byref(self._packed), *places))
        return y

    def _pack(self, weight: Floats) -> binding.CMatrix:
        inputs, outputs = self._shape
        size = binding.library().dl_packed_bytes(_FLOAT32, _NO_GROUP, outputs, inputs)
        self._block = np.empty(size, np.uint8)  # the C side points into it
        rows, scale = np.ascontiguousarray(weight.T, np.float32), ctypes.c_float()
        shape = (_FLOAT32, _NO_GROUP, outputs, inputs)
        places = binding.address(rows), binding.address(self._block), ctypes.byref(scale)
        binding.check(binding.library().dl_pack(*shape, *places))
        return binding.CMatrix(*shape, scale.value, binding.address(self._block), size)
