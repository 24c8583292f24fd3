"""The codec without torch: the torch codec's codes and sound, whole or streamed, from the same files, without torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from duologue.errors import AudioError, InputError, LayoutMismatch
from duologue.mimi.codec import Mimi
from duologue.mimi.config import MimiConfig, QuantizerConfig, SeanetConfig, TransformerConfig
from duologue.mimi.sounding import SoundCodec
from duologue.mimi.spectral_config import SpectralConfig
from duologue.mimi.torchless.codec import TorchlessMimi
from duologue.mimi.torchless.layers import gelu
from duologue.mimi.torchless.sounding import TorchlessSoundCodec
from duologue.mimi.torchless.tensors import Tensors
from duologue.native import binding
from duologue.weights.mimi import save_mimi
from duologue.weights.mimi_arrays import load_torchless_mimi

TRANSFORMER = TransformerConfig(layers=2, heads=4, hidden=40, context=12, initial_scale=0.5)
QUANTIZER = QuantizerConfig(codebooks=5, entries=32, width=8, semantic=2)
SEANET = MimiConfig(32, "seanet", SeanetConfig(filters=4, residual_layers=2), None, TRANSFORMER, QUANTIZER)
SPECTRAL = MimiConfig(
    32, "spectral", None, SpectralConfig(dim=24, encoder_blocks=2, decoder_blocks=2), TRANSFORMER, QUANTIZER
)
CONFIGS = {"seanet": SEANET, "seanet in numpy": SEANET, "spectral": SPECTRAL}


@pytest.fixture(scope="module")
def codecs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[SoundCodec, TorchlessSoundCodec]]:
    """Both forms of both codecs, from one file each."""
    made = {}
    for name, config in CONFIGS.items():
        torch.manual_seed(1)
        mimi = Mimi(config).eval()
        path = tmp_path_factory.mktemp("codec") / f"{name}.safetensors"
        save_mimi(mimi, path)
        torchless = load_torchless_mimi(path, "float32")
        if name == "seanet in numpy":
            torchless = TorchlessMimi(config, Tensors({key: value.numpy() for key, value in mimi.state_dict().items()}))
        made[name] = SoundCodec(mimi), TorchlessSoundCodec(torchless)
    return made


def sound(seconds: float, seed: int = 0) -> np.ndarray:
    random, times = np.random.default_rng(seed), np.arange(int(seconds * 24_000)) / 24_000
    tone = np.sin(2 * np.pi * 140 * times) * (0.2 + 0.1 * np.sin(2 * np.pi * 3 * times))
    return (tone + 0.02 * random.standard_normal(len(times))).astype(np.float32)


def far_below(heard: np.ndarray, expected: np.ndarray) -> bool:
    """Whether the difference lies 40 dB below the sound."""
    return bool(np.square(heard - expected).sum() < 1e-4 * np.square(expected).sum())


def random_codes(config: MimiConfig, frames: int, seed: int = 0) -> np.ndarray:
    size = config.quantizer
    return np.random.default_rng(seed).integers(0, size.entries, (size.codebooks, frames))


@pytest.mark.parametrize("name", CONFIGS)
def test_sound_becomes_the_same_codes(name: str, codecs: dict[str, tuple[SoundCodec, TorchlessSoundCodec]]) -> None:
    """All but those at which two centroids are equally near, to rounding."""
    plain, torchless = codecs[name]
    samples = sound(6.03)
    expected, codes = plain.encode(samples), torchless.encode(samples)
    assert codes.shape == expected.shape == (5, 76)
    assert (codes == expected).mean() > 0.99
    np.testing.assert_array_equal(torchless.encode(samples, 2), codes[:2])


@pytest.mark.parametrize("name", CONFIGS)
def test_codes_become_the_same_sound(name: str, codecs: dict[str, tuple[SoundCodec, TorchlessSoundCodec]]) -> None:
    """The spectral voice's phase is a running sum of its pitch: rounding adds up, so its clip is a short one."""
    plain, torchless = codecs[name]
    codes = random_codes(plain.config, 4 if name == "spectral" else 60)
    expected = plain.decode(codes)
    assert np.abs(expected).max() > 0.01
    np.testing.assert_allclose(torchless.decode(codes), expected, atol=3e-4)


@pytest.mark.parametrize("name", CONFIGS)
def test_a_long_clip_sounds_the_same(name: str, codecs: dict[str, tuple[SoundCodec, TorchlessSoundCodec]]) -> None:
    plain, torchless = codecs[name]
    codes = random_codes(plain.config, 120, seed=3)
    expected, heard = plain.decode(codes), torchless.decode(codes)
    assert far_below(heard, expected)


@pytest.mark.parametrize("name", CONFIGS)
@settings(max_examples=6)
@given(cuts=st.lists(st.integers(1, 7), min_size=1, max_size=6), seed=st.integers(0, 9))
def test_a_stream_is_the_whole(
    name: str, cuts: list[int], seed: int, codecs: dict[str, tuple[SoundCodec, TorchlessSoundCodec]]
) -> None:
    torchless = codecs[name][1]
    codes = random_codes(torchless.config, sum(cuts), seed)
    decoder = torchless.decoder()
    parts = [decoder.decode(part) for part in np.split(codes, np.cumsum(cuts)[:-1], axis=1)]
    assert far_below(np.concatenate(parts), torchless.decode(codes))


@pytest.mark.parametrize("name", CONFIGS)
def test_sound_encoded_in_pieces_has_the_whole_clips_codes(
    name: str, codecs: dict[str, tuple[SoundCodec, TorchlessSoundCodec]]
) -> None:
    mimi = codecs[name][1].mimi
    samples = sound(1.6)
    state, pieces = mimi.init_encode_state(), []
    for start in range(0, len(samples), 2 * 1920):
        codes, state = mimi.encode_step(samples[start : start + 2 * 1920], 5, state)
        pieces.append(codes)
    assert (np.concatenate(pieces, axis=1) == mimi.encode(samples, 5)).mean() > 0.99


@pytest.mark.parametrize("name", CONFIGS)
def test_a_forked_stream_goes_its_own_way(name: str, codecs: dict[str, tuple[SoundCodec, TorchlessSoundCodec]]) -> None:
    torchless = codecs[name][1]
    codes = random_codes(torchless.config, 12)
    decoder = torchless.decoder()
    decoder.decode(codes[:, :4])
    twin = decoder.fork()
    twin.decode(codes[:, 8:])
    assert far_below(decoder.decode(codes[:, 4:8]), torchless.decode(codes)[4 * 1920 : 8 * 1920])


@pytest.mark.parametrize("name", CONFIGS)
def test_codes_have_the_same_name_in_both(name: str, codecs: dict[str, tuple[SoundCodec, TorchlessSoundCodec]]) -> None:
    """Voices that one form encoded are taken by the other."""
    plain, torchless = codecs[name]
    assert torchless.fingerprint == plain.fingerprint
    assert torchless.frame_samples == plain.frame_samples == 1920


def test_what_can_not_be_is_refused(codecs: dict[str, tuple[SoundCodec, TorchlessSoundCodec]]) -> None:
    torchless = codecs["spectral"][1]
    for codes in (
        random_codes(SPECTRAL, 3) + 32,
        random_codes(SPECTRAL, 3) - 40,
        np.zeros((6, 3), int),
        np.zeros((5, 0), int),
    ):
        with pytest.raises(InputError):
            torchless.decode(codes)
    with pytest.raises(AudioError):
        torchless.encode(np.zeros(0, np.float32))
    with pytest.raises(InputError, match="codebooks"):
        TorchlessSoundCodec(torchless.mimi, 6)


def test_tensors_of_another_size_are_named(tmp_path: Path) -> None:
    path = tmp_path / "codec.safetensors"
    save_mimi(Mimi(SPECTRAL), path)
    tensors = load_file(path)
    with safe_open(path, framework="np") as file:
        metadata = file.metadata()
    tensors["encoder.read.bias"] = np.zeros(5, np.float32)
    save_file(tensors, path, metadata)
    with pytest.raises(LayoutMismatch, match=r"encoder.read.bias is \(5,\)"):
        load_torchless_mimi(path)
    del tensors["encoder.read.bias"]
    save_file(tensors, path, metadata)
    with pytest.raises(LayoutMismatch, match=r"encoder.read.bias"):
        load_torchless_mimi(path)


def test_gelu_is_torchs() -> None:
    x = np.linspace(-9, 9, 20_001, dtype=np.float32)
    np.testing.assert_allclose(gelu(x), torch.nn.functional.gelu(torch.from_numpy(x)).numpy(), atol=3e-6)


def test_half_precision_files_are_read(tmp_path: Path) -> None:
    path = tmp_path / "codec.safetensors"
    save_mimi(Mimi(SPECTRAL).bfloat16(), path)
    mimi = load_torchless_mimi(path)
    assert np.isfinite(mimi.decode(random_codes(SPECTRAL, 3))).all()


def test_without_kernels_numpy_multiplies(
    codecs: dict[str, tuple[SoundCodec, TorchlessSoundCodec]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    torchless = codecs["seanet"][1]
    codes = random_codes(SEANET, 5)
    path = tmp_path / "codec.safetensors"
    save_mimi(codecs["seanet"][0].mimi, path)
    monkeypatch.setenv("DUOLOGUE_NATIVE_LIBRARY", str(tmp_path / "none.so"))
    binding.library.cache_clear()
    plain = load_torchless_mimi(path)
    assert isinstance(plain, TorchlessMimi)
    monkeypatch.undo()
    binding.library.cache_clear()
    np.testing.assert_allclose(plain.decode(codes), torchless.decode(codes), atol=1e-5)


def test_a_model_speaks_without_torch(tiny_folder: Path) -> None:
    """From import to samples, torch is never loaded."""
    script = f"""
import sys, duologue
audio = duologue.load({str(tiny_folder)!r}).generate("Hello there.", seed=1)
assert len(audio.samples) > 0
assert not {{"torch", "scipy", "transformers"}} & sys.modules.keys()
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=200)
