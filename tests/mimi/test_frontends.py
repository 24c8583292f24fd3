"""Either pair of front ends fits the same codec."""

from __future__ import annotations

import dataclasses
import functools

import pytest
import torch

from duologue.errors import InputError
from duologue.evaluation.parity_mimi import SMALL
from duologue.mimi.codec import Mimi
from duologue.mimi.spectral_config import SpectralConfig
from duologue.mimi.stream import StreamEncoder

from .codecs import sounds


@functools.cache
def spectral() -> Mimi:
    torch.manual_seed(0)
    sizes = SpectralConfig(dim=32, encoder_blocks=1, decoder_blocks=1)
    return Mimi(dataclasses.replace(SMALL, frontend="spectral", seanet=None, spectral=sizes)).eval()


def test_the_spectral_pair_keeps_the_time_base():
    assert spectral().config.frame_samples == 1920
    codes = spectral().encode(sounds()[..., :30_000])
    assert codes.shape == (2, 8, 16)
    assert spectral().decode(codes).shape == (2, 1, 16 * 1920)


def test_the_spectral_pair_streams_through_the_same_interface():
    codec, wav = spectral(), sounds()[..., :30_000]
    encoder = StreamEncoder(codec, batch=2)
    codes = torch.cat([*(encoder.push(piece) for piece in wav.split(7_001, dim=-1)), encoder.finish()], dim=-1)
    assert torch.equal(codes, codec.encode(wav))
    state, sound = codec.init_decode_state(2), []
    for piece in codes.split(3, dim=-1):
        wav, state = codec.decode_step(piece, state)
        sound.append(wav)
    whole = codec.decode(codes)
    peak = float(whole.abs().max())
    apart = (torch.cat(sound, dim=-1) - whole).abs()  # its pitch is exponential, so rounding shows
    # Where a sample's pitch rounds to either side of 12 kHz / n, its highest harmonic is there or not: single samples.
    assert (apart > 1e-3 * peak).sum() <= 3
    assert apart.max() < 1e-2 * peak


def test_the_spectral_pair_has_no_layer_by_layer_tail():
    with pytest.raises(InputError, match="layer by layer"):
        spectral().encode(sounds(), tail="layers")
    with pytest.raises(InputError, match="layer by layer"):
        StreamEncoder(spectral()).finish("layers")
