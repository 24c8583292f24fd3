"""The codec on the engine's kernels: the torch codec's sound and codes, cut and mixed in any way, on every path."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from duologue.engine.native_engine import available_paths
from duologue.errors import AudioError, InputError, LayoutMismatch, WeightsDamaged
from duologue.evaluation.mimi_references import lively_codec
from duologue.mimi.codec import Mimi
from duologue.mimi.config import MimiConfig, QuantizerConfig, SeanetConfig, TransformerConfig
from duologue.mimi.torchless.codec import TorchlessMimi
from duologue.mimi.torchless.native import NativeMimi, WeightKind
from duologue.mimi.torchless.tensors import Tensors
from duologue.weights.mimi import save_mimi
from duologue.weights.mimi_arrays import load_torchless_mimi

from . import codecs

ODD = MimiConfig(  # widths that no register divides, heads of 6, two dilated residual layers, three semantic books
    width=36,
    seanet=SeanetConfig(filters=6, ratios=(5, 3, 2), residual_layers=2, compress=3, kernel=5),
    transformer=TransformerConfig(layers=2, heads=6, hidden=50, context=7),
    quantizer=QuantizerConfig(codebooks=7, entries=45, width=20, semantic=3),
)
PATHS = available_paths()


@functools.cache
def torch_codec(name: str) -> Mimi:
    """ "small" is the released model's shape; "odd" is nobody's."""
    return codecs.short_sighted() if name == "small" else lively_codec(ODD, codecs.sounds())


@functools.cache
def native(name: str, kind: WeightKind = "float32", path: str = "auto", threads: int = 1) -> NativeMimi:
    mimi = torch_codec(name)
    tensors = Tensors({key: value.numpy() for key, value in mimi.state_dict().items()})
    return NativeMimi(mimi.config, tensors, decoder_weights=kind, encoder_weights=kind, path=path, threads=threads)


def speech(name: str, frames: int) -> np.ndarray:
    return codecs.speech()[0, 0, : frames * torch_codec(name).config.frame_samples].numpy()


def some_codes(name: str, frames: int, seed: int = 0) -> np.ndarray:
    size = torch_codec(name).config.quantizer
    return np.random.default_rng(seed).integers(0, size.entries, (size.codebooks, frames))


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("name", ["small", "odd"])
def test_codes_become_torchs_sound(name: str, path: str) -> None:
    codes = some_codes(name, 40)
    expected = torch_codec(name).decode(torch.from_numpy(codes)[None])[0, 0].numpy()
    heard = native(name, path=path).decode(codes)
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(heard, expected, atol=5e-6 * np.abs(expected).max())


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("name", ["small", "odd"])
def test_recorded_speech_becomes_torchs_latents_and_codes(name: str, path: str) -> None:
    samples, mimi = speech(name, 60), native(name, path=path)
    wav = torch.from_numpy(samples)[None, None]
    with torch.no_grad():
        expected = torch_codec(name).latents(wav)[0].T.numpy()
    latents = mimi.latents(samples, mimi.init_encode_state())
    np.testing.assert_allclose(latents, expected, atol=1e-5 * np.abs(expected).max())
    codes = mimi.encode(samples, mimi.config.quantizer.codebooks)
    np.testing.assert_array_equal(codes, torch_codec(name).encode(wav)[0].numpy())
    np.testing.assert_array_equal(mimi.encode(samples, 2), codes[:2])


def test_an_unfinished_frame_is_filled_up_with_silence() -> None:
    samples = speech("small", 3)[:-700]
    whole = torch_codec("small").encode(torch.from_numpy(samples)[None, None])[0].numpy()
    np.testing.assert_array_equal(native("small").encode(samples, 8), whole)


@settings(max_examples=8)
@given(cuts=st.lists(st.integers(1, 19), min_size=1, max_size=5), name=st.sampled_from(["small", "odd"]))
def test_pieces_give_the_bits_of_the_whole(cuts: list[int], name: str) -> None:
    mimi, ends = native(name), list(itertools.accumulate(cuts))
    codes, samples = some_codes(name, ends[-1]), speech(name, ends[-1])
    speaking, hearing = mimi.init_decode_state(), mimi.init_encode_state()
    sound = [mimi.decode_step(part, speaking)[0] for part in np.split(codes, ends[:-1], axis=1)]
    np.testing.assert_array_equal(np.concatenate(sound), mimi.decode(codes))
    frame = mimi.config.frame_samples
    heard = [mimi.encode_step(part, 7, hearing)[0] for part in np.split(samples, [end * frame for end in ends[:-1]])]
    np.testing.assert_array_equal(np.concatenate(heard, axis=1), mimi.encode(samples, 7))


@settings(max_examples=4)
@given(streams=st.integers(2, 11), seed=st.integers(0, 99))
def test_a_stream_among_others_gives_its_own_bits(streams: int, seed: int) -> None:
    """Of different ages, more of them than pass at once, forward and backward."""
    mimi, random = native("odd"), np.random.default_rng(seed)
    speaking = [mimi.init_decode_state() for _ in range(streams)]
    hearing = [mimi.init_encode_state() for _ in range(streams)]
    for i in range(streams):
        age = int(random.integers(0, 9))
        if age:
            mimi.decode_step(some_codes("odd", age, i), speaking[i])
            mimi.encode_step(random.standard_normal(age * 60, np.float32), 2, hearing[i])
    codes = np.stack([some_codes("odd", 3, seed + i) for i in range(streams)])
    samples = random.standard_normal((streams, 3 * 60), np.float32)
    alone = [mimi.decode_step(codes[i], mimi.fork_state(speaking[i]))[0] for i in range(streams)]
    apart = [mimi.encode_step(samples[i], 7, mimi.fork_state(hearing[i]))[0] for i in range(streams)]
    np.testing.assert_array_equal(mimi.decode_together(codes, speaking), np.stack(alone))
    np.testing.assert_array_equal(mimi.encode_together(samples, 7, hearing), np.stack(apart))


def test_threads_change_nothing() -> None:
    codes, samples = some_codes("small", 21), speech("small", 21)
    one, two = native("small"), native("small", threads=2)
    np.testing.assert_array_equal(one.decode(codes), two.decode(codes))
    np.testing.assert_array_equal(one.encode(samples, 8), two.encode(samples, 8))


@pytest.mark.parametrize(("kind", "decibels"), [("float16", 52), ("bfloat16", 34)])
@pytest.mark.parametrize("path", PATHS)
def test_half_as_wide_weights_keep_the_sound(kind: WeightKind, decibels: int, path: str) -> None:
    codes = some_codes("small", 30)
    exact, rounded = native("small").decode(codes), native("small", kind, path).decode(codes)
    noise = np.square(rounded - exact).sum() / np.square(exact).sum()
    assert decibels < -10 * np.log10(noise) < decibels + 25


def test_a_search_in_int8_finds_what_a_full_search_finds() -> None:
    """Close centroids and far ones: rounding alone would often choose another."""
    random = np.random.default_rng(0)
    config = dataclasses.replace(ODD, quantizer=QuantizerConfig(codebooks=3, entries=500, width=20, semantic=1))
    mimi = Mimi(config).eval()
    with torch.no_grad():
        for book in (*mimi.quantizer.semantic.codebooks, *mimi.quantizer.acoustic.codebooks):
            centres = random.standard_normal((25, 1, 20)) * 10.0 ** random.uniform(-2, 0, (25, 1, 1))
            near = centres + 0.003 * random.standard_normal((25, 20, 20))
            book.embedding_sum.copy_(torch.from_numpy(near.reshape(500, 20)))
    tensors = Tensors({key: value.numpy() for key, value in mimi.state_dict().items()})
    samples = random.standard_normal(400 * 60).astype(np.float32)
    wanted = TorchlessMimi(config, tensors).encode(samples, 3)
    codes = NativeMimi(config, tensors).encode(samples, 3)
    assert len(np.unique(wanted)) > 50
    assert (codes != wanted).mean() < 0.005  # equally near to rounding


def test_states_are_checked() -> None:
    mimi = native("odd")
    state = mimi.init_decode_state()
    with pytest.raises(InputError, match="share"):
        mimi.decode_together(np.zeros((2, 7, 1), int), [state, state])
    with pytest.raises(InputError, match="state"):
        mimi.decode_step(np.zeros((7, 1), int), state[:-8])
    with pytest.raises(InputError, match="state"):
        mimi.encode_step(np.zeros(60, np.float32), 1, state)
    state[:8] = 255  # a negative number of steps
    with pytest.raises(InputError, match="state"):
        mimi.decode_step(np.zeros((7, 1), int), state)


def test_what_can_not_be_is_refused() -> None:
    mimi = native("odd")
    for codes in (np.full((7, 1), 45), np.full((7, 1), -1), np.zeros((8, 1), int), np.zeros((7, 0), int)):
        with pytest.raises(InputError):
            mimi.decode(codes)
    with pytest.raises(AudioError):
        mimi.encode_step(np.zeros(61, np.float32), 1, mimi.init_encode_state())
    with pytest.raises(AudioError):
        mimi.encode(np.zeros(0, np.float32), 1)
    with pytest.raises(InputError):
        mimi.encode(np.zeros(60, np.float32), 8)
    with pytest.raises(InputError, match="path"):
        native("odd", path="mmx")


def test_sound_that_is_none_gives_codes_that_exist() -> None:
    mimi = native("odd")
    samples = np.full(120, np.nan, np.float32)
    samples[::2] = np.inf
    codes = mimi.encode(samples, 7)
    assert codes.min() >= 0
    assert codes.max() < 45


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The small codec in transformers' layout."""
    save_mimi(torch_codec("small"), tmp_path / "mimi", "transformers")
    return tmp_path / "mimi"


def test_transformers_layout_is_read_without_torch(folder: Path) -> None:
    codes = some_codes("small", 10)
    np.save(folder / "codes.npy", codes)
    script = f"""
import sys, numpy as np
from duologue.weights.mimi_arrays import load_torchless_mimi
mimi = load_torchless_mimi({str(folder)!r}, "float32")
np.save({str(folder / "sound.npy")!r}, mimi.decode(np.load({str(folder / "codes.npy")!r})))
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=200)
    # windows of 12 steps are no released codec's: the config.json carries them
    np.testing.assert_array_equal(np.load(folder / "sound.npy"), native("small").decode(codes))


def test_tensors_too_many_or_not_finite_are_named(folder: Path) -> None:
    path = folder / "model.safetensors"
    tensors = load_file(path)
    assert isinstance(load_torchless_mimi(folder), NativeMimi)
    for name, change, error in (
        ("surplus", torch.zeros(3), LayoutMismatch),
        ("encoder.layers.0.conv.bias", torch.zeros(5), LayoutMismatch),
        ("encoder_transformer.layers.0.self_attn.q_proj.weight", torch.zeros(5, 5), LayoutMismatch),
        ("decoder.layers.0.conv.bias", torch.full((64,), torch.nan), WeightsDamaged),
        ("decoder.layers.0.conv.bias", torch.zeros(64, dtype=torch.int32), WeightsDamaged),
    ):
        save_file(tensors | {name: change}, path)
        with pytest.raises(error, match=name):
            load_torchless_mimi(folder).decode(some_codes("small", 1))
    save_file({name: tensor for name, tensor in tensors.items() if "upsample" not in name}, path)
    with pytest.raises(LayoutMismatch, match="upsample"):
        load_torchless_mimi(folder)


def test_a_config_of_other_sizes_is_refused(folder: Path) -> None:
    values = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(values | {"num_filters": 8}))
    with pytest.raises(LayoutMismatch, match=r"encoder|decoder"):
        load_torchless_mimi(folder)


def test_weight_norm_is_folded_without_torch(tmp_path: Path) -> None:
    """As in files of training runs: a length and a direction for each weight."""
    path = tmp_path / "codec.safetensors"
    save_mimi(torch_codec("small"), path)
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    tensors = load_file(path)
    for name in [name for name in tensors if name.endswith("conv.conv.weight")]:
        weight = tensors.pop(name)
        length = weight.flatten(1).norm(dim=1).reshape(-1, 1, 1)
        tensors |= {f"{name}_g": length, f"{name}_v": weight * 3.0}
    save_file(tensors, path, metadata)
    codes = some_codes("small", 10)
    folded = load_torchless_mimi(path, "float32")
    np.testing.assert_allclose(folded.decode(codes), native("small").decode(codes), atol=1e-4)
