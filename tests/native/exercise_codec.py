"""Runs the codec's kernels on codecs of odd sizes, with numpy alone; exercise.py calls it, sanitizers or not."""

from __future__ import annotations

import numpy as np

from duologue.engine.native_engine import available_paths
from duologue.mimi.config import MimiConfig, QuantizerConfig, SeanetConfig, TransformerConfig
from duologue.mimi.spectral_config import SpectralConfig
from duologue.mimi.torchless.native import WEIGHT_KINDS, NativeMimi
from duologue.mimi.torchless.native_spectral import NativeSpectral
from duologue.mimi.torchless.tensors import Floats, Tensors

CONFIGS = [
    MimiConfig(  # as small as can be
        2,
        seanet=SeanetConfig(1, (1,), 1, 1, 1, 1, 1, 1),
        transformer=TransformerConfig(1, 1, 1, 1),
        quantizer=QuantizerConfig(2, 1, 1, 1),
    ),
    MimiConfig(
        36,
        seanet=SeanetConfig(filters=9, ratios=(5, 2), residual_layers=3, compress=3, kernel=4, last_kernel=2),
        transformer=TransformerConfig(layers=2, heads=3, hidden=70, context=67),
        quantizer=QuantizerConfig(codebooks=4, entries=37, width=33, semantic=2),
    ),
]
SPECTRAL = [
    MimiConfig(
        2,
        "spectral",
        None,
        SpectralConfig(dim=1, encoder_blocks=1, decoder_blocks=1, kernel=1, expansion=1),
        TransformerConfig(1, 1, 1, 1),
        QuantizerConfig(2, 1, 1, 1),
    ),
    MimiConfig(
        36,
        "spectral",
        None,
        SpectralConfig(dim=33, encoder_blocks=1, decoder_blocks=2, kernel=4, expansion=2),
        TransformerConfig(layers=1, heads=3, hidden=70, context=67),
        QuantizerConfig(codebooks=4, entries=37, width=33, semantic=2),
    ),
]


class RandomTensors(Tensors):
    """Whatever is asked for."""

    def within(self, prefix: str) -> Tensors:
        return self

    def take(self, name: str, *shape: int) -> Floats:
        values = np.random.default_rng(len(name)).standard_normal(shape).astype(np.float32) * np.float32(0.2)
        return np.abs(values) + np.float32(0.5) if name == "cluster_usage" else values


def exercise_codecs() -> int:
    """Every front end, weight kind and path, in pieces, and more streams than pass at once. Returns frames spoken."""
    spoken = 0
    for number, config in enumerate(CONFIGS):
        for kind in WEIGHT_KINDS:
            for path in available_paths():
                mimi = NativeMimi(
                    config, RandomTensors({}), decoder_weights=kind, encoder_weights=kind, threads=1 + number, path=path
                )
                spoken += speak(mimi)
    for config in SPECTRAL:
        for kind in WEIGHT_KINDS:
            for path in available_paths():
                spoken += speak_spectral(NativeSpectral(config, RandomTensors({}), decoder_weights=kind, path=path))
    return spoken


def speak_spectral(mimi: NativeSpectral) -> int:
    """Codes that the codec heard, spoken again."""
    books, frame = mimi.config.quantizer.codebooks, mimi.config.frame_samples
    random = np.random.default_rng(1)
    hearing, speaking, spoken = mimi.init_encode_state(), mimi.init_decode_state(), 0
    for frames in (1, 2, 33, 5):
        codes, _ = mimi.encode_step(random.standard_normal(frames * frame, np.float32), books, hearing)
        sound, _ = mimi.decode_step(codes[: random.integers(1, books + 1)], speaking)
        assert len(sound) == frames * frame
        spoken += frames
    return spoken


def speak(mimi: NativeMimi) -> int:
    """Codes that the codec heard, spoken again."""
    books, frame = mimi.config.quantizer.codebooks, mimi.config.frame_samples
    random = np.random.default_rng(1)
    hearing, speaking, spoken = mimi.init_encode_state(), mimi.init_decode_state(), 0
    for frames in (1, 2, 33, 5):  # past the ring's end
        codes, _ = mimi.encode_step(random.standard_normal(frames * frame, np.float32), books, hearing)
        sound, _ = mimi.decode_step(codes[: random.integers(1, books + 1)], speaking)
        assert len(sound) == frames * frame
        assert np.isfinite(sound).all()
        spoken += frames
    samples = random.standard_normal((11, 2 * frame), np.float32)
    samples[3, 0] = np.nan
    many = mimi.encode_together(samples, books, [mimi.init_encode_state() for _ in range(11)])
    mimi.decode_together(many, [mimi.init_decode_state() for _ in range(11)])
    return spoken + 22
