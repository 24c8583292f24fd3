"""Networks of random weights for measuring: speed does not depend on their values. Knows no clock.

The packed form of a large one is kept as an engine keeps its own (`~/.cache/duologue/packed`), so that a second
measurement starts at once, and so that starting from that file can be measured too.
"""

from __future__ import annotations

import os
from collections import defaultdict
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..csm.config import CsmConfig
from .packed import PackedModel, PackedTable, load_packed, new_block, packed_sizes, save_packed, view_packed
from .quantize import Floats, FormatPlan, PackedMatrix, pack

SOURCE = "random weights"
TILE_ROWS = 16


def random_model(config: CsmConfig, plan: FormatPlan) -> PackedModel:
    """A network of random weights; large matrices repeat their first rows, so that making it takes seconds."""
    size, vector_values = packed_sizes(config, plan)
    model = view_packed(config, plan, new_block(size), np.ones(vector_values, np.float32), defaultdict(lambda: 1.0))
    pool = (np.random.default_rng(0).standard_normal(1 << 21) * 0.02).astype(np.float32)
    for matrix in model.matrices.values():
        _fill_matrix(matrix, pool)
    for table in model.tables.values():
        _fill_table(table, pool)
    return model


def kept_random_model(config: CsmConfig, plan: FormatPlan) -> tuple[PackedModel, Path]:
    """The same, read from the file that an earlier call wrote, with that file's path."""
    path = kept_folder() / f"random-{config.backbone.width}-{config.depth.width}-{plan.name}.packed"
    found = load_packed(config, plan, path, SOURCE)
    if found is None:
        found = random_model(config, plan)
        save_packed(found, path, SOURCE)
    return found, path


def kept_folder() -> Path:
    """Where packed weights are kept: $DUOLOGUE_HOME or ~/.cache/duologue, then `packed`."""
    return Path(os.environ.get("DUOLOGUE_HOME") or Path.home() / ".cache" / "duologue") / "packed"


def bytes_per_frame(packed: PackedModel) -> int:
    """Weights that one frame reads: the depth decoder's once per codebook after the first, all others once."""
    depth = sum(matrix.data.nbytes for name, matrix in packed.matrices.items() if name.startswith("depth."))
    every = sum(matrix.data.nbytes for matrix in packed.matrices.values())
    return every + (packed.config.num_codebooks - 2) * depth


def random_rows(config: CsmConfig, count: int) -> np.ndarray:
    """Rows (count, columns) of a conversation in which nothing but sound happens."""
    rows = np.full((count, config.columns), -1, np.int64)
    codes = np.random.default_rng(1).integers(1, config.codec_entries, (count, config.num_codebooks))
    rows[:, : config.num_codebooks] = codes
    return rows


def _fill_matrix(matrix: PackedMatrix, pool: Floats) -> None:
    rows = min(matrix.rows, max(TILE_ROWS, len(pool) // matrix.cols // TILE_ROWS * TILE_ROWS))
    first = pack(np.resize(pool, (rows, matrix.cols)), matrix.format)
    matrix.scale = first.scale
    tile = first.data.nbytes // -(-rows // TILE_ROWS)  # a tile of rows is one run of bytes
    _repeat(first.data if rows == matrix.rows else first.data[: rows // TILE_ROWS * tile], matrix.data)


def _fill_table(table: PackedTable, pool: Floats) -> None:
    if table.kind == "int8":
        assert table.scales is not None
        table.scales[:] = 0.02 / 40
        _repeat(np.clip(pool / (0.02 / 40), -127, 127).astype(np.int8).view(np.uint8), table.data)
    elif table.kind == "bfloat16":
        _repeat((pool.view(np.uint32) >> 16).astype(np.uint16).view(np.uint8), table.data)
    else:
        _repeat(pool.view(np.uint8), table.data)


def _repeat(values: npt.NDArray[np.uint8], out: npt.NDArray[np.uint8]) -> None:
    for start in range(0, len(out), len(values)):
        part = out[start : start + len(values)]
        part[:] = values[: len(part)]
