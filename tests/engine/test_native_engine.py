"""The CPU engine: in float32 the torch engine's frames, else its own rounding alone; a row is the same in company."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from duologue.csm.config import AlignedText, CsmConfig, RopeScaling, StackConfig
from duologue.csm.frames import audio_rows, is_eos, lay_out
from duologue.csm.model import Csm
from duologue.engine import generator
from duologue.engine.base import Engine, Frame, FrameRequest, FrameSampling, Sampling
from duologue.engine.generator import Limits, Utterance, begin, generate_frames
from duologue.engine.native_engine import NativeCache, NativeEngine, available_paths
from duologue.engine.torch_engine import TorchEngine
from duologue.errors import BackendUnavailable, InputError, WeightsDamaged
from duologue.native import binding
from tests.csm.sizes import ALIGNED, PLAIN, build, dialogue

# widths that are no multiple of any vector, three query heads to a key head
ODD = CsmConfig(
    StackConfig(3, 50, 6, 2, 10, 37, 300, rope_scaling=RopeScaling(original_positions=64)),
    StackConfig(2, 22, 3, 3, 14, 29, 9, rope_base=10_000.0),
    num_codebooks=5,
    codebook_size=37,
    text_vocab=30,
    codec_entries=33,
    eos="code",
    eos_code=34,
    aligned=AlignedText(before=0, after=1, max_advance=3, max_dwell=2),
)
LONE = dataclasses.replace(PLAIN, num_codebooks=1, depth=dataclasses.replace(PLAIN.depth, max_positions=2))
CONFIGS = {"plain": PLAIN, "aligned": ALIGNED, "odd": ODD, "one codebook": LONE}
MODELS = {name: build(config) for name, config in CONFIGS.items()}
PATHS = available_paths()
GREEDY = FrameSampling(0, Sampling(0.0, 0), Sampling(0.0, 0), Sampling(0.0, 0))
ANYTHING = FrameSampling(5, Sampling(1.0, 0), Sampling(1.2, 7), Sampling(1.0, 0))


def arrays(model: Csm) -> dict[str, np.ndarray]:
    return {name: tensor.detach().numpy() for name, tensor in model.state_dict().items()}


NATIVE = {name: NativeEngine.from_weights(CONFIGS[name], arrays(model)) for name, model in MODELS.items()}
TORCH = {name: TorchEngine(model) for name, model in MODELS.items()}


def start(engine: Engine, seed: int = 0, units: int = 6, frames: int = 6) -> FrameRequest:
    """A prompt read up to its last row, and the request for its first frame."""
    grid = lay_out(engine.config, dialogue(engine.config, [(5, frames), (units, None)], seed))
    cache = engine.new_cache()
    engine.prefill(cache, grid.rows[:-1], grid.positions[:-1])
    return FrameRequest(cache, grid.rows[-1], int(grid.positions[-1]), 0, FrameSampling(seed))


def follow(config: CsmConfig, request: FrameRequest, frame: Frame) -> FrameRequest:
    row = audio_rows(config, frame.codes[:, None])[0]
    return dataclasses.replace(request, row=row, position=request.position + 1, index=request.index + 1)


def speak(engine: Engine, request: FrameRequest, frames: int) -> list[list[int]]:
    """Codes and pointer moves of so many frames."""
    spoken = []
    for _ in range(frames):
        frame = engine.frames([request])[0]
        spoken.append([*frame.codes.tolist(), frame.advance])
        request = follow(engine.config, request, frame)
    return spoken


def with_sampling(request: FrameRequest, sampling: FrameSampling, allow_eos: bool = True) -> FrameRequest:
    return dataclasses.replace(request, sampling=sampling, allow_eos=allow_eos)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("name", CONFIGS)
def test_float32_logits_are_the_modules(name: str, path: str) -> None:
    config, model = CONFIGS[name], MODELS[name]
    engine = NativeEngine.from_weights(config, arrays(model), path=path)
    grid = lay_out(config, dialogue(config, [(5, 40), (30, None)]))
    cache = engine.new_cache()
    engine.prefill(cache, grid.rows[:-1], grid.positions[:-1])
    codes = np.random.default_rng(1).integers(0, 32, config.num_codebooks)
    request = FrameRequest(cache, grid.rows[-1], int(grid.positions[-1]), 0, GREEDY)
    _, trace = engine.trace(request, codes)
    with torch.inference_mode():
        hidden = model.hidden_states(torch.from_numpy(grid.rows)[None], torch.from_numpy(grid.positions)[None])[0, -1:]
        stage = model.first_stage(hidden)
        depth = model.depth_stage(hidden, torch.from_numpy(codes)[None])[0] if config.num_codebooks > 1 else None
    np.testing.assert_allclose(trace.hidden, hidden[0].numpy(), atol=5e-5)
    np.testing.assert_allclose(trace.first_logits, stage.first_logits[0].numpy(), atol=1e-4)
    if depth is not None:
        np.testing.assert_allclose(trace.depth_logits, depth.numpy(), atol=1e-4)
    if stage.advance_logits is not None:
        np.testing.assert_allclose(trace.advance_logits, stage.advance_logits[0].numpy(), atol=1e-4)


@pytest.mark.parametrize(
    "sampling", [GREEDY, ANYTHING, FrameSampling(2**64 + 3)], ids=["greedy", "anything", "default"]
)
@pytest.mark.parametrize("allow_eos", [True, False])
@pytest.mark.parametrize("name", ["plain", "aligned", "odd"])
def test_float32_speaks_the_torch_engines_codes(name: str, sampling: FrameSampling, allow_eos: bool) -> None:
    spoken = [
        speak(engine[name], with_sampling(start(engine[name]), sampling, allow_eos), 25) for engine in (NATIVE, TORCH)
    ]
    assert spoken[0] == spoken[1]


def guided(engine: Engine, scale: float, seed: int = 3) -> Utterance:
    segments = dialogue(engine.config, [(5, 6), (7, None)], seed)
    sampling = dataclasses.replace(ANYTHING, seed=seed, guidance=scale)
    return begin(engine, engine.new_cache(), lay_out(engine.config, segments), segments[-1].text, sampling, Limits(14))


def said(engine: Engine, utterance: Utterance) -> list[list[int]]:
    return [[*frame.codes.tolist(), frame.advance] for frame in generate_frames(engine, utterance)]


@pytest.mark.parametrize("name", ["plain", "aligned", "odd", "one codebook"])
def test_guidance_is_the_same_on_both_engines_and_changes_what_is_said(name: str) -> None:
    native, plain = NATIVE[name], TORCH[name]
    strong = said(native, guided(native, 4.0))
    assert strong == said(plain, guided(plain, 4.0))
    assert strong != said(native, guided(native, 1.0))


@pytest.mark.parametrize("kind", ["native", "torch"])
def test_guided_rows_beside_others_are_what_they_are_alone(kind: str) -> None:
    """More readings than one call of the native engine takes, guided and unguided mixed."""
    engine: Engine = {"native": NATIVE, "torch": TORCH}[kind]["aligned"]
    scales = [1.0, 2.0, 4.0, 1.0, 3.0, 1.5] * (6 if kind == "native" else 1)
    together = [guided(engine, scale, seed) for seed, scale in enumerate(scales)]
    while live := [utterance for utterance in together if utterance.ending is None]:
        generator.step(engine, live)
    for seed, scale in enumerate(scales):
        alone = guided(engine, scale, seed)
        said(engine, alone)
        np.testing.assert_array_equal(together[seed].segment().codes, alone.segment().codes)


def test_guidance_moves_logits_away_from_the_wordless_reading() -> None:
    engine, model = NATIVE["aligned"], MODELS["aligned"]
    utterance = guided(engine, 2.5)
    request = utterance.request()
    assert request.guide is not None
    lone = [dataclasses.replace(request, cache=c.fork(), row=r, guide=None) for c, r in
            ((request.cache, request.row), (request.guide.cache, request.guide.row))]  # fmt: skip
    codes = np.arange(1, engine.config.num_codebooks + 1)
    full, wordless = (engine.trace(r, codes)[1] for r in lone)
    mixed = engine.trace(request, codes)[1]
    for part in ("first_logits", "depth_logits"):
        a, b = getattr(full, part), getattr(wordless, part)
        np.testing.assert_allclose(getattr(mixed, part), b + 2.5 * (a - b), atol=1e-5)
    np.testing.assert_array_equal(mixed.advance_logits, full.advance_logits)
    assert not model.training


def test_a_guide_that_belongs_to_nobody_is_refused() -> None:
    engine = NATIVE["plain"]
    request = start(engine)
    twice = [dataclasses.replace(request, cache=request.cache.fork()) for _ in range(2)]
    slots = (binding.CRequest * 2)()
    rows = np.stack([request.row, request.row]).astype(np.int64)
    for i, one in enumerate(twice):
        engine._fill(slots[i], one, binding.address(rows) + i * rows.strides[0])
    slots[1].guide_of = 1
    out = np.empty((2, engine.config.num_codebooks + 1), np.int64)
    with pytest.raises(InputError, match="guide"):
        binding.check(binding.library().dl_frames(engine._handle, slots, 2, binding.address(out)))


def test_an_end_that_is_not_allowed_is_not_spoken() -> None:
    """A network that wants nothing but zeros is made to say something else, and the torch engine agrees on what."""
    model = build(PLAIN)
    with torch.no_grad():
        model.codebook0_head.weight.zero_()
        model.audio_head.zero_()
    native, plain = NativeEngine.from_weights(PLAIN, arrays(model)), TorchEngine(model)
    free, held = (native.frames([with_sampling(start(native), GREEDY, allowed)])[0] for allowed in (True, False))
    assert is_eos(PLAIN, free.codes)
    assert not is_eos(PLAIN, held.codes)
    np.testing.assert_array_equal(held.codes, plain.frames([with_sampling(start(plain), GREEDY, False)])[0].codes)


@pytest.mark.parametrize("plan", ["float32", "float16", "bfloat16", "int8", "int4-g64"])
@pytest.mark.parametrize("name", ["plain", "odd"])
def test_a_row_in_company_is_what_it_is_alone(name: str, plan: str) -> None:
    """Bit for bit, whatever the others' lengths, positions, seeds and settings; rows join and leave."""
    engine = NativeEngine.from_weights(CONFIGS[name], arrays(MODELS[name]), plan)
    requests = [start(engine, seed, units=3 + seed, frames=4 * seed + 2) for seed in range(7)]
    requests = [with_sampling(r, FrameSampling(i, Sampling(0.5 + i / 5, i * 3))) for i, r in enumerate(requests)]
    alone = [dataclasses.replace(r, cache=r.cache.fork()) for r in requests]
    for step in range(4):
        together = engine.frames(requests[step:])
        for i, frame in enumerate(together, start=step):
            solo = engine.frames([alone[i]])[0]
            np.testing.assert_array_equal(frame.codes, solo.codes)
            alone[i] = follow(engine.config, alone[i], solo)
            requests[i] = follow(engine.config, requests[i], frame)
    last = [engine.trace(r)[1] for r in (requests[6], alone[6])]
    np.testing.assert_array_equal(last[0].hidden, last[1].hidden)
    np.testing.assert_array_equal(last[0].depth_logits, last[1].depth_logits)


@settings(max_examples=15)
@given(cuts=st.lists(st.integers(1, 40), min_size=1, max_size=5), seed=st.integers(0, 5))
def test_a_prompt_read_in_pieces_is_the_prompt_read_whole(cuts: list[int], seed: int) -> None:
    engine = NATIVE["aligned"]
    grid = lay_out(engine.config, dialogue(engine.config, [(9, 80), (30, None)], seed))
    caches = engine.new_cache(), engine.new_cache()
    engine.prefill(caches[0], grid.rows[:-1], grid.positions[:-1])
    for rows, positions in zip(
        np.split(grid.rows[:-1], np.cumsum(cuts)), np.split(grid.positions[:-1], np.cumsum(cuts)), strict=True
    ):
        engine.prefill(caches[1], rows, positions)
    assert caches[0].length == caches[1].length == len(grid.rows) - 1
    whole, pieces = (
        engine.trace(FrameRequest(cache, grid.rows[-1], int(grid.positions[-1]), 0, GREEDY))[1] for cache in caches
    )
    np.testing.assert_array_equal(whole.hidden, pieces.hidden)


@settings(max_examples=10)
@given(length=st.integers(0, 140), frames=st.integers(1, 80))
def test_forks_do_not_see_each_other(length: int, frames: int) -> None:
    """Pages are shared until one side writes; cutting and writing again on one side leaves the other as it was."""
    engine = NATIVE["plain"]
    rows = audio_rows(engine.config, np.random.default_rng(3).integers(1, 32, (4, 300)))
    positions = np.arange(300) % 128
    origin = engine.new_cache()
    engine.prefill(origin, rows[:length], positions[:length])
    request = FrameRequest(origin, rows[290], 100, 0, GREEDY)
    expected = engine.trace(dataclasses.replace(request, cache=origin.fork()))[1].hidden
    twin = origin.fork()
    assert twin.own_bytes == origin.own_bytes == 0 or length == 0
    engine.prefill(twin, rows[length : length + frames], positions[length : length + frames])
    assert (origin.length, twin.length) == (length, length + frames)
    twin.truncate(length // 2)
    engine.prefill(twin, rows[100:110], positions[100:110])
    np.testing.assert_array_equal(engine.trace(request)[1].hidden, expected)


def test_a_cut_cache_forgets() -> None:
    engine = NATIVE["plain"]
    request = start(engine)
    cache, length = request.cache, request.cache.length
    first = speak(engine, request, 5)
    cache.truncate(length)
    assert speak(engine, request, 5) == first
    with pytest.raises(InputError, match="cut"):
        cache.truncate(cache.length + 1)


@pytest.mark.parametrize("plan", ["float32", "int8"])
def test_threads_change_nothing(plan: str) -> None:
    model = build(dataclasses.replace(PLAIN, backbone=dataclasses.replace(PLAIN.backbone, hidden=700)))
    spoken = []
    for threads in (1, 2, 3):
        engine = NativeEngine.from_weights(model.config, arrays(model), plan, threads=threads)
        request = with_sampling(start(engine), ANYTHING)
        spoken.append((speak(engine, request, 12), engine.trace(request)[1].hidden.tobytes()))
    assert spoken[0] == spoken[1] == spoken[2]


def test_nothing_that_does_not_exist_is_read() -> None:
    engine = NATIVE["aligned"]
    request = start(engine)
    length = request.cache.length
    bad_code, bad_text, bad_row = request.row.copy(), request.row.copy(), request.row[:-1]
    bad_code[1], bad_text[-1] = 33, 999
    for change in ({"row": bad_code}, {"row": bad_text}, {"row": bad_row}, {"position": 128}, {"position": -1}):
        with pytest.raises(InputError):
            engine.frames([dataclasses.replace(request, **change)])
        if "position" not in change and len(change["row"]) == engine.config.columns:
            with pytest.raises(InputError):
                engine.prefill(request.cache, change["row"][None], np.array([0]))
    with pytest.raises(InputError, match="cache"):
        engine.frames([request, request])
    with pytest.raises(InputError, match="cache"):
        engine.frames([dataclasses.replace(request, cache=NATIVE["plain"].new_cache())])
    assert request.cache.length == length


def test_logits_that_are_no_numbers_are_reported_and_leave_no_trace() -> None:
    model = build(PLAIN)
    with torch.no_grad():
        model.backbone.layers[0].mlp.w2.weight[0, 0] = torch.nan
    engine = NativeEngine.from_weights(PLAIN, arrays(model))
    request = start(engine)
    length = request.cache.length
    with pytest.raises(WeightsDamaged):
        engine.frames([request])
    assert request.cache.length == length


def test_an_unknown_path_is_unavailable() -> None:
    with pytest.raises(BackendUnavailable, match="mmx"):
        NativeEngine.from_weights(PLAIN, arrays(MODELS["plain"]), path="mmx")


def test_caches_outlive_their_engine() -> None:
    engine = NativeEngine.from_weights(PLAIN, arrays(MODELS["plain"]))
    cache = engine.new_cache()
    del engine
    assert isinstance(cache, NativeCache)
    assert cache.fork().length == 0


def test_more_rows_than_one_call_takes_are_spoken_in_several() -> None:
    engine = NATIVE["plain"]
    requests = [start(engine, seed % 3) for seed in range(40)]
    frames = engine.frames(requests)
    assert len(frames) == 40
    np.testing.assert_array_equal(frames[0].codes, frames[39].codes)


def test_of_equal_logits_those_of_lower_codes_are_kept() -> None:
    model = build(PLAIN)
    with torch.no_grad():
        model.codebook0_head.weight.zero_()
        model.audio_head.zero_()
    drawn: list[set[int]] = []
    for engine in (NativeEngine.from_weights(PLAIN, arrays(model)), TorchEngine(model)):
        few = FrameSampling(5, Sampling(1.0, 3), Sampling(1.0, 3))
        spoken = speak(engine, with_sampling(start(engine), few, allow_eos=False), 20)
        drawn.append({code for frame in spoken for code in frame[:-1]})
    assert drawn == [{0, 1, 2}] * 2
