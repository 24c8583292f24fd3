"""The judge: windows hold every clip once and fit Whisper's 30 s; recorded speech is read almost without error."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from duologue.evaluation.asr import ASR_RATE_HZ, Judge, trim, windows
from duologue.evaluation.wer import word_errors

RECORDING = Path(__file__).parent.parent / "data" / "librivox_austen.flac"
SAID = (
    "and mister john dashwood had then leisure to consider how much there might be prudently in his power to do for "
    "them he was not an ill disposed young man unless to be rather cold hearted and rather selfish is to be ill "
    "disposed had he married a more amiable woman he might have been made still more respectable than he was he might "
    "even have been made amiable himself"
)


def tone(seconds):
    return np.sin(np.arange(int(seconds * 24_000)) * 0.05).astype(np.float32) * 0.3


@given(st.lists(st.floats(0.0, 12.0), max_size=12))
@settings(max_examples=15, deadline=None)
def test_windows_hold_every_clip_once_in_order(lengths):
    clips = [tone(seconds) for seconds in lengths]
    made = list(windows(clips))
    members = [number for window in made for number in window.clips]
    assert members == [number for number, clip in enumerate(clips) if np.abs(clip).max(initial=0) > 1e-4]
    assert all(len(window.samples) <= 30 * ASR_RATE_HZ for window in made)


def test_trimming_keeps_the_sound_and_50_ms_around_it():
    silence = np.zeros(24_000, np.float32)
    assert len(trim(np.concatenate([silence, tone(1.0), silence]))) == pytest.approx(1.1 * ASR_RATE_HZ, abs=20)
    assert not len(trim(silence)) and not len(trim(np.zeros(0, np.float32)))


def test_whisper_reads_a_human_recording():
    samples, _ = soundfile.read(RECORDING, dtype="float32")
    (window,) = windows([samples])
    assert word_errors(SAID, Judge("base").transcribe(window.samples)).rate <= 0.06
