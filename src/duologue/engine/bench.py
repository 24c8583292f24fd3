"""How fast an engine speaks here, and what share of the memory's speed that is. Knows no text; draws random rows.

Speed does not depend on the weights' values, so a model of random weights measures the real one. Every figure comes
with the read bandwidth of the same minute and with how much of the machine others took: without both it says little.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ..csm.config import CsmConfig
from ..native import binding
from .base import FrameRequest, FrameSampling
from .native_engine import NativeCache, NativeEngine
from .packed import PackedModel, pack_model
from .pieces import expected_shapes
from .quantize import FormatPlan

FRAME_MS = 80.0
CONTEXT_ROWS = 300
BUFFER_BYTES = 256 * 2**20


@dataclass(frozen=True)
class BenchResult:
    """Medians over rounds; times in milliseconds."""

    engine: str
    threads: int
    streams: int
    context_rows: int
    bandwidth_gb_s: float  # plain reads of a large buffer by the same number of threads
    frame_ms: float
    fastest_frame_ms: float
    backbone_ms: float  # one step, with codebook 0's head
    depth_ms: float  # all other codebooks, drawing included
    drawing_ms: float
    waiting_ms: float  # the leader idle while a helper finished
    bytes_per_frame: int  # weights read
    bandwidth_share: float
    real_time_factor: float  # of one stream, codec not included
    prefill_ms: float  # of the whole context
    weight_bytes: int  # packed weights and tables in memory
    others_share: float  # of one core that other processes took meanwhile; -1 unknown
    random_weights: bool

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def random_model(config: CsmConfig, plan: FormatPlan) -> PackedModel:
    """A network of random weights; its arrays share one small pool of numbers, so that making it needs no memory."""
    pool = (np.random.default_rng(0).standard_normal(1 << 22) * 0.02).astype(np.float32)
    weights = {}
    for name, shape in expected_shapes(config).items():
        row = int(np.prod(shape[1:])) if len(shape) > 1 else 1
        weights[name] = np.ones(shape, np.float32)[:0] if 0 in shape else _repeated(pool, shape, row)
    return pack_model(config, weights, plan)


def _repeated(pool: np.ndarray, shape: tuple[int, ...], row: int) -> np.ndarray:
    if len(shape) == 1:
        return np.ones(shape, np.float32)
    rows = max(1, min(shape[0], len(pool) // row))
    if rows == shape[0]:
        return pool[: rows * row].reshape(shape)
    return np.broadcast_to(np.resize(pool, row).reshape(1, *shape[1:]), shape)


def bytes_per_frame(packed: PackedModel) -> int:
    """Weights that one frame reads: the depth decoder's once per codebook after the first, all others once."""
    depth = sum(matrix.data.nbytes for name, matrix in packed.matrices.items() if name.startswith("depth."))
    every = sum(matrix.data.nbytes for matrix in packed.matrices.values())
    return every + (packed.config.num_codebooks - 2) * depth


def read_bandwidth(threads: int) -> float:
    """Bytes per second of plain reads from memory, the median of five passes over a buffer that no cache holds."""
    buffer = np.ones(BUFFER_BYTES, np.uint8)
    place = binding.address(buffer)
    return statistics.median(binding.library().dl_read_bandwidth(place, BUFFER_BYTES, threads) for _ in range(5))


def measure(
    engine: NativeEngine, *, streams: int = 1, rounds: int = 3, frames: int = 12, random_weights: bool = False
) -> BenchResult:
    """Speak `frames` frames in each of several rounds, the bandwidth measured before each."""
    others = _Others()
    context = min(CONTEXT_ROWS, engine.config.backbone.max_positions - frames * rounds - 1)
    caches, prefill_ms = _read_context(engine, streams, context)
    bandwidths, times, stages = [], [], []
    for number in range(rounds):
        bandwidths.append(read_bandwidth(engine.threads))
        before = engine.times()
        times += _speak(engine, caches, frames, context + number * frames)
        after = engine.times()
        parts = ("backbone", "depth", "drawing", "waiting")
        stages.append([1e3 * (getattr(after, part) - getattr(before, part)) / frames for part in parts])
    frame_ms, bandwidth = statistics.median(times), statistics.median(bandwidths)
    backbone, depth, drawing, waiting = (statistics.median(column) for column in zip(*stages, strict=True))
    moved = bytes_per_frame(engine.packed)
    return BenchResult(
        engine=engine.name,
        threads=engine.threads,
        streams=streams,
        context_rows=context,
        bandwidth_gb_s=bandwidth / 1e9,
        frame_ms=frame_ms,
        fastest_frame_ms=min(times),
        backbone_ms=backbone,
        depth_ms=depth,
        drawing_ms=drawing,
        waiting_ms=waiting,
        bytes_per_frame=moved,
        bandwidth_share=moved / (frame_ms / 1e3) / bandwidth,
        real_time_factor=frame_ms / FRAME_MS,
        prefill_ms=prefill_ms,
        weight_bytes=engine.packed.block.nbytes,
        others_share=others.share(),
        random_weights=random_weights,
    )


def _random_rows(config: CsmConfig, count: int) -> np.ndarray:
    rows = np.full((count, config.columns), -1, np.int64)
    codes = np.random.default_rng(1).integers(1, config.codec_entries, (count, config.num_codebooks))
    rows[:, : config.num_codebooks] = codes
    return rows


def _read_context(engine: NativeEngine, streams: int, rows: int) -> tuple[list[NativeCache], float]:
    cache = engine.new_cache()
    grid, positions = _random_rows(engine.config, rows), np.arange(rows)
    elapsed = _timed(lambda: engine.prefill(cache, grid, positions))
    return [cache, *(cache.fork() for _ in range(streams - 1))], elapsed


def _speak(engine: NativeEngine, caches: list[NativeCache], frames: int, position: int) -> list[float]:
    rows, times = _random_rows(engine.config, frames), []
    for index, row in enumerate(rows):
        requests = [
            FrameRequest(cache, row, position + index, index, FrameSampling(seed), allow_eos=False)
            for seed, cache in enumerate(caches)
        ]
        times.append(_timed(lambda requests=requests: engine.frames(requests)))  # type: ignore[misc]
    return times


def _timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return 1e3 * (time.perf_counter() - start)


class _Others:
    """How much processor time other processes take, from /proc/stat."""

    def __init__(self) -> None:
        self._start = self._read()

    def share(self) -> float:
        """Of one core, since the start; -1 where the system doesn't tell."""
        now = self._read()
        if now is None or self._start is None or now[2] <= self._start[2]:
            return -1.0
        busy, own, wall = (after - before for after, before in zip(now, self._start, strict=True))
        return max(0.0, busy - own) / wall

    @staticmethod
    def _read() -> tuple[float, float, float] | None:
        try:
            with open("/proc/stat", encoding="ascii") as file:
                ticks = [int(number) for number in file.readline().split()[1:9]]
        except OSError:
            return None
        idle = ticks[3] + ticks[4]
        busy = (sum(ticks) - idle) / os.sysconf("SC_CLK_TCK")
        own = os.times()
        return busy, own.user + own.system, time.perf_counter()
