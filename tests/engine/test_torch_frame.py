"""The depth stage in memory of its own, as a GPU is given it: the plain engine's codes, again and again."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from duologue.csm.config import CsmConfig
from duologue.csm.frames import lay_out
from duologue.engine.base import Engine, FrameSampling, Sampling
from duologue.engine.generator import Limits, Utterance, begin, step
from duologue.engine.torch_engine import FRAMES_KEPT, TorchEngine
from duologue.engine.torch_frame import Rows
from tests.csm.sizes import ALIGNED, PLAIN, build, dialogue

NAMES = {"plain": PLAIN, "aligned": ALIGNED}
SAMPLINGS = [
    FrameSampling(1),
    FrameSampling(2, Sampling(0.0), Sampling(0.0)),
    FrameSampling(3, Sampling(1.5, 0), Sampling(1.5, 0), guidance=2.0),
    FrameSampling(4, guidance=0.5),
]


def speak(engine: Engine, together: list[FrameSampling], frames: int = 8) -> list[list[list[int]]]:
    utterances = [_begun(engine, sampling) for sampling in together]
    for _ in range(frames):
        step(engine, [utterance for utterance in utterances if utterance.ending is None])
    return [[codes.tolist() for codes in utterance.codes] for utterance in utterances]


def _begun(engine: Engine, sampling: FrameSampling) -> Utterance:
    segments = dialogue(engine.config, [(5, 6), (7, None)], sampling.seed)
    grid = lay_out(engine.config, segments)
    return begin(engine, engine.new_cache(), grid, segments[-1].text, sampling, Limits(20, min_frames=20))


@pytest.mark.parametrize("config", NAMES.values(), ids=NAMES)
@pytest.mark.parametrize("together", [[0], [2], [0, 1, 2, 3]])
def test_it_draws_what_the_plain_engine_draws(config: CsmConfig, together: list[int]) -> None:
    samplings = [SAMPLINGS[i] for i in together]
    wanted = speak(TorchEngine(build(config)), samplings)
    assert all(wanted)
    assert speak(TorchEngine(build(config), static=True), samplings) == wanted


def test_a_graphs_memory_serves_one_frame_after_another() -> None:
    """Also of other conversations with the same rows, and a set of rows that comes back after many others."""
    engine = TorchEngine(build(PLAIN), static=True)
    first = speak(engine, SAMPLINGS[:2])
    for rows in range(1, FRAMES_KEPT + 2):
        speak(engine, [FrameSampling(seed) for seed in range(rows)], frames=1)
    assert len(engine._depth_frames) <= FRAMES_KEPT
    assert speak(engine, SAMPLINGS[:2]) == first


def test_an_end_that_is_not_allowed_is_drawn_again() -> None:
    spoken = []
    for static in (False, True):
        model = build(PLAIN)
        with torch.no_grad():
            model.codebook0_head.weight.zero_()
            model.audio_head.zero_()
        greedy = FrameSampling(0, Sampling(0.0), Sampling(0.0))
        spoken.append(speak(TorchEngine(model, static=static), [greedy, replace(greedy, seed=1)], frames=2))
    assert spoken[0] == spoken[1]
    assert spoken[0][0] == [[1, 0, 0, 0]] * 2


def test_guides_stand_behind_all_rows() -> None:
    assert Rows(3, (0, 2)).owners == [0, 1, 2, 0, 2]
