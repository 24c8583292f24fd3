"""Frames as a listener gets them: the language model's codes decoded to sound at once, at CSM-1B's full size.

Random weights throughout: speed does not depend on their values. The codec is the engine's own, streaming frame by
frame, with a past as long as its attention sees.
"""

from __future__ import annotations

import statistics
import time
from typing import Any

import numpy as np

from ..engine.base import FrameRequest, FrameSampling
from ..engine.bench import CONTEXT_ROWS, FRAME_MS
from ..engine.bench_model import random_rows
from ..engine.native_engine import NativeEngine
from ..mimi.config import MIMI
from .codec_speed import PAST_FRAMES, NativeForm, WeightKind

TEXT_ROWS = 16  # a short sentence in Llama's tokens


def whole_system(engine: NativeEngine, frames: int = 24, codec_weights: WeightKind = "float16") -> dict[str, Any]:
    """Speak and decode frame by frame; then first audio: a cached voice, a new text, up to the first decoded frame."""
    config = engine.config
    codec = NativeForm(MIMI, codec_weights, engine.threads).speak()
    random = np.random.default_rng(2)
    codec(random.integers(0, config.codec_entries, (config.num_codebooks, PAST_FRAMES)))
    voice = engine.new_cache()
    rows = random_rows(config, CONTEXT_ROWS + max(frames, TEXT_ROWS + 1))
    engine.prefill(voice, rows[:CONTEXT_ROWS], np.arange(CONTEXT_ROWS))
    cache, model_ms, codec_ms = voice.fork(), [], []
    for index in range(frames):
        place = CONTEXT_ROWS + index
        started = time.perf_counter()
        codes = engine.frames([FrameRequest(cache, rows[place], place, index, FrameSampling(1), False)])[0].codes
        drawn = time.perf_counter()
        codec(np.minimum(codes, config.codec_entries - 1)[:, None])
        model_ms.append(1e3 * (drawn - started))
        codec_ms.append(1e3 * (time.perf_counter() - drawn))
    whole = statistics.median(a + b for a, b in zip(model_ms, codec_ms, strict=True))
    return {
        "engine": engine.name,
        "threads": engine.threads,
        "codec": f"native-{codec_weights}",
        "model_ms": statistics.median(model_ms),
        "codec_ms": statistics.median(codec_ms),
        "frame_ms": whole,
        "real_time_factor": whole / FRAME_MS,
        "first_audio_ms": statistics.median(_first_audio(engine, voice, rows, codec_weights) for _ in range(3)),
    }


def _first_audio(engine: NativeEngine, voice: Any, rows: np.ndarray, codec_weights: WeightKind) -> float:
    codec = NativeForm(MIMI, codec_weights, engine.threads).speak()  # a stream that has decoded nothing yet
    started = time.perf_counter()
    cache = voice.fork()
    engine.prefill(cache, rows[:TEXT_ROWS], np.arange(CONTEXT_ROWS, CONTEXT_ROWS + TEXT_ROWS))
    place = CONTEXT_ROWS + TEXT_ROWS
    codes = engine.frames([FrameRequest(cache, rows[TEXT_ROWS], place, 0, FrameSampling(3), False)])[0].codes
    codec(np.minimum(codes, engine.config.codec_entries - 1)[:, None])
    return 1e3 * (time.perf_counter() - started)
