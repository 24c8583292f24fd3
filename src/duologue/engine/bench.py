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

from ..native import binding
from .base import FrameRequest, FrameSampling
from .bench_load import SPINNERS, spinning
from .bench_model import bytes_per_frame, random_rows
from .native_engine import NativeCache, NativeEngine

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


def read_bandwidth(threads: int) -> float:
    """Bytes per second of plain reads from memory, the median of five passes over a buffer that no cache holds."""
    buffer = np.ones(BUFFER_BYTES, np.uint8)
    place = binding.address(buffer)
    return statistics.median(binding.library().dl_read_bandwidth(place, BUFFER_BYTES, threads) for _ in range(5))


def measure(
    engine: NativeEngine, *, streams: int = 1, rounds: int = 3, frames: int = 12, random_weights: bool = False
) -> BenchResult:
    """Speak `frames` frames in each of several rounds, the bandwidth measured before each."""
    others = Others()
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


def context_curve(engine: NativeEngine, places: tuple[int, ...] = (100, 1900), frames: int = 12) -> dict[str, Any]:
    """Milliseconds of a frame after so many rows of context, the places taking turns frame by frame."""
    caches: dict[int, NativeCache] = {}
    times: dict[int, list[float]] = {place: [] for place in places}
    rows = random_rows(engine.config, max(places) + frames)
    for place in places:
        caches[place] = engine.new_cache()
        engine.prefill(caches[place], rows[:place], np.arange(place))
    for index in range(frames):
        for place, cache in caches.items():
            at = place + index
            request = FrameRequest(cache, rows[at], at, index, FrameSampling(1), allow_eos=False)
            times[place].append(_timed(lambda request=request: engine.frames([request])))  # type: ignore[misc]
    medians = {place: statistics.median(values) for place, values in times.items()}
    return {"frame_ms": medians, "last_to_first": medians[places[-1]] / medians[places[0]]}


def among_neighbours(engine: NativeEngine, frames: int = 24) -> dict[str, Any]:
    """Milliseconds of a frame alone, and while SPINNERS other processes never rest."""
    context = min(CONTEXT_ROWS, engine.config.backbone.max_positions - 2 * frames - 1)
    caches, _ = _read_context(engine, 1, context)
    alone = _speak(engine, caches, frames, context)
    before = engine.times()
    with spinning():
        pressed = _speak(engine, caches, frames, context + frames)
    after = engine.times()
    quiet_ms, pressed_ms = statistics.median(alone), statistics.median(pressed)
    return {
        "spinning_processes": SPINNERS,
        "quiet_ms": quiet_ms,
        "pressed_ms": pressed_ms,
        "slowest_pressed_ms": max(pressed),
        "times_the_quiet": pressed_ms / quiet_ms,
        "frames_spoken_by_one_thread": after.rested_frames - before.rested_frames,
    }


def _read_context(engine: NativeEngine, streams: int, rows: int) -> tuple[list[NativeCache], float]:
    cache = engine.new_cache()
    grid, positions = random_rows(engine.config, rows), np.arange(rows)
    elapsed = _timed(lambda: engine.prefill(cache, grid, positions))
    return [cache, *(cache.fork() for _ in range(streams - 1))], elapsed


def _speak(engine: NativeEngine, caches: list[NativeCache], frames: int, position: int) -> list[float]:
    rows, times = random_rows(engine.config, frames), []
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


class Others:
    """How much processor time other processes take, from /proc/stat; children that have ended count as one's own."""

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
        mine = own.user + own.system + own.children_user + own.children_system
        return busy, mine, time.perf_counter()
