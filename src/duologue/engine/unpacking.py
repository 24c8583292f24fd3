"""From the CPU engine's form back to a network's named arrays: for other engines, and for other layouts.

The inverse of pieces.py. Values are those that the kernels see: what rounding took stays lost. Nothing is made before
it is asked for, and then one matrix at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from ..csm.config import CsmConfig
from ..nn.llama_config import StackConfig
from .packed import PackedModel, PackedTable
from .pieces import as_float32, expected_shapes, text_tables
from .quantize import Floats, unpack


class UnpackedArray:
    """A read-only array that is made where it is looked at. `make` takes a slice of the first axis."""

    dtype = np.dtype(np.float32)

    def __init__(self, shape: tuple[int, ...], make: Callable[[slice], Floats]) -> None:
        self.shape, self._make = shape, make

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of values."""
        return int(np.prod(self.shape))

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> Floats:
        if isinstance(index, slice):
            return self._make(index)
        return self._make(slice(None))[index]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        values = self._make(slice(None))
        return values if dtype is None else values.astype(dtype, copy=False)

    def swapaxes(self, first: int, second: int) -> Floats:
        """The values with two axes exchanged."""
        return np.asarray(self).swapaxes(first, second)


def unpacked(packed: PackedModel) -> dict[str, Any]:
    """The named arrays of csm/model.py: vectors as they are, matrices and tables as UnpackedArray."""
    config = packed.config
    makes: dict[str, Callable[[slice], Floats]] = {}
    for name, prefix, stack in (("backbone", "backbone", config.backbone), ("depth", "decoder", config.depth)):
        for i in range(stack.layers):
            makes |= _layer(packed, f"{name}.{i}", f"{prefix}.layers.{i}", stack)
    makes |= {name: _table(packed.tables[f"text.{i}"]) for i, name in enumerate(text_tables(config))}
    makes["audio_embeddings.weight"] = _table(packed.tables["audio"])
    makes["codebook0_head.weight"] = _matrix(packed, "first_head")
    if config.aligned is not None:
        makes["advance_head.weight"] = _matrix(packed, "advance_head")
    makes["projection.weight"] = _matrix(packed, "projection")
    makes["audio_head"] = lambda rows: np.stack(
        [unpack(packed.matrices[f"head.{i}"]).T for i in range(config.num_codebooks - 1)[rows]]
    )
    return {
        name: packed.vectors[name] if len(shape) == 1 else _array(config, name, shape, makes[name])
        for name, shape in expected_shapes(config).items()
    }


def _array(config: CsmConfig, name: str, shape: tuple[int, ...], make: Callable[[slice], Floats]) -> Any:
    """With one codebook nothing reads the depth decoder's ends, and they are not kept."""
    if config.num_codebooks == 1 and name in ("projection.weight", "audio_head"):
        return np.zeros(shape, np.float32)
    width = shape[1]

    def cut(rows: slice) -> Floats:
        values = make(rows)
        return values[:, :width] if values.ndim == 2 else values

    return UnpackedArray(shape, cut)


def _matrix(packed: PackedModel, name: str) -> Callable[[slice], Floats]:
    return lambda rows: unpack(packed.matrices[name])[rows]


def _table(table: PackedTable) -> Callable[[slice], Floats]:
    def make(rows: slice) -> Floats:
        kinds: dict[str, Any] = {"float32": np.float32, "bfloat16": np.uint16, "int8": np.int8}
        values = table.data.view(kinds[table.kind]).reshape(table.rows, table.stride)[rows]
        if table.scales is None:
            return as_float32(values)
        with np.errstate(over="ignore", invalid="ignore"):  # a damaged file's scales may be infinite
            found: Floats = values.astype(np.float32) * table.scales[rows, None]
        return found

    return make


def _layer(packed: PackedModel, name: str, layer: str, stack: StackConfig) -> dict[str, Callable[[slice], Floats]]:
    """The matrices of one layer, out of the four that the kernels know."""
    heads, kv_heads, width = stack.heads, stack.kv_heads, stack.width
    padded = -(-stack.head_width // 16) * 16

    def attention(first: int, count: int, paired: bool) -> Callable[[slice], Floats]:
        def make(rows: slice) -> Floats:
            every = unpack(packed.matrices[f"{name}.qkv"]).reshape(-1, padded, width)
            own = every[first : first + count, : stack.head_width]
            if paired:  # rotary pairs side by side again
                return own.reshape(count, 2, -1, width).swapaxes(1, 2).reshape(-1, width)[rows]
            return own.reshape(-1, width)[rows]

        return make

    def out(rows: slice) -> Floats:
        found = unpack(packed.matrices[f"{name}.out"]).reshape(width, heads, padded)
        return found[..., : stack.head_width].reshape(width, -1)[rows]

    def feed(which: int) -> Callable[[slice], Floats]:
        def make(rows: slice) -> Floats:
            found = unpack(packed.matrices[f"{name}.gate_up"]).reshape(-1, 2, 16, width)
            return found[:, which].reshape(-1, width)[: stack.hidden][rows]

        return make

    return {
        f"{layer}.attn.q_proj.weight": attention(0, heads, True),
        f"{layer}.attn.k_proj.weight": attention(heads, kv_heads, True),
        f"{layer}.attn.v_proj.weight": attention(heads + kv_heads, kv_heads, False),
        f"{layer}.attn.output_proj.weight": out,
        f"{layer}.mlp.w1.weight": feed(0),
        f"{layer}.mlp.w3.weight": feed(1),
        f"{layer}.mlp.w2.weight": _matrix(packed, f"{name}.down"),
    }
