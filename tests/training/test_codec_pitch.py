"""The pitch tracker finds the pitch of pulse trains, glides included, and calls noise and silence unvoiced."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from duologue.training.codec_pitch import pitch_track
from duologue.training.codec_validation import pitch_right


def _voice(hertz: np.ndarray) -> np.ndarray:
    phase = 2 * np.pi * np.cumsum(hertz) / 24_000
    return 0.1 * sum(np.cos(h * phase) / h for h in range(1, 15))


@settings(max_examples=12, deadline=None)
@given(st.floats(70, 450), st.floats(0.8, 1.25))
def test_pitch_of_a_glide(start, ratio):
    hertz = np.linspace(start, np.clip(start * ratio, 65, 550), 12_000)
    found = pitch_track(_voice(hertz))
    inside = slice(4, -4)
    assert np.abs(np.log(found[inside] / hertz[120::240][inside])).max() < 0.02


def test_noise_and_silence_have_no_pitch():
    rng = np.random.default_rng(0)
    assert (pitch_track(0.1 * rng.standard_normal(24_000)) > 0).mean() < 0.05
    assert not pitch_track(np.zeros(24_000)).any()
    assert pitch_track(np.zeros(100)).shape == (0,)


def test_an_octave_is_wrong_and_a_semitone_is_right():
    real = _voice(np.full(12_000, 150.0))
    assert pitch_right(_voice(np.full(12_000, 159.0)), real).mean() == pytest.approx(1.0)
    assert pitch_right(_voice(np.full(12_000, 300.0)), real).mean() == pytest.approx(0.0, abs=0.05)
