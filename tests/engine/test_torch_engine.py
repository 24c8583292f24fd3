"""The torch engine: frames as the module defines them, alone or in company, from any past."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from duologue.csm.config import CsmConfig
from duologue.csm.frames import audio_rows, lay_out
from duologue.engine.base import Frame, FrameRequest, FrameSampling, Sampling
from duologue.engine.sampling import forbidden_codes, pick, uniform
from duologue.engine.torch_engine import TorchCache, TorchEngine
from duologue.errors import BackendUnavailable, InputError
from tests.csm.sizes import ALIGNED, BOTH, PLAIN, build, dialogue

NAMES = ["plain", "aligned"]
ENGINES = {config: TorchEngine(build(config)) for config in BOTH}


def start(config: CsmConfig, seed: int = 0, units: int = 6) -> tuple[TorchCache, FrameRequest]:
    """A prompt read up to its last row, and the request for its first frame."""
    engine = ENGINES[config]
    grid = lay_out(config, dialogue(config, [(5, 6), (units, None)], seed))
    cache = engine.new_cache()
    engine.prefill(cache, grid.rows[:-1], grid.positions[:-1])
    return cache, FrameRequest(cache, grid.rows[-1], int(grid.positions[-1]), 0, FrameSampling(seed))


def follow(config: CsmConfig, request: FrameRequest, frame: Frame) -> FrameRequest:
    """The request after a frame, without a pointer."""
    row = audio_rows(config, frame.codes[:, None])[0]
    return FrameRequest(request.cache, row, request.position + 1, request.index + 1, request.sampling)


def speak(config: CsmConfig, requests: list[FrameRequest], frames: int) -> np.ndarray:
    """Codes (B,T,K) of several rows stepped together."""
    spoken = []
    for _ in range(frames):
        drawn = ENGINES[config].frames(requests)
        spoken.append([frame.codes for frame in drawn])
        requests = [follow(config, request, frame) for request, frame in zip(requests, drawn, strict=True)]
    return np.array(spoken).transpose(1, 0, 2)


@pytest.mark.parametrize("config", BOTH, ids=NAMES)
def test_a_frame_is_drawn_from_the_modules_own_logits(config: CsmConfig) -> None:
    """The training form of the network, which has no caches, gives logits from which the same codes are drawn."""
    model = build(config)
    grid = lay_out(config, dialogue(config, [(5, 6), (6, None)]))
    _, request = start(config)
    frame = ENGINES[config].frames([request])[0]
    with torch.inference_mode():
        hidden = model.hidden_states(torch.from_numpy(grid.rows)[None], torch.from_numpy(grid.positions)[None])[0, -1:]
        stage = model.first_stage(hidden)
        depth = model.depth_stage(hidden, torch.from_numpy(frame.codes)[None])[0]
    for book, logits in enumerate([stage.first_logits[0], *depth]):
        allowed = np.where(forbidden_codes(config, book, True), -np.inf, logits.numpy()).astype(np.float32)
        assert pick(allowed, uniform(0, 0, book), Sampling()) == frame.codes[book]
    if stage.advance_logits is not None:
        u = uniform(0, 0, config.num_codebooks)
        assert pick(stage.advance_logits[0].numpy(), u, FrameSampling().advance) == frame.advance


@pytest.mark.parametrize("config", BOTH, ids=NAMES)
def test_a_row_in_a_batch_says_what_it_says_alone(config: CsmConfig) -> None:
    starts = [(seed, units) for seed, units in enumerate([6, 3, 9, 4])]
    together = speak(config, [start(config, *at)[1] for at in starts], 12)
    for b, at in enumerate(starts):
        assert np.array_equal(together[b], speak(config, [start(config, *at)[1]], 12)[0])


def test_a_seed_repeats_and_another_differs() -> None:
    first, again, other = (speak(PLAIN, [start(PLAIN, seed)[1]], 6) for seed in (3, 3, 4))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("config", BOTH, ids=NAMES)
def test_forks_do_not_see_each_other(config: CsmConfig) -> None:
    """Both go on by turns, so that memory shared between them would be overwritten before it is read again."""
    wanted = [speak(config, [start(config)[1]], 6)[0], speak(config, [with_seed(start(config)[1], 99)], 6)[0]]
    cache, request = start(config)
    requests = [request, with_seed(request, 99)]
    requests[1].cache = cache.fork()
    spoken: list[list[np.ndarray]] = [[], []]
    for _ in range(6):
        for b, asked in enumerate(requests):
            frame = ENGINES[config].frames([asked])[0]
            spoken[b].append(frame.codes)
            requests[b] = follow(config, asked, frame)
    assert np.array_equal(spoken, wanted)


def with_seed(request: FrameRequest, seed: int) -> FrameRequest:
    """The same request, drawn otherwise."""
    return FrameRequest(request.cache, request.row, request.position, request.index, FrameSampling(seed))


@given(st.integers(0, 12), st.integers(1, 9))
def test_a_cut_past_goes_on_as_if_the_rest_had_never_been(cut: int, wasted: int) -> None:
    engine = ENGINES[PLAIN]
    grid = lay_out(PLAIN, dialogue(PLAIN, [(5, 6), (6, None)]))
    cache, request = start(PLAIN)
    wanted = speak(PLAIN, [request], 3)
    cache, request = start(PLAIN)
    speak(PLAIN, [request], wasted)
    cache.truncate(cut)
    engine.prefill(cache, grid.rows[cut:-1], grid.positions[cut:-1])
    assert np.array_equal(speak(PLAIN, [request], 3), wanted)


def test_a_cache_can_only_be_cut_to_what_it_holds() -> None:
    cache, _ = start(PLAIN)
    for length in (-1, cache.length + 1):
        with pytest.raises(InputError):
            cache.truncate(length)


def test_one_cache_can_not_serve_two_rows_of_a_batch() -> None:
    _, request = start(PLAIN)
    with pytest.raises(InputError, match="cache of its own"):
        ENGINES[PLAIN].frames([request, request])


@pytest.mark.parametrize("config", BOTH, ids=NAMES)
def test_only_codes_of_the_codec_are_drawn_and_no_end_where_none_is_allowed(config: CsmConfig) -> None:
    hot = FrameSampling(1, Sampling(50.0, 0), Sampling(50.0, 0))
    seen = []
    cache, request = start(config)
    for index in range(150):
        cache.truncate(5)
        asked = FrameRequest(cache, request.row, request.position, index, hot, allow_eos=False)
        seen.append(ENGINES[config].frames([asked])[0].codes)
    codes = np.array(seen)
    assert codes.max() == 31  # so hot that everything allowed turns up
    assert len(np.unique(codes)) == 32


def test_an_end_of_zeros_that_is_not_allowed_is_drawn_again_without_it() -> None:
    """A model that wants nothing but zeros: allowed to, it ends; otherwise codebook 0 takes its next best code."""
    model = build(PLAIN)
    with torch.no_grad():
        model.codebook0_head.weight.zero_()
        model.audio_head.zero_()
    engine = TorchEngine(model)
    grid = lay_out(PLAIN, dialogue(PLAIN, [(5, None)]))
    greedy = FrameSampling(0, Sampling(0.0), Sampling(0.0))
    for allowed, wanted in ((True, [0, 0, 0, 0]), (False, [1, 0, 0, 0])):
        asked = FrameRequest(engine.new_cache(), grid.rows[-1], 0, 0, greedy, allowed)
        free = FrameRequest(engine.new_cache(), grid.rows[-1], 0, 0, greedy, True)
        ended, spoken = engine.frames([free, asked])
        assert ended.codes.tolist() == [0, 0, 0, 0]
        assert spoken.codes.tolist() == wanted


def test_caches_grow_beyond_their_first_room() -> None:
    engine, random = ENGINES[ALIGNED], np.random.default_rng(0)
    rows = audio_rows(ALIGNED, random.integers(0, 32, (4, 600)))
    cache = engine.new_cache()
    for start_row in range(0, 600, 100):
        engine.prefill(cache, rows[start_row : start_row + 100], np.arange(100))
    assert cache.length == 600


def test_a_device_that_is_not_there_is_named() -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has one")
    with pytest.raises(BackendUnavailable, match="cuda"):
        TorchEngine(build(PLAIN), device="cuda")


def test_bfloat16_speaks() -> None:
    engine = TorchEngine(build(PLAIN), dtype=torch.bfloat16)
    grid = lay_out(PLAIN, dialogue(PLAIN, [(5, None)]))
    frame = engine.frames([FrameRequest(engine.new_cache(), grid.rows[-1], 0, 0, FrameSampling())])[0]
    assert frame.codes.shape == (4,)
    assert engine.name == "torch-cpu-bfloat16"


def test_a_model_of_one_codebook_speaks_without_its_depth_decoder() -> None:
    config = replace(PLAIN, num_codebooks=1)
    model = build(config)
    engine = TorchEngine(model)
    grid = lay_out(config, [*dialogue(config, [(6, None)])])
    cache = engine.new_cache()
    engine.prefill(cache, grid.rows[:-1], grid.positions[:-1])
    greedy = FrameSampling(0, Sampling(0.0), Sampling(0.0), Sampling(0.0))
    frame = engine.frames([FrameRequest(cache, grid.rows[-1], int(grid.positions[-1]), 0, greedy)])[0]
    with torch.inference_mode():
        hidden = model.hidden_states(torch.from_numpy(grid.rows)[None], torch.from_numpy(grid.positions)[None])
        logits = model.first_stage(hidden[0, -1]).first_logits[: config.codec_entries]
    assert frame.codes.tolist() == [int(logits.argmax())]
