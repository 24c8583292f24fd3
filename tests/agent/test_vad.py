"""Voice activity: speech is found, noise and silence aren't, whatever pieces the sound comes in."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from duologue.agent.vad import WINDOW_SAMPLES, SileroVad, VadState
from duologue.errors import WeightsDamaged

RECORDING = Path(__file__).parents[1] / "data" / "librivox_austen.flac"


@pytest.fixture(scope="module")
def vad() -> SileroVad:
    return SileroVad()


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    samples, rate_hz = soundfile.read(RECORDING, dtype="float32", frames=24_000 * 6)
    assert rate_hz == 24_000
    return samples


def hear(vad: SileroVad, samples: np.ndarray, state: VadState | None = None) -> np.ndarray:
    return np.array(vad.step(samples.astype(np.float32), state or vad.new_state())[0])


def test_speech_is_heard_and_silence_and_noise_are_not(vad: SileroVad, speech: np.ndarray) -> None:
    noise = 0.05 * np.random.default_rng(3).standard_normal(48_000)
    tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(48_000) / 24_000)
    assert np.mean(hear(vad, speech) > 0.5) > 0.6
    assert np.mean(hear(vad, np.zeros(48_000)) > 0.5) == 0
    assert np.mean(hear(vad, noise) > 0.5) < 0.05
    assert np.mean(hear(vad, tone)[6:] > 0.5) < 0.1


def test_pieces_of_any_length_give_what_the_whole_gives(vad: SileroVad, speech: np.ndarray) -> None:
    whole = hear(vad, speech)
    assert len(whole) == len(speech) // WINDOW_SAMPLES
    cuts = np.sort(np.random.default_rng(5).integers(0, len(speech), 40))
    found, state = [], vad.new_state()
    for first, last in pairwise([0, *cuts, len(speech)]):
        probabilities, state = vad.step(speech[first:last], state)
        found += probabilities
    np.testing.assert_allclose(found, whole, atol=1e-5)


def test_a_kept_state_goes_on_twice_alike(vad: SileroVad, speech: np.ndarray) -> None:
    _, state = vad.step(speech[:50_000], vad.new_state())
    once = hear(vad, speech[50_000:], state)
    np.testing.assert_array_equal(once, hear(vad, speech[50_000:], state))


def test_the_judgement_is_that_of_the_network_on_sound_resampled_by_soxr(vad: SileroVad, speech: np.ndarray) -> None:
    """Its own packager's way to run it, on 16 kHz made by another resampler, agrees on nearly every window."""
    from faster_whisper.vad import get_vad_model

    slow = soxr.resample(speech, 24_000, 16_000)
    reference = get_vad_model()(slow[: len(slow) // 512 * 512].astype(np.float32))
    ours = hear(vad, speech)[: len(reference)]
    assert np.mean((ours > 0.5) == (reference > 0.5)) > 0.97


def test_a_file_that_is_no_network_is_named(tmp_path: Path) -> None:
    (tmp_path / "vad.onnx").write_bytes(b"no network")
    with pytest.raises(WeightsDamaged, match=r"vad\.onnx"):
        SileroVad(tmp_path / "vad.onnx")
