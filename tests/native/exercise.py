"""Runs every kernel on networks of odd sizes, with numpy alone; meant for a library built with sanitizers.

They stop the process at the first access outside a buffer, overflow or misaligned read. Prints the frames it spoke.
"""

from __future__ import annotations

import sys
import threading

import numpy as np

from duologue.csm.config import AlignedText, CsmConfig, StackConfig
from duologue.engine.base import FrameRequest, FrameSampling, Sampling
from duologue.engine.native_engine import NativeEngine, available_paths
from duologue.engine.pieces import expected_shapes
from duologue.engine.quantize import PLANS

from .exercise_codec import exercise_codecs

SIZES = [  # width, heads, kv heads, head width, hidden
    (1, 1, 1, 2, 1),
    (17, 3, 1, 6, 33),
    (64, 4, 2, 16, 130),
    (129, 2, 2, 30, 257),
]


def network(size: tuple[int, ...], books: int, aligned: bool) -> tuple[CsmConfig, dict[str, np.ndarray]]:
    """A config of these sizes and random weights for it."""
    width, heads, kv_heads, head_width, hidden = size
    stack = StackConfig(2, width, heads, kv_heads, head_width, hidden, 200)
    text = AlignedText(before=1, after=1, max_advance=2, max_dwell=2) if aligned else None
    config = CsmConfig(stack, stack, books, 19, 7, 17, eos="code", eos_code=18, aligned=text)
    random = np.random.default_rng(width)
    weights = {
        name: random.standard_normal(shape).astype(np.float32) * 0.3 for name, shape in expected_shapes(config).items()
    }
    return config, weights


def speak(engine: NativeEngine, seed: int) -> int:
    """A batch of conversations that read, fork, forget and speak."""
    config, random = engine.config, np.random.default_rng(seed)
    rows = random.integers(-1, 7, (150, config.columns))
    if config.aligned is not None:
        rows[:, -1] = random.integers(-1, config.aligned.timings, 150)
    caches = []
    for length in (0, 1, 63, 65, 130):
        cache = engine.new_cache()
        engine.prefill(cache, rows[:length], np.arange(length))
        caches += [cache, cache.fork()]
    caches[-1].truncate(70)
    spoken = 0
    for index in range(3):
        sampling = FrameSampling(seed, Sampling(index / 2, index * 3), Sampling(0.9, 40))
        requests = [
            FrameRequest(cache, rows[149 - index], 199 - index, index, sampling, index % 2 == 0) for cache in caches
        ]
        spoken += len(engine.frames(requests))
    engine.trace(requests[0])
    return spoken


def main(sizes: list[tuple[int, ...]]) -> None:
    """All formats and paths; then two threads that share one engine."""
    spoken = 0
    for number, size in enumerate(sizes):
        config, weights = network(size, books=1 + 2 * number, aligned=number % 2 == 0)
        for plan in PLANS.values():
            for path in available_paths():
                engine = NativeEngine.from_weights(config, weights, plan, path=path, threads=1 + number % 2)
                spoken += speak(engine, seed=number)
    callers = [threading.Thread(target=speak, args=(engine, seed)) for seed in range(2)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    spoken += exercise_codecs()
    assert "torch" not in sys.modules
    print(spoken)


if __name__ == "__main__":
    main(SIZES[1::2] if "some" in sys.argv else SIZES)
