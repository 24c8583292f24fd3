"""Judges of sound, on recorded human speech: they tell the same voice from another, and good sound from bad."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from duologue.errors import InputError
from duologue.evaluation import codec_metrics, naturalness, speaker

SPEECH, _ = soundfile.read(Path(__file__).parent.parent / "data" / "librivox_austen.flac", dtype="float32")
FIRST, SECOND = SPEECH[: 5 * 24_000], SPEECH[10 * 24_000 : 15 * 24_000]
HIGHER = soxr.resample(SECOND, 24_000, 18_000)  # the same words by a smaller head
NOISY = FIRST + 0.05 * np.random.default_rng(0).standard_normal(len(FIRST)).astype(np.float32)
SILENCE = np.zeros(24_000, np.float32)


def test_a_voice_is_known_again():
    voices = {"reader": speaker.embed(FIRST), "smaller": speaker.embed(HIGHER)}
    same = speaker.similarity(voices["reader"], speaker.embed(SECOND))
    assert same > 0.8 > speaker.similarity(voices["reader"], voices["smaller"])
    name, lead = speaker.nearest(speaker.embed(SECOND), voices)
    assert name == "reader" and lead > 0.1
    assert speaker.similarity(voices["reader"], speaker.embed(SILENCE)) == 0


def test_clean_speech_is_rated_above_noisy_speech():
    clean, noisy = naturalness.dnsmos(FIRST), naturalness.dnsmos(NOISY)
    assert clean.overall > 2.8 and clean.overall > noisy.overall + 0.5 and clean.background > noisy.background
    assert naturalness.distillmos_score(FIRST[:48_000]) > naturalness.distillmos_score(NOISY[:48_000]) + 0.5
    assert naturalness.dnsmos(SILENCE) is naturalness.distillmos_score(SILENCE) is None


def test_pitch_is_measured_rightly():
    harmonics = sum(np.sin(2 * np.pi * 150 * k * np.arange(24_000) / 24_000) / k for k in range(1, 6))
    track = codec_metrics.pitch((0.2 * harmonics).astype(np.float32))
    assert track.voiced.all() and np.allclose(track.f0_hz, 150, rtol=0.01)
    assert not codec_metrics.pitch(SILENCE).voiced.any()
    with pytest.raises(InputError, match="too few"):
        codec_metrics.pitch(SILENCE[:100])


def test_kept_and_lost_pitch():
    share, frames = codec_metrics.pitch_kept(FIRST, FIRST)
    assert share == 1 and frames > 100
    assert codec_metrics.pitch_kept(SECOND, HIGHER)[0] < 0.5


def test_distances_grow_with_damage():
    assert codec_metrics.mel_distance(FIRST, FIRST) == 0
    assert codec_metrics.mel_distance(FIRST, NOISY) > codec_metrics.mel_distance(FIRST, FIRST * 0.98)
    short, damaged = FIRST[:48_000], NOISY[:48_000]
    same, worse = codec_metrics.intelligibility(short, short), codec_metrics.intelligibility(short, damaged)
    assert same["pesq_wb"] > 4.5 and same["stoi"] > 0.99
    assert all(worse[name] < same[name] for name in same)


def test_codebook_use():
    codes = np.array([[0, 1, 2, 3] * 5, [7] * 20])
    even, stuck = codec_metrics.codebook_use(codes, 8)
    assert even.used == 4 and even.perplexity == pytest.approx(4)
    assert stuck.used == 1 and stuck.perplexity == pytest.approx(1)
