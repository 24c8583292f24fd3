"""The spectral codec on the engine's kernels: numpy's codes and sound, cut in any way, on every path."""

from __future__ import annotations

import functools
import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from duologue.engine.native_engine import available_paths
from duologue.errors import AudioError, InputError, LayoutMismatch
from duologue.mimi.codec import Mimi
from duologue.mimi.config import MimiConfig, QuantizerConfig, TransformerConfig
from duologue.mimi.spectral_config import SpectralConfig
from duologue.mimi.torchless.codec import TorchlessMimi
from duologue.mimi.torchless.native import NativeMimi, WeightKind
from duologue.mimi.torchless.native_spectral import NativeSpectral
from duologue.mimi.torchless.tensors import Tensors

CONFIG = MimiConfig(  # widths that no register divides
    36,
    "spectral",
    None,
    SpectralConfig(dim=27, encoder_blocks=2, decoder_blocks=3, kernel=5, expansion=2),
    TransformerConfig(layers=2, heads=3, hidden=50, context=7, initial_scale=0.5),
    QuantizerConfig(codebooks=5, entries=32, width=9, semantic=2),
)
FRAME = CONFIG.frame_samples
PATHS = available_paths()


@functools.cache
def tensors() -> Tensors:
    torch.manual_seed(3)
    return Tensors({name: value.numpy() for name, value in Mimi(CONFIG).state_dict().items()})


@functools.cache
def in_numpy() -> TorchlessMimi:
    return TorchlessMimi(CONFIG, tensors())


@functools.cache
def native(kind: WeightKind = "float32", path: str = "auto", threads: int = 1) -> NativeSpectral:
    return NativeSpectral(CONFIG, tensors(), decoder_weights=kind, encoder_weights=kind, path=path, threads=threads)


def some_codes(frames: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 32, (5, frames))


def some_sound(frames: int, seed: int = 0) -> np.ndarray:
    random, times = np.random.default_rng(seed), np.arange(frames * FRAME) / 24_000
    return (0.3 * np.sin(2 * np.pi * 140 * times) + 0.05 * random.standard_normal(len(times))).astype(np.float32)


@pytest.mark.parametrize("path", PATHS)
def test_codes_become_numpys_sound(path: str) -> None:
    """A short clip: the phase is a running sum, in which rounding adds up."""
    codes = some_codes(6)
    expected = in_numpy().decode(codes)
    assert np.abs(expected).max() > 0.01
    np.testing.assert_allclose(native(path=path).decode(codes), expected, atol=1e-4)


@pytest.mark.parametrize("path", PATHS)
def test_sound_becomes_numpys_codes(path: str) -> None:
    samples = some_sound(60)
    expected, codes = in_numpy().encode(samples, 5), native(path=path).encode(samples, 5)
    assert len(np.unique(expected)) > 3
    assert (codes == expected).mean() > 0.99
    np.testing.assert_array_equal(native(path=path).encode(samples[:-700], 2), codes[:2])


@settings(max_examples=10)
@given(cuts=st.lists(st.integers(1, 19), min_size=1, max_size=6), seed=st.integers(0, 9))
def test_pieces_give_the_bits_of_the_whole(cuts: list[int], seed: int) -> None:
    mimi, ends = native(), list(itertools.accumulate(cuts))
    codes, samples = some_codes(ends[-1], seed), some_sound(ends[-1], seed)
    speaking, hearing = mimi.init_decode_state(), mimi.init_encode_state()
    sound = [mimi.decode_step(part, speaking)[0] for part in np.split(codes, ends[:-1], axis=1)]
    np.testing.assert_array_equal(np.concatenate(sound), mimi.decode(codes))
    heard = [mimi.encode_step(part, 5, hearing)[0] for part in np.split(samples, [end * FRAME for end in ends[:-1]])]
    np.testing.assert_array_equal(np.concatenate(heard, axis=1), mimi.encode(samples, 5))


def test_a_clip_of_several_pieces_is_one_stream() -> None:
    codes = some_codes(113)
    state = native().init_decode_state()
    np.testing.assert_array_equal(native().decode_step(codes, state)[0], native().decode(codes))


def test_a_forked_stream_goes_its_own_way() -> None:
    mimi, codes = native(), some_codes(12)
    state = mimi.init_decode_state()
    mimi.decode_step(codes[:, :4], state)
    mimi.decode_step(codes[:, 8:], mimi.fork_state(state))
    np.testing.assert_array_equal(mimi.decode_step(codes[:, 4:8], state)[0], mimi.decode(codes)[4 * FRAME : 8 * FRAME])


def test_threads_change_nothing() -> None:
    one, two = native(), native(threads=2)
    np.testing.assert_array_equal(one.decode(some_codes(21)), two.decode(some_codes(21)))
    np.testing.assert_array_equal(one.encode(some_sound(21), 5), two.encode(some_sound(21), 5))


@pytest.mark.parametrize("path", PATHS)
def test_weights_that_were_float16_lose_nothing_in_float16(path: str) -> None:
    """As in the embedded voice's file."""
    halves = Tensors({name: value.half().float().numpy() for name, value in Mimi(CONFIG).state_dict().items()})
    exact, half = (NativeSpectral(CONFIG, halves, decoder_weights=kind, path=path) for kind in ("float32", "float16"))
    np.testing.assert_array_equal(half.decode(some_codes(9)), exact.decode(some_codes(9)))


def test_rounded_weights_change_a_little_of_what_is_said_about_each_hop() -> None:
    """Not of samples: a pitch that is a little higher is soon out of step."""
    exact, rounded = (
        mimi._halves.decode(some_codes(4)[None], [mimi.init_decode_state().network])
        for mimi in (native(), native("bfloat16"))
    )
    assert 0 < np.square(rounded - exact).sum() < 1e-3 * np.square(exact).sum()


def test_what_can_not_be_is_refused() -> None:
    mimi = native()
    for codes in (np.full((5, 1), 32), np.full((5, 1), -1), np.zeros((6, 1), int), np.zeros((5, 0), int)):
        with pytest.raises(InputError):
            mimi.decode(codes)
    for samples in (np.zeros(FRAME + 1, np.float32), np.zeros(0, np.float32), np.zeros((1, FRAME), np.float32)):
        with pytest.raises(AudioError):
            mimi.encode_step(samples, 1, mimi.init_encode_state())
    with pytest.raises(AudioError):
        mimi.encode(np.zeros(0, np.float32), 1)
    with pytest.raises(InputError):
        mimi.encode(some_sound(1), 6)
    with pytest.raises(InputError, match="front end"):
        NativeMimi(CONFIG, tensors())
    with pytest.raises(InputError, match="path"):
        native(path="mmx")


def test_sizes_that_disagree_with_the_tensors_are_refused() -> None:
    config = MimiConfig(36, "spectral", None, SpectralConfig(dim=28), CONFIG.transformer, CONFIG.quantizer)
    with pytest.raises(LayoutMismatch):
        NativeSpectral(config, tensors()).decode(some_codes(1))
