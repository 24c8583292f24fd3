"""A CSM's weights in the form the CPU engine reads: rounded from named arrays, or read back from a file made earlier.

All packed values lie in one block of memory (in 2 MiB pages where the system gives them), so that a file of it loads
with one read. Knows neither what the matrices mean nor how they are multiplied.
"""

from __future__ import annotations

import json
import mmap
import os
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from ..csm.config import CsmConfig
from ..errors import WeightsDamaged
from ..native import binding
from .pieces import VALUE_BYTES, Piece, Pieces, as_float32, check_shapes, expected_shapes
from .quantize import Floats, Format, FormatPlan, Kind, PackedMatrix, pack

ALIGNMENT = 4096


@dataclass
class PackedTable:
    """Rows of embeddings in the block."""

    kind: Kind
    rows: int
    stride: int
    data: npt.NDArray[np.uint8]
    scales: Floats | None  # (rows,)


@dataclass
class PackedModel:
    """Everything the engine reads, by piece name; `vectors` are the norms' scales, by tensor name."""

    config: CsmConfig
    plan: FormatPlan
    matrices: dict[str, PackedMatrix]
    tables: dict[str, PackedTable]
    vectors: dict[str, Floats]
    block: npt.NDArray[np.uint8]


def new_block(size: int) -> npt.NDArray[np.uint8]:
    """Memory for packed weights, in large pages where the system has them: fewer address look-ups while streaming."""
    memory = mmap.mmap(-1, max(size, 1))
    if hasattr(mmap, "MADV_HUGEPAGE"):
        memory.madvise(mmap.MADV_HUGEPAGE)
    return np.frombuffer(memory, np.uint8)


def _room(piece: Piece) -> int:
    return -(-piece.nbytes // ALIGNMENT) * ALIGNMENT


def _block_bytes(pieces: list[Piece]) -> int:
    return sum(_room(piece) for piece in pieces)


def _parts(pieces: list[Piece], block: npt.NDArray[np.uint8]) -> list[npt.NDArray[np.uint8]]:
    """Each piece's share of the block."""
    parts, start = [], 0
    for piece in pieces:
        parts.append(block[start : start + piece.nbytes])
        start += _room(piece)
    return parts


def pack_model(config: CsmConfig, weights: Mapping[str, npt.NDArray[Any]], plan: FormatPlan) -> PackedModel:
    """Round a network's arrays as the plan says. Raises LayoutMismatch if they aren't this config's.

    Arrays may be float32, float16 or bfloat16 (as uint16), and may lie in a mapped file: one is read at a time.
    """
    check_shapes(config, weights)
    pieces = list(Pieces(config, weights, plan).all())
    vectors = {name: _float_vector(weights[name]) for name in _vector_names(config)}
    model = PackedModel(config, plan, {}, {}, vectors, new_block(_block_bytes(pieces)))
    for piece, part in zip(pieces, _parts(pieces, model.block), strict=True):
        if isinstance(piece.stored, Format):
            model.matrices[piece.name] = pack(piece.make(), piece.stored, part)
        else:
            model.tables[piece.name] = table = _view_table(piece, part)
            _fill_table(piece, table)
    return model


def save_packed(model: PackedModel, path: Path, source: str) -> None:
    """Keep packed weights for the next start; `source` names what they were made from. Appears whole or not at all."""
    vectors = joined_vectors(model)
    header = {
        "source": _identity(model.config, model.plan, source),
        "scales": {name: matrix.scale for name, matrix in model.matrices.items()},
        "checksum": checksum(vectors, model.block),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.{os.getpid()}.new")
    words = json.dumps(header).encode()
    with fresh.open("wb") as file:
        file.write(words + b" " * (-(len(words) + 1) % ALIGNMENT) + b"\n")  # so that the block can be mapped
        file.write(model.block.data)
        file.write(vectors.data)
    os.replace(fresh, path)


def load_packed(
    config: CsmConfig, plan: FormatPlan, path: Path, source: str, *, mapped: bool = False
) -> PackedModel | None:
    """Packed weights that `save_packed` kept, or None if there are none for this config, plan and source.

    `mapped` leaves them in the file, where the system drops and reads pages as it needs memory; else they are read into
    large pages, which is faster where there is room.

    Raises WeightsDamaged if the file doesn't hold what its checksum says.
    """
    if not path.is_file():
        return None
    size, count = packed_sizes(config, plan)
    vectors = np.empty(count, np.float32)
    with path.open("rb") as file:
        try:
            header = json.loads(file.readline())
        except ValueError as error:
            raise _damaged(path) from error
        if header.get("source") != _identity(config, plan, source):
            return None
        start = file.tell()
        if path.stat().st_size != start + size + vectors.nbytes:
            raise _damaged(path)
        block = np.memmap(path, np.uint8, "r", start, (size,)) if mapped else _read_block(file, size)
        file.seek(start + size)
        file.readinto(vectors.view(np.uint8).data)
    if checksum(vectors, block) != header["checksum"]:
        raise _damaged(path)
    return view_packed(config, plan, block, vectors, header["scales"])


def packed_sizes(config: CsmConfig, plan: FormatPlan) -> tuple[int, int]:
    """Bytes of the block, and numbers in the joined vectors, of such a network."""
    shapes = expected_shapes(config)
    return _block_bytes(list(Pieces(config, {}, plan).all())), sum(shapes[name][0] for name in _vector_names(config))


def view_packed(
    config: CsmConfig,
    plan: FormatPlan,
    block: npt.NDArray[np.uint8],
    vectors: Floats,
    scales: Mapping[str, float],
) -> PackedModel:
    """A model around a block and joined vectors of the sizes that `packed_sizes` tells; `scales` are the matrices'."""
    lengths = [expected_shapes(config)[name][0] for name in _vector_names(config)]
    split = np.split(vectors, np.cumsum(lengths)[:-1])
    model = PackedModel(config, plan, {}, {}, dict(zip(_vector_names(config), split, strict=True)), block)
    pieces = list(Pieces(config, {}, plan).all())
    for piece, part in zip(pieces, _parts(pieces, block), strict=True):
        if isinstance(piece.stored, Format):
            scale = float(scales[piece.name])
            model.matrices[piece.name] = PackedMatrix(piece.stored, piece.rows, piece.cols, scale, part)
        else:
            model.tables[piece.name] = _view_table(piece, part)
    return model


def joined_vectors(model: PackedModel) -> Floats:
    """All vectors behind one another, as `view_packed` takes them."""
    return np.concatenate([vector.ravel() for vector in model.vectors.values()]).astype(np.float32)


def _read_block(file: BinaryIO, size: int) -> npt.NDArray[np.uint8]:
    block = new_block(size)
    file.readinto(block.data)  # type: ignore[attr-defined]
    return block


def checksum(vectors: Floats, block: npt.NDArray[np.uint8]) -> int:
    """CRC-32 of the block and the vectors behind it."""
    return zlib.crc32(vectors.view(np.uint8).data, zlib.crc32(block.data))


def _identity(config: CsmConfig, plan: FormatPlan, source: str) -> str:
    return f"form 2 | layout {binding.LAYOUT_VERSION} | {source} | {config} | {plan}"


def _damaged(path: Path) -> WeightsDamaged:
    return WeightsDamaged(f"{path} is damaged.", hint="Delete it: it is only a copy, and is made again.")


def _view_table(piece: Piece, part: npt.NDArray[np.uint8]) -> PackedTable:
    """A table's share of the block."""
    assert not isinstance(piece.stored, Format)
    size = piece.rows * piece.stride * VALUE_BYTES[piece.stored]
    scales = part[size:].view(np.float32) if piece.stored == "int8" else None
    return PackedTable(piece.stored, piece.rows, piece.stride, part[:size], scales)


def _fill_table(piece: Piece, table: PackedTable) -> None:
    values = piece.make()
    for start in range(0, piece.rows, 4096):  # in parts: a text table is the largest array of all
        rows = slice(start, min(start + 4096, piece.rows))
        part = np.pad(as_float32(values[rows]), ((0, 0), (0, piece.stride - piece.cols)))
        if table.kind == "float32":
            table.data.view(np.float32).reshape(piece.rows, -1)[rows] = part
        elif table.kind == "bfloat16":
            bits = part.view(np.uint32)
            rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
            table.data.view(np.uint16).reshape(piece.rows, -1)[rows] = rounded.astype(np.uint16)
        else:
            assert table.scales is not None
            scales = np.abs(part).max(axis=1) / 127
            table.scales[rows] = scales
            levels = np.rint(part / np.where(scales == 0, 1, scales)[:, None])
            table.data.view(np.int8).reshape(piece.rows, -1)[rows] = levels.astype(np.int8)


def _vector_names(config: CsmConfig) -> list[str]:
    return [name for name, shape in expected_shapes(config).items() if len(shape) == 1]


def _float_vector(values: npt.NDArray[Any]) -> Floats:
    return np.ascontiguousarray(as_float32(values))
