"""Continuous batching: rows join and leave at any frame, and each one's codes equal its solo run."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from duologue.csm.config import CsmConfig, StackConfig
from duologue.csm.frames import Segment, lay_out
from duologue.csm.model import Csm
from duologue.engine.base import Engine, FrameSampling
from duologue.engine.generator import Limits, Utterance, begin, generate_frames
from duologue.engine.torch_engine import TorchEngine
from duologue.errors import Cancelled
from duologue.server.batching import PREFILL_ROWS, BatchingEngine

CONFIG = CsmConfig(
    backbone=StackConfig(2, 32, 4, 2, 8, 64, 512),
    depth=StackConfig(1, 16, 2, 1, 8, 32, 5),
    num_codebooks=4,
    codebook_size=24,
    text_vocab=40,
    codec_entries=20,
)


@pytest.fixture(scope="module")
def engine() -> TorchEngine:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    return TorchEngine(Csm(CONFIG))


def utterance(engine: Engine, seed: int) -> Utterance:
    """A turn of its own text and length; every third has a past longer than one piece of prefill."""
    draw = np.random.default_rng(seed)
    past = [Segment(draw.integers(0, 40, 8), draw.integers(1, 20, (4, 2 * PREFILL_ROWS)))] if seed % 3 == 0 else []
    text = draw.integers(0, 40, 5 + seed % 7)
    prompt = lay_out(CONFIG, [*past, Segment(text)], 0)
    return begin(engine, engine.new_cache(), prompt, text, FrameSampling(seed), Limits(max_frames=6 + seed % 11))


def speak(engine: Engine, seed: int) -> np.ndarray:
    return np.stack([frame.codes for frame in generate_frames(engine, utterance(engine, seed))])


def test_every_row_equals_its_solo_run_while_others_join_and_leave(engine: TorchEngine) -> None:
    alone = {seed: speak(engine, seed) for seed in range(12)}
    rows: list[int] = []
    batching = BatchingEngine(engine, max_rows=5, observe=lambda count, _: rows.append(count))

    def speak_later(seed: int) -> np.ndarray:
        time.sleep(0.002 * seed)
        return speak(batching, seed)

    with ThreadPoolExecutor(12) as threads:
        together = dict(zip(alone, threads.map(speak_later, alone), strict=True))
    batching.close()
    for seed, codes in alone.items():
        assert np.array_equal(codes, together[seed]), f"row {seed}"
    assert 1 < max(rows) <= 5
    assert len(rows) < sum(len(codes) + 1 for codes in alone.values()), "rows shared steps"


def test_a_long_past_does_not_hold_up_rows_that_speak(engine: TorchEngine) -> None:
    order: list[str] = []

    class Watched(TorchEngine):
        def prefill(self, cache, rows, positions):  # type: ignore[no-untyped-def]
            order.append("prefill")
            super().prefill(cache, rows, positions)

        def frames(self, requests):  # type: ignore[no-untyped-def]
            order.append("frames")
            return super().frames(requests)

    watched = Watched(engine.model)
    batching = BatchingEngine(watched, max_rows=4)
    speaking = utterance(batching, 1)
    order.clear()
    past = lay_out(CONFIG, [Segment(np.arange(8), np.ones((4, 5 * PREFILL_ROWS), np.int64))], 0)
    reader = threading.Thread(target=batching.prefill, args=(batching.new_cache(), past.rows, past.positions))
    reader.start()
    for _ in generate_frames(batching, speaking):
        pass
    reader.join()
    batching.close()
    first, last = order.index("prefill"), len(order) - 1 - order[::-1].index("prefill")
    assert order.count("prefill") == 6
    assert "frames" in order[first:last]


def test_a_failing_step_reaches_those_it_failed_and_the_engine_goes_on(engine: TorchEngine) -> None:
    batching = BatchingEngine(engine, max_rows=4)
    broken = utterance(batching, 1).request()
    broken.row = broken.row[:2]
    with pytest.raises(Exception):  # noqa: B017 (whatever torch makes of a row of the wrong width)
        batching.frames([broken])
    assert np.array_equal(speak(batching, 2), speak(engine, 2))
    batching.close()


def engines() -> int:
    return sum(thread.name == "duologue-engine" for thread in threading.enumerate())


def test_closing_ends_the_thread_and_refuses_more(engine: TorchEngine) -> None:
    before = engines()
    batching = BatchingEngine(engine, max_rows=4)
    request = utterance(batching, 1).request()
    batching.close()
    with pytest.raises(Cancelled):
        batching.frames([request])
    assert engines() == before
