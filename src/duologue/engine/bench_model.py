"""Networks of random weights for measuring: speed does not depend on their values. Knows no clock.

The packed form of a large one is kept as an engine keeps its own (`~/.cache/duologue/packed`), so that a second
measurement starts at once, and so that starting from that file can be measured too.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from ..csm.config import CsmConfig
from .packed import PackedModel, load_packed, pack_model, save_packed
from .pieces import expected_shapes
from .quantize import FormatPlan

SOURCE = "random weights"


def random_model(config: CsmConfig, plan: FormatPlan) -> PackedModel:
    """A network of random weights; its arrays share one small pool of numbers, so that making it needs no memory."""
    pool = (np.random.default_rng(0).standard_normal(1 << 22) * 0.02).astype(np.float32)
    weights = {}
    for name, shape in expected_shapes(config).items():
        row = int(np.prod(shape[1:])) if len(shape) > 1 else 1
        weights[name] = np.ones(shape, np.float32)[:0] if 0 in shape else _repeated(pool, shape, row)
    return pack_model(config, weights, plan)


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


def _repeated(pool: np.ndarray, shape: tuple[int, ...], row: int) -> np.ndarray:
    if len(shape) == 1:
        return np.ones(shape, np.float32)
    rows = max(1, min(shape[0], len(pool) // row))
    if rows == shape[0]:
        return pool[: rows * row].reshape(shape)
    return np.broadcast_to(np.resize(pool, row).reshape(1, *shape[1:]), shape)
