"""A voice is refused or corrected with a clear message, and a file gives back what was saved."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from duologue.audio import SPEECH_DBFS, Audio, level_dbfs
from duologue.errors import AudioError, VoiceError
from duologue.voice import Voice

from .tiny import speech_like

WORDS = "These are the exact words of the recording."


def test_a_good_recording_becomes_a_voice_at_speech_level() -> None:
    voice = Voice.from_audio(Audio(speech_like(3.0)), WORDS, name="ann", speaker=2)
    assert abs(level_dbfs(voice.audio.samples) - SPEECH_DBFS) < 0.2
    assert voice.transcript == WORDS and voice.speaker == 2 and voice.warnings == ()


def test_another_rate_is_resampled(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.repeat(speech_like(2.0), 2), 48_000)
    assert abs(Voice.from_audio(tmp_path / "a.wav", WORDS).seconds - 2.0) < 0.2


@pytest.mark.parametrize(
    ("samples", "words", "named"),
    [
        (np.zeros(48_000, np.float32), WORDS, "silent"),
        (speech_like(0.4), "Hi.", "only"),
        (speech_like(40.0), WORDS * 10, "limit"),
        (np.sign(speech_like(3.0)), WORDS, "clipped"),
        (speech_like(3.0), "", "transcript is empty"),
        (speech_like(3.0), "?!", "transcript is empty"),
        (speech_like(20.0), "Hello.", "too few"),
        (speech_like(1.5), WORDS * 4, "too many"),
    ],
)
def test_what_would_make_a_bad_voice_is_refused(samples: np.ndarray, words: str, named: str) -> None:
    with pytest.raises(VoiceError, match=named) as caught:
        Voice.from_audio(Audio(samples.astype(np.float32)), words)
    assert caught.value.hint


def test_what_can_be_mended_is_mended_and_told() -> None:
    samples = np.concatenate([np.zeros(48_000, np.float32), 0.05 * speech_like(18.0), np.zeros(24_000, np.float32)])
    voice = Voice.from_audio(Audio(samples), "word " * 50)
    told = " ".join(voice.warnings)
    assert "silence at the edges" in told and "level was changed" in told and "long for a prompt" in told
    assert voice.seconds < 19


@pytest.mark.parametrize("name", ["", "a/b", "x" * 65, "a\nb"])
def test_odd_names_are_refused(name: str) -> None:
    with pytest.raises(VoiceError, match="name"):
        Voice.from_audio(Audio(speech_like(3.0)), WORDS, name=name)


@settings(max_examples=15)
@given(st.integers(1, 32), st.integers(1, 20), st.booleans(), st.sampled_from(["", "ünï – “codé”", "a" * 900]))
def test_a_file_gives_back_the_voice(
    tmp_path_factory: pytest.TempPathFactory, books: int, frames: int, pointed: bool, source: str
) -> None:
    path = tmp_path_factory.mktemp("voice") / "v.safetensors"
    voice = Voice.from_audio(Audio(speech_like(3.0)), WORDS, name="ann", accent="british", source=source, licence="MIT")
    voice = voice.with_codes(np.arange(books * frames).reshape(books, frames), "abc")
    if pointed:
        object.__setattr__(voice, "pointers", np.arange(frames + 1))
    voice.save(path)
    back = Voice.load(path)
    for key in ("name", "transcript", "speaker", "accent", "codec", "source", "licence"):
        assert getattr(back, key) == getattr(voice, key)
    assert back.codes is not None and voice.codes is not None and np.array_equal(back.codes, voice.codes)
    assert (back.pointers is not None) == pointed
    assert np.abs(back.audio.samples - voice.audio.samples).max() < 1e-4


def test_other_files_are_no_voices(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    save_file({"audio": np.zeros(100, np.int16)}, tmp_path / "plain.safetensors")
    (tmp_path / "text.safetensors").write_text("not one")
    for name in ("plain", "text", "absent"):
        with pytest.raises(VoiceError):
            Voice.load(tmp_path / f"{name}.safetensors")
    with pytest.raises(AudioError):
        Voice.from_audio(tmp_path / "text.safetensors", WORDS)
