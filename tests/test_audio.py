"""Sound in and out: what is read is what was meant, and what can't be is refused by name."""

from __future__ import annotations

import io
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from duologue.audio import (
    SPEECH_DBFS,
    Audio,
    clipped_share,
    from_samples,
    is_silent,
    level_dbfs,
    normalise_level,
    resample,
    to_audio,
)
from duologue.audio_files import CONTAINERS, AudioWriter, read_audio, to_s16le
from duologue.errors import AudioError

LOSSLESS = {"wav", "flac"}


def tone(seconds: float = 0.5, rate_hz: int = 24_000, hertz: float = 330.0, level: float = 0.3) -> np.ndarray:
    return (level * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate_hz)) / rate_hz)).astype(np.float32)


@pytest.mark.parametrize("container", sorted(set(CONTAINERS) - {"raw"}))
def test_every_container_that_is_written_reads_back_as_the_same_sound(container: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{container}"
    Audio(tone(1.0)).save(path)
    back = read_audio(path)
    shorter = min(len(back.samples), 24_000)
    assert abs(len(back.samples) - 24_000) <= (0 if container in LOSSLESS else 2_500)
    if container in LOSSLESS:
        assert np.abs(back.samples - tone(1.0)).max() < 1e-4
    else:
        spectrum = np.abs(np.fft.rfft(back.samples[:shorter]))
        assert abs(int(spectrum.argmax()) * 24_000 / shorter - 330) < 3


@pytest.mark.parametrize("container", sorted(set(CONTAINERS) - {"raw"}))
def test_ffmpeg_reads_every_container(container: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{container}"
    Audio(tone(1.0)).save(path)
    command = ["ffmpeg", "-v", "error", "-i", str(path), "-f", "s16le", "-ac", "1", "-ar", "24000", "-"]
    done = subprocess.run(command, capture_output=True, timeout=60)
    assert done.returncode == 0 and not done.stderr
    assert abs(len(done.stdout) // 2 - 24_000) <= (0 if container in LOSSLESS else 2_500)


def test_raw_is_little_endian_16_bit() -> None:
    buffer = io.BytesIO()
    Audio(np.array([0.0, 0.5, -1.0, 2.0], np.float32)).save(buffer, "raw")
    assert struct.unpack("<4h", buffer.getvalue()) == (0, 16384, -32767, 32767)


@given(st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=50))
def test_sixteen_bits_lose_at_most_one_step(values: list[float]) -> None:
    samples = np.array(values, np.float32)
    back = np.frombuffer(to_s16le(samples), "<i2") / 32767
    assert np.abs(back - samples).max() <= 0.5 / 32767 + 1e-7


def test_stereo_of_another_rate_becomes_mono_at_24_khz(tmp_path: Path) -> None:
    left, right = tone(0.5, 44_100, 440), tone(0.5, 44_100, 880)
    soundfile.write(tmp_path / "s.wav", np.stack([left, right], axis=1), 44_100)
    audio = read_audio(tmp_path / "s.wav")
    assert len(audio.samples) == 12_000
    spectrum = np.abs(np.fft.rfft(audio.samples))
    assert {round(int(i) * 2) for i in spectrum.argsort()[-2:]} == {440, 880}


@settings(max_examples=30)
@given(st.sampled_from([8_000, 16_000, 22_050, 44_100, 48_000]), st.integers(400, 30_000))
def test_resampling_keeps_the_duration(rate_hz: int, samples: int) -> None:
    out = resample(np.zeros(samples, np.float32), rate_hz, 24_000)
    assert abs(len(out) - samples * 24_000 / rate_hz) <= 1


def test_integers_are_scaled_and_other_types_refused() -> None:
    assert from_samples(np.array([-32768, 16384], np.int16), 24_000).samples.tolist() == [-1.0, 0.5]
    with pytest.raises(AudioError, match="uint8"):
        from_samples(np.zeros(10, np.uint8), 24_000)
    with pytest.raises(AudioError, match="complex"):
        from_samples(np.zeros(10, np.complex64), 24_000)


@pytest.mark.parametrize(
    ("samples", "rate_hz", "named"),
    [
        (np.zeros(0, np.float32), 24_000, "empty"),
        (np.array([0.0, np.nan], np.float32), 24_000, "NaN"),
        (np.array([0.0, np.inf], np.float32), 24_000, "infinite"),
        (np.zeros(10, np.float32), 3, "rate"),
        (np.zeros((2, 2, 2), np.float32), 24_000, "axes"),
        (np.zeros((2, 24_000), np.float32), 24_000, "channels"),
        (np.zeros(10, np.float32), None, "rate"),
        ([[1.0], [1.0, 2.0]], 24_000, "list"),
    ],
)
def test_unusable_samples_are_refused_by_name(samples: np.ndarray, rate_hz: int | None, named: str) -> None:
    with pytest.raises(AudioError, match=named):
        to_audio(samples, rate_hz)


def test_unreadable_files_are_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "empty.wav").touch()
    (tmp_path / "text.wav").write_text("this is no sound at all, but a line of text")
    for source, named in [
        (tmp_path / "absent.wav", "does not exist"),
        (tmp_path, "can't be read"),
        (tmp_path / "empty.wav", "is empty"),
        (tmp_path / "text.wav", "text.wav"),
        (b"RIFF", "The audio"),
    ]:
        with pytest.raises(AudioError, match=named):
            to_audio(source)


def test_a_header_that_promises_more_than_the_file_holds_yields_what_is_there() -> None:
    buffer = io.BytesIO()
    Audio(tone(0.25)).save(buffer, "wav")
    data = bytearray(buffer.getvalue())
    data[4:8] = data[40:44] = struct.pack("<I", 0xFFFFFFF0)
    assert len(read_audio(bytes(data)).samples) == 6_000


def test_a_header_without_samples_is_refused() -> None:
    buffer = io.BytesIO()
    Audio(tone(0.25)).save(buffer, "wav")
    with pytest.raises(AudioError, match="no samples"):
        read_audio(buffer.getvalue()[:44])


def test_length_is_capped_by_what_is_decoded_not_by_the_header(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "long.flac", np.zeros(24_000 * 60, np.float32), 24_000)
    assert (tmp_path / "long.flac").stat().st_size < 50_000
    with pytest.raises(AudioError, match="longer than 10 s"):
        read_audio(tmp_path / "long.flac", max_seconds=10)


def test_m4a_is_read_through_pyav(tmp_path: Path) -> None:
    Audio(tone(1.0)).save(tmp_path / "a.wav")
    command = ["ffmpeg", "-v", "error", "-i", tmp_path / "a.wav", "-c:a", "aac", tmp_path / "a.m4a"]
    subprocess.run([str(part) for part in command], check=True, timeout=60)
    assert abs(read_audio(tmp_path / "a.m4a").seconds - 1.0) < 0.1


def test_a_growing_file_is_playable_when_it_is_closed_early(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), AudioWriter(tmp_path / "a.wav") as writer:
        writer.write(tone(0.1))
        raise KeyboardInterrupt
    assert len(read_audio(tmp_path / "a.wav").samples) == 2_400


def test_a_failed_save_leaves_the_old_file_alone(tmp_path: Path) -> None:
    Audio(tone(0.1)).save(tmp_path / "a.wav")
    with pytest.raises(AudioError, match="container"):
        Audio(tone(0.2)).save(tmp_path / "a.wav", "tape")
    assert len(read_audio(tmp_path / "a.wav").samples) == 2_400
    assert [path.name for path in tmp_path.iterdir()] == ["a.wav"]


@given(st.floats(0.003, 0.9))
def test_levels_are_brought_to_speech_level_without_clipping(level: float) -> None:
    audio = normalise_level(Audio(tone(0.2, level=level)))
    assert abs(level_dbfs(audio.samples) - SPEECH_DBFS) < 0.1
    assert np.abs(audio.samples).max() <= 0.98


def test_a_click_in_quiet_speech_limits_the_gain() -> None:
    samples = tone(0.5, level=0.01)
    samples[100] = 0.9
    assert np.abs(normalise_level(Audio(samples)).samples).max() <= 0.98


def test_silence_and_clipping_are_seen() -> None:
    assert is_silent(np.zeros(100, np.float32)) and is_silent(np.zeros(0, np.float32))
    assert not is_silent(tone(0.1))
    assert clipped_share(np.array([1.0, -1.0, 0.5, 0.0], np.float32)) == 0.5
