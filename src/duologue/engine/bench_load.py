"""How an engine bears company: the same frames while other processes want every core, and from a cold process.

Knows no model but what it is given; everything is measured in milliseconds of a clock on the wall.
"""

from __future__ import annotations

import json
import multiprocessing
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SPINNERS = 2  # other processes that never rest


@contextmanager
def spinning(processes: int = SPINNERS) -> Iterator[None]:
    """Other processes that compute without a pause, for as long as the block runs."""
    context = multiprocessing.get_context("spawn")
    others = [context.Process(target=_spin, daemon=True) for _ in range(processes)]
    for other in others:
        other.start()
    time.sleep(0.5)  # until they have begun
    try:
        yield
    finally:
        for other in others:
            other.terminate()
            other.join()


def _spin() -> None:
    value = 1.0
    while True:
        for _ in range(100_000):
            value = value * 1.0000001 % 3.0


@dataclass(frozen=True)
class ColdStart:
    """A fresh process that reads packed weights and speaks one frame after a short prompt."""

    load_seconds: float  # from the file to an engine that can speak
    first_frame_seconds: float  # from then on, 16 rows of prompt included
    peak_memory_mb: float  # of the whole process, after eight frames


def cold_start(path: Path, plan: str, threads: int) -> ColdStart:
    """Measure it for random weights of CSM-1B's size kept in `path` (engine/bench_model.py)."""
    command = [sys.executable, "-m", "duologue.engine.bench_load", str(path), plan, str(threads)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    return ColdStart(**json.loads(done.stdout))


def _start(path: Path, plan: str, threads: int) -> dict[str, Any]:
    import numpy as np

    from ..csm.config import CSM_1B
    from .base import FrameRequest, FrameSampling
    from .bench_model import SOURCE, random_rows
    from .native_engine import NativeEngine, named_plan
    from .packed import load_packed

    started = time.perf_counter()
    packed = load_packed(CSM_1B, named_plan(plan), path, SOURCE)
    assert packed is not None, f"{path} holds other weights"
    engine = NativeEngine(packed, threads=threads)
    loaded = time.perf_counter()
    rows = random_rows(CSM_1B, 24)
    cache = engine.new_cache()
    engine.prefill(cache, rows[:16], np.arange(16))
    request = [FrameRequest(cache, rows[16], 16, 0, FrameSampling())]
    engine.frames(request)
    spoken = time.perf_counter()
    for index in range(17, 24):
        engine.frames([FrameRequest(cache, rows[index], index, index, FrameSampling())])
    return {"load_seconds": loaded - started, "first_frame_seconds": spoken - loaded, "peak_memory_mb": peak_mb()}


def peak_mb() -> float:
    """This process's peak. Linux's getrusage would count what its parent had before it was replaced."""
    status = Path("/proc/self/status")
    if status.is_file():
        peak = next((line for line in status.read_text().splitlines() if line.startswith("VmHWM")), None)
        if peak is not None:
            return int(peak.split()[1]) * 1024 / 1e6
    import resource

    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used / 1e6 if sys.platform == "darwin" else used * 1024 / 1e6


if __name__ == "__main__":
    print(json.dumps(_start(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))))
