"""The spectral pair streams exactly, never looks ahead, repeats itself, and sings at the pitch it is told."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from duologue.errors import InputError
from duologue.mimi.pulses import HISS_HOPS, hiss, pulses
from duologue.mimi.spectral import SpectralDecoder, SpectralEncoder
from duologue.mimi.spectral_config import SpectralConfig
from duologue.training.codec_pitch import pitch_track

CONFIG = SpectralConfig(dim=16, encoder_blocks=2, decoder_blocks=2)
STEPS = 12  # latent steps of 40 ms
CUTS = st.lists(st.integers(1, STEPS - 1), max_size=5, unique=True).map(sorted)


def _encoder() -> SpectralEncoder:
    torch.manual_seed(1)
    return SpectralEncoder(CONFIG, 8).eval().requires_grad_(False)


def _decoder() -> SpectralDecoder:
    torch.manual_seed(2)
    return SpectralDecoder(CONFIG, 8).eval().requires_grad_(False)


def _pieces(cuts: list[int]) -> list[tuple[int, int]]:
    return list(itertools.pairwise([0, *cuts, STEPS]))


@settings(max_examples=8, deadline=None)
@given(CUTS)
def test_encoder_in_pieces_equals_whole(cuts):
    encoder, wav = _encoder(), 0.1 * torch.randn(2, 1, 960 * STEPS)
    state, parts = encoder.init_state(2), []
    for start, stop in _pieces(cuts):
        latents, state = encoder.step(wav[..., 960 * start : 960 * stop], state)
        parts.append(latents)
    torch.testing.assert_close(torch.cat(parts, -1), encoder(wav), atol=1e-5, rtol=1e-5)


@settings(max_examples=8, deadline=None)
@given(CUTS)
def test_decoder_in_pieces_equals_whole(cuts):
    decoder, latents = _decoder(), torch.randn(2, 8, STEPS)
    state, parts = decoder.init_state(2), []
    for start, stop in _pieces(cuts):
        wav, state = decoder.step(latents[..., start:stop], state)
        parts.append(wav)
    whole = decoder(latents)
    assert whole.shape == (2, 1, 960 * STEPS)
    # A product's last bits depend on its length on some CPUs, and the phase sums up the pitch's: 8e-5 was seen.
    torch.testing.assert_close(torch.cat(parts, -1), whole, atol=3e-4, rtol=1e-4)


@pytest.mark.parametrize("changed", [1, 5, STEPS - 1])
def test_future_never_changes_the_past(changed):
    encoder, decoder = _encoder(), _decoder()
    wav, latents = 0.1 * torch.randn(1, 1, 960 * STEPS), torch.randn(1, 8, STEPS)
    other_wav, other_latents = wav.clone(), latents.clone()
    other_wav[..., 960 * changed :] = 0.3
    other_latents[..., changed:] += 1
    torch.testing.assert_close(encoder(wav)[..., :changed], encoder(other_wav)[..., :changed])
    before, after = decoder(latents), decoder(other_latents)
    torch.testing.assert_close(before[..., : 960 * changed], after[..., : 960 * changed])
    assert (before[..., 960 * changed :] - after[..., 960 * changed :]).abs().max() > 1e-4


def test_same_latents_give_the_same_samples():
    latents = torch.randn(1, 8, STEPS)
    assert torch.equal(_decoder()(latents), _decoder()(latents))


def test_a_kept_state_can_be_continued_twice():
    decoder, latents = _decoder(), torch.randn(1, 8, STEPS)
    _, state = decoder.step(latents[..., :5], decoder.init_state(1))
    first, _ = decoder.step(latents[..., 5:], state)
    second, _ = decoder.step(latents[..., 5:], state)
    assert torch.equal(first, second)


@pytest.mark.parametrize("hertz", [70.0, 130.0, 220.0, 410.0])
def test_pulses_have_their_pitch_and_unit_power(hertz):
    turns = torch.arange(24_000, dtype=torch.float64) * hertz / 24_000
    train = pulses(turns, torch.full((24_000,), hertz))
    assert float(train.square().mean()) == pytest.approx(1.0, rel=0.03)
    power = torch.fft.rfft(train).abs().square()  # bins of 1 Hz
    harmonics = torch.arange(1, int(12_000 / hertz) + 1) * int(hertz)
    assert float(power[harmonics].sum() / power.sum()) > 0.97


def test_decoder_sings_at_the_pitch_it_is_told():
    decoder = _decoder()
    state = decoder.init_state(1)
    bins = CONFIG.window // 2 + 1
    falling = -0.02 * torch.arange(bins)  # 0.7 dB less each 100 Hz, as in a voice
    filters = torch.cat([falling, torch.zeros(bins), torch.full((bins,), -3.0)]).expand(1, 100, -1)
    wav, _ = decoder.sound(torch.full((1, 100), 180.0), torch.full((1, 100), 8.0), filters, state)
    found = pitch_track(wav[0, 0].numpy())
    assert np.abs(np.log(found[10:-5] / 180.0)).max() < math.log(1.02)


def test_hiss_is_white_and_always_the_same():
    noise = hiss(240)
    assert noise.shape == (HISS_HOPS, 240)
    assert torch.equal(noise, hiss(240))
    flat = noise.flatten()
    assert abs(float(flat.mean())) < 0.02
    assert float(flat.var()) == pytest.approx(1.0, abs=0.02)
    assert abs(float((flat[1:] * flat[:-1]).mean())) < 0.02


@pytest.mark.parametrize(
    ("change", "field"),
    [({"hop": 320}, "hop"), ({"window": 1000}, "window"), ({"max_lag": 4000}, "max_lag"), ({"dim": 0}, "dim")],
)
def test_impossible_sizes_are_refused(change, field):
    with pytest.raises(InputError) as refusal:
        SpectralConfig(**change)
    assert refusal.value.field == field
