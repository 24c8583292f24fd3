"""Which matrices and tables the CPU engine wants, and how each comes from a network's named arrays. Packs nothing.

Names and shapes of the arrays are those of csm/model.py's state dict; nothing here needs torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..csm.config import CsmConfig
from ..errors import LayoutMismatch
from ..nn.llama_config import StackConfig
from .quantize import Floats, Format, FormatPlan, Kind, packed_bytes

VALUE_BYTES = {"float32": 4, "bfloat16": 2, "int8": 1}


@dataclass(frozen=True)
class Piece:
    """One thing in the block: a matrix with a Format, or a table with a Kind. `make` gives its float32 values."""

    name: str
    rows: int
    cols: int
    stored: Format | Kind
    make: Callable[[], Floats]

    @property
    def stride(self) -> int:
        """Values from one table row to the next."""
        return -(-self.cols // 16) * 16

    @property
    def nbytes(self) -> int:
        """Bytes in the block; an int8 table's row scales follow its values."""
        if isinstance(self.stored, Format):
            return packed_bytes(self.stored, self.rows, self.cols)
        scales = 4 * self.rows if self.stored == "int8" else 0
        return self.rows * self.stride * VALUE_BYTES[self.stored] + scales


def as_float32(array: npt.NDArray[Any]) -> Floats:
    """Values of a weight array; uint16 stands for bfloat16, which numpy lacks."""
    if array.dtype == np.uint16:
        return (array.astype(np.uint32) << 16).view(np.float32)
    return np.asarray(array, np.float32)


def expected_shapes(config: CsmConfig) -> dict[str, tuple[int, ...]]:
    """Every tensor a CSM of this config has."""
    width, depth_width, size, books = (
        config.backbone.width,
        config.depth.width,
        config.codebook_size,
        config.num_codebooks,
    )
    shapes: dict[str, tuple[int, ...]] = {
        "text_embeddings.weight": (config.text_vocab, width),
        "audio_embeddings.weight": (books * size, width),
        "projection.weight": (depth_width, width),
        "codebook0_head.weight": (size, width),
        "audio_head": (books - 1, depth_width, size),
    }
    if config.aligned is not None:
        for i in range(config.aligned.window):
            shapes[f"aligned_embeddings.window.{i}.weight"] = (config.text_vocab + 1, width)
        shapes["aligned_embeddings.timing.weight"] = (config.aligned.timings, width)
        shapes["advance_head.weight"] = (config.aligned.max_advance + 1, width)
    for prefix, stack in (("backbone", config.backbone), ("decoder", config.depth)):
        shapes[f"{prefix}.norm.scale"] = (stack.width,)
        inner, kv_inner = stack.heads * stack.head_width, stack.kv_heads * stack.head_width
        for i in range(stack.layers):
            layer = f"{prefix}.layers.{i}"
            shapes[f"{layer}.sa_norm.scale"] = shapes[f"{layer}.mlp_norm.scale"] = (stack.width,)
            shapes[f"{layer}.attn.q_proj.weight"] = (inner, stack.width)
            shapes[f"{layer}.attn.k_proj.weight"] = shapes[f"{layer}.attn.v_proj.weight"] = (kv_inner, stack.width)
            shapes[f"{layer}.attn.output_proj.weight"] = (stack.width, inner)
            shapes[f"{layer}.mlp.w1.weight"] = shapes[f"{layer}.mlp.w3.weight"] = (stack.hidden, stack.width)
            shapes[f"{layer}.mlp.w2.weight"] = (stack.width, stack.hidden)
    return shapes


def check_shapes(config: CsmConfig, weights: Mapping[str, npt.NDArray[Any]]) -> None:
    """Raise LayoutMismatch unless exactly the expected tensors are there, each of its size."""
    wanted = expected_shapes(config)
    missing, unexpected = wanted.keys() - weights.keys(), weights.keys() - wanted.keys()
    if missing or unexpected:
        raise LayoutMismatch.of_keys("the weights", missing, unexpected)
    for name, shape in wanted.items():
        if tuple(weights[name].shape) != shape:
            raise LayoutMismatch(f"{name} is {tuple(weights[name].shape)}; this config wants {shape}.")


class Pieces:
    """All pieces of one network, roughly in the order in which a frame reads them."""

    def __init__(self, config: CsmConfig, weights: Mapping[str, npt.NDArray[Any]], plan: FormatPlan) -> None:
        self.config, self.weights, self.plan = config, weights, plan

    def all(self) -> Iterator[Piece]:
        config, width = self.config, self.config.backbone.width
        books, size = config.num_codebooks, config.codebook_size
        yield from self._stack("backbone", "backbone", config.backbone)
        yield self._matrix("first_head", size, width, lambda: self._get("codebook0_head.weight"))
        if config.aligned is not None:
            moves = config.aligned.max_advance + 1
            yield self._matrix("advance_head", moves, width, lambda: self._get("advance_head.weight"))
        if books > 1:
            yield self._matrix("projection", config.depth.width, width, lambda: self._get("projection.weight"))
            for i in range(books - 1):
                make = lambda i=i: as_float32(self.weights["audio_head"][i]).T  # noqa: E731
                yield self._matrix(f"head.{i}", size, config.depth.width, make)
        yield from self._stack("depth", "decoder", config.depth)
        yield from self._tables()

    def _tables(self) -> Iterator[Piece]:
        config, width = self.config, self.config.backbone.width
        shapes = expected_shapes(config)
        for i, name in enumerate(text_tables(config)):
            rows = shapes[name][0]
            yield Piece(f"text.{i}", rows, width, self.plan.tables, lambda name=name: self._get(name))  # type: ignore[misc]
        rows = config.num_codebooks * config.codebook_size
        yield Piece("audio", rows, width, self.plan.tables, lambda: self._get("audio_embeddings.weight"))
        if config.num_codebooks > 1:
            known = rows - config.codebook_size  # the last codebook is never read by the depth decoder
            yield Piece("depth_audio", known, config.depth.width, self.plan.tables, lambda: self._projected(known))

    def _stack(self, name: str, prefix: str, stack: StackConfig) -> Iterator[Piece]:
        padded = -(-stack.head_width // 16) * 16
        inner, kv_inner, tiles = stack.heads * padded, stack.kv_heads * padded, -(-stack.hidden // 16)
        for i in range(stack.layers):
            layer = f"{prefix}.layers.{i}"
            makes = {
                "qkv": (inner + 2 * kv_inner, stack.width, lambda at=layer: self._qkv(at, stack)),
                "out": (stack.width, inner, lambda at=layer: self._out(at, stack)),
                "gate_up": (tiles * 32, stack.width, lambda at=layer: self._gate_up(at, tiles)),
                "down": (stack.width, stack.hidden, lambda at=layer: self._get(f"{at}.mlp.w2.weight")),
            }
            for part, (rows, cols, make) in makes.items():
                yield self._matrix(f"{name}.{i}.{part}", rows, cols, make)

    def _matrix(self, name: str, rows: int, cols: int, make: Callable[[], Floats]) -> Piece:
        return Piece(name, rows, cols, self.plan.format_of(name), make)

    def _get(self, name: str) -> Floats:
        return as_float32(self.weights[name])

    def _qkv(self, layer: str, stack: StackConfig) -> Floats:
        """Queries and keys with rotary pairs brought apart: (i, i + half), not (2i, 2i + 1). Scores stay the same."""
        parts = []
        for part, heads in (("q", stack.heads), ("k", stack.kv_heads), ("v", stack.kv_heads)):
            rows = self._get(f"{layer}.attn.{part}_proj.weight").reshape(heads, stack.head_width, stack.width)
            if part != "v":
                rows = rows.reshape(heads, -1, 2, stack.width).swapaxes(1, 2).reshape(rows.shape)
            parts.append(_pad_heads(rows, 1))
        return np.concatenate([part.reshape(-1, stack.width) for part in parts])

    def _out(self, layer: str, stack: StackConfig) -> Floats:
        columns = self._get(f"{layer}.attn.output_proj.weight").reshape(stack.width, stack.heads, stack.head_width)
        return _pad_heads(columns, 2).reshape(stack.width, -1)

    def _gate_up(self, layer: str, tiles: int) -> Floats:
        """Sixteen rows of the gate, then the same sixteen of `up`, and so on."""
        gate, up = self._get(f"{layer}.mlp.w1.weight"), self._get(f"{layer}.mlp.w3.weight")
        padding = ((0, tiles * 16 - len(gate)), (0, 0))
        both = [np.pad(part, padding).reshape(tiles, 16, -1) for part in (gate, up)]
        return np.stack(both, axis=1).reshape(tiles * 32, -1)

    def _projected(self, rows: int) -> Floats:
        """The audio table as the depth decoder meets it: projected once, instead of at every step."""
        projection, table = self._get("projection.weight").T, self.weights["audio_embeddings.weight"]
        blocks = [as_float32(table[i : min(rows, i + 4096)]) @ projection for i in range(0, rows, 4096)]
        return np.concatenate(blocks)


def text_tables(config: CsmConfig) -> list[str]:
    """Names of the tables of the grid's text columns, in order."""
    names = ["text_embeddings.weight"]
    if config.aligned is not None:
        names += [f"aligned_embeddings.window.{i}.weight" for i in range(config.aligned.window)]
        names.append("aligned_embeddings.timing.weight")
    return names


def _pad_heads(values: Floats, axis: int) -> Floats:
    padding = [(0, 0)] * 3
    padding[axis] = (0, -values.shape[axis] % 16)
    return np.pad(values, padding)
