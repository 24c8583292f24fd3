"""The loop: what it feeds, when it stops, and what it leaves behind for the next turn."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from duologue.csm.config import CsmConfig
from duologue.csm.frames import Segment, eos_row, lay_out
from duologue.engine.base import Frame, FrameRequest, FrameSampling, Sampling
from duologue.engine.generator import Limits, Utterance, begin, generate_frames, step
from duologue.engine.torch_engine import TorchEngine
from duologue.errors import Cancelled, ContextTooLong, InputError
from tests.csm.sizes import ALIGNED, BOTH, PLAIN, build, dialogue

NAMES = ["plain", "aligned"]
ENGINES = {config: TorchEngine(build(config)) for config in BOTH}


class Scripted(TorchEngine):
    """The real engine, with the drawn frames replaced by given ones: what the loop does of them can be foretold."""

    def __init__(self, config: CsmConfig, frames: Sequence[tuple[int, int]]) -> None:
        super().__init__(build(config))
        self.script = [Frame(np.array([first, 5, 5, 5]), advance) for first, advance in frames]
        self.asked: list[FrameRequest] = []

    def frames(self, requests: list[FrameRequest]) -> list[Frame]:
        super().frames(requests)
        self.asked += requests
        return [self.script[request.index] for request in requests]


def prompt(config: CsmConfig, units: int = 6, seed: int = 0) -> list[Segment]:
    return dialogue(config, [(5, 6), (units, None)], seed)


USUAL = FrameSampling()


def ready(engine: TorchEngine, limits: Limits, sampling: FrameSampling = USUAL, seed: int = 0) -> Utterance:
    segments = prompt(engine.config, seed=seed)
    grid = lay_out(engine.config, segments)
    return begin(engine, engine.new_cache(), grid, segments[-1].text, sampling, limits)


@pytest.mark.parametrize("config", BOTH, ids=NAMES)
def test_the_rows_fed_are_those_that_training_lays_out(config: CsmConfig) -> None:
    """A turn spoken and closed leaves exactly the rows and positions of the same turn as context."""
    engine = ENGINES[config]
    for frames in (1, 7):
        utterance = ready(engine, Limits(max_frames=frames))
        list(generate_frames(engine, utterance))
        origin = utterance.close(engine)
        segments = [prompt(config)[0], utterance.segment()]
        grid = lay_out(config, segments)
        assert origin == grid.next_origin
        fresh = engine.new_cache()
        engine.prefill(fresh, grid.rows, grid.positions)
        assert utterance.cache.length == fresh.length
        for mine, wanted in zip(utterance.cache.pasts, fresh.pasts, strict=True):  # type: ignore[attr-defined]
            rows = slice(0, fresh.length)
            np.testing.assert_allclose(mine.keys[:, :, rows], wanted.keys[:, :, rows], rtol=1e-3, atol=1e-4)
            np.testing.assert_allclose(mine.values[:, :, rows], wanted.values[:, :, rows], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("config", BOTH, ids=NAMES)
def test_turns_spoken_together_equal_turns_spoken_alone(config: CsmConfig) -> None:
    engine = ENGINES[config]
    limits = [Limits(max_frames=n) for n in (3, 9, 6)]
    together = [ready(engine, limit, FrameSampling(seed), seed) for seed, limit in enumerate(limits)]
    while live := [utterance for utterance in together if utterance.ending is None]:
        step(engine, live)
    for seed, limit in enumerate(limits):
        alone = ready(engine, limit, FrameSampling(seed), seed)
        list(generate_frames(engine, alone))
        assert np.array_equal(together[seed].segment().codes, alone.segment().codes)
        assert together[seed].ending == alone.ending


def test_the_first_frame_leaves_before_the_second_is_drawn() -> None:
    engine = Scripted(PLAIN, [(1, 0)] * 5)
    stream = generate_frames(engine, ready(engine, Limits(max_frames=5)))
    next(stream)
    assert len(engine.asked) == 1


def test_the_turn_ends_at_its_eos_which_is_no_sound() -> None:
    engine = Scripted(ALIGNED, [(1, 3), (2, 3), (32, 0), (4, 0)])
    utterance = ready(engine, Limits(max_frames=9))
    assert [int(frame.codes[0]) for frame in generate_frames(engine, utterance)] == [1, 2]
    assert utterance.ending == "eos"


def test_each_row_of_a_batch_ends_by_itself() -> None:
    engine = Scripted(ALIGNED, [(1, 3), (2, 3), (32, 0)])
    short, long = ready(engine, Limits(max_frames=1)), ready(engine, Limits(max_frames=9))
    step(engine, [short, long])
    assert (short.ending, long.ending) == ("max_frames", None)
    step(engine, [long])
    assert step(engine, [long]) == [None]
    assert long.ending == "eos"


def test_an_end_is_allowed_only_at_the_last_unit_and_after_the_least_frames() -> None:
    engine = Scripted(ALIGNED, [(1, 3), (1, 1), (1, 1), (1, 0), (32, 0)])
    list(generate_frames(engine, ready(engine, Limits(max_frames=9))))
    assert [request.allow_eos for request in engine.asked] == [False, False, False, True, True]
    engine = Scripted(PLAIN, [(1, 0)] * 4)
    list(generate_frames(engine, ready(engine, Limits(max_frames=4, min_frames=2))))
    assert [request.allow_eos for request in engine.asked] == [False, False, True, True]


def test_a_pointer_that_dwells_too_long_is_pushed_on() -> None:
    engine = Scripted(ALIGNED, [(1, 0)] * 30)
    utterance = ready(engine, Limits(max_frames=30, max_dwell_frames=4, max_tail_frames=3))
    list(generate_frames(engine, utterance))
    assert utterance.pointers == [*[0] * 4, *[1] * 4, *[2] * 4, *[3] * 4, *[4] * 4, *[5] * 4]
    assert utterance.ending == "tail"
    assert len(utterance.codes) == 23  # four frames on each of five units, three on the last


def test_the_window_of_each_row_is_that_of_the_frame_it_predicts() -> None:
    engine = Scripted(ALIGNED, [(1, 2), (2, 1), (3, 0), (32, 0)])
    utterance = ready(engine, Limits(max_frames=4))
    list(generate_frames(engine, utterance))
    text = utterance.text
    assert [int(request.row[6]) for request in engine.asked] == [text[0], text[2], text[3], text[3]]
    assert [int(request.row[0]) for request in engine.asked] == [-1, 1, 2, 3]


def test_cancelling_stops_before_the_next_frame_and_the_turn_can_still_be_closed() -> None:
    engine = ENGINES[PLAIN]
    utterance = ready(engine, Limits(max_frames=50))
    heard = []
    with pytest.raises(Cancelled):
        for frame in generate_frames(engine, utterance, cancelled=lambda: len(heard) == 3):
            heard.append(frame)
    assert len(heard) == 3
    utterance.close(engine)
    assert utterance.cache.length == 5 + 6 + 1 + 6 + 3 + 1


def test_a_turn_that_ends_at_once_leaves_only_its_text_and_eos() -> None:
    engine = Scripted(PLAIN, [(0, 0)])
    engine.script[0].codes[:] = 0
    utterance = ready(engine, Limits(max_frames=9))
    assert list(generate_frames(engine, utterance)) == []
    utterance.close(engine)
    assert utterance.cache.length == 5 + 6 + 1 + 6 + 1
    codes = utterance.segment().codes
    assert codes is not None
    assert codes.shape == (4, 0)


def test_limits_beyond_the_model_are_refused_before_anything_is_read() -> None:
    engine = ENGINES[PLAIN]
    with pytest.raises(ContextTooLong):
        ready(engine, Limits(max_frames=120))
    with pytest.raises(InputError):
        Limits(max_frames=0)
    with pytest.raises(InputError, match="temperature"):
        ready(engine, Limits(max_frames=3), FrameSampling(0, Sampling(-1.0)))


def test_the_eos_row_closes_a_turn() -> None:
    assert eos_row(ALIGNED)[0] == 32
