"""Formats: every chunk leaves early, and real readers get all of the sound back."""

import io

import av
import numpy as np
import pytest
import soundfile

from duologue.errors import InputError
from duologue.server.audio_formats import FORMATS, UNKNOWN_SIZE, new_encoder, wav_header
from duologue.server.tempo import Tempo
from duologue.timebase import FRAME_SAMPLES, RATE_HZ

SECONDS = 2
TONE = (0.3 * np.sin(np.arange(SECONDS * RATE_HZ) * 2 * np.pi * 440 / RATE_HZ)).astype(np.float32)
FRAMES = np.split(TONE, len(TONE) // FRAME_SAMPLES)


def encode(name: str) -> list[bytes]:
    encoder = new_encoder(name)
    return [*(encoder.push(frame) for frame in FRAMES), encoder.finish()]


def pitch_hz(samples: np.ndarray, rate_hz: int) -> float:
    return float(np.argmax(np.abs(np.fft.rfft(samples))) * rate_hz / len(samples))


@pytest.mark.parametrize("name", sorted(set(FORMATS) - {"pcm"}))
def test_ffmpeg_reads_every_format_whole(name: str) -> None:
    data = b"".join(encode(name))
    with av.open(io.BytesIO(data)) as container:
        rate_hz = container.streams.audio[0].rate
        sound = np.concatenate([frame.to_ndarray().reshape(-1) for frame in container.decode(audio=0)])
    if sound.dtype == np.int16:
        sound = sound / 32768
    assert SECONDS <= len(sound) / rate_hz < SECONDS + 0.12
    assert pitch_hz(sound, rate_hz) == pytest.approx(440, abs=1)
    assert 0.15 < np.sqrt(np.mean(sound**2)) < 0.25


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_sound_leaves_while_speech_goes_on(name: str) -> None:
    pieces = encode(name)
    assert len(b"".join(pieces[:3])) > 0
    assert max(index for index, piece in enumerate(pieces[:-1]) if piece) >= len(FRAMES) - 3
    after_the_start = [len(piece) for piece in pieces[3:-1]]
    assert all(sum(after_the_start[i : i + 3]) > 0 for i in range(len(after_the_start) - 3))


def test_pcm_is_plain_little_endian_samples() -> None:
    samples = np.frombuffer(b"".join(encode("pcm")), "<i2") / 32767
    assert np.abs(samples - TONE).max() < 1e-4


def test_a_wav_stream_says_until_the_end_and_soundfile_reads_it() -> None:
    data = b"".join(encode("wav"))
    assert data[4:8] == data[40:44] == UNKNOWN_SIZE.to_bytes(4, "little")
    samples, rate_hz = soundfile.read(io.BytesIO(data), dtype="float32")
    assert rate_hz == RATE_HZ
    assert np.abs(samples - TONE).max() < 1e-4
    assert wav_header(10)[40:44] == (20).to_bytes(4, "little")


def test_ogg_pages_are_at_most_100_ms_apart() -> None:
    data = b"".join(encode("opus"))
    granules = [
        int.from_bytes(data[at + 6 : at + 14], "little")
        for at in range(len(data) - 14)
        if data[at : at + 4] == b"OggS" and data[at + 4] == 0
    ]
    assert len(granules) > 20
    assert max(np.diff(granules)) <= 4_800  # of 48 kHz


def test_mp3_has_no_xing_frame() -> None:
    data = b"".join(encode("mp3"))
    assert b"Xing" not in data
    assert b"Info" not in data


def test_too_loud_samples_are_clipped_not_wrapped() -> None:
    encoder = new_encoder("pcm")
    assert np.frombuffer(encoder.push(np.array([2.0, -2.0], np.float32)), "<i2").tolist() == [32767, -32767]


def test_an_unknown_format_is_named() -> None:
    with pytest.raises(InputError, match="midi"):
        new_encoder("midi")


def test_silence_from_the_start_makes_a_valid_end() -> None:
    for name in FORMATS:
        assert isinstance(new_encoder(name).finish(), bytes)


@pytest.mark.parametrize("speed", [0.25, 0.5, 0.8, 1.5, 2.0, 3.0, 4.0])
def test_tempo_changes_duration_and_not_pitch(speed: float) -> None:
    tempo = Tempo(speed)
    pieces = [*(tempo.push(frame) for frame in FRAMES), tempo.finish()]
    sound = np.concatenate(pieces)
    assert len(sound) / RATE_HZ == pytest.approx(SECONDS / speed, rel=0.03)
    assert pitch_hz(sound, RATE_HZ) == pytest.approx(440, abs=2)
    assert any(len(piece) for piece in pieces[:6]), "it streams"


def test_tempo_one_changes_nothing() -> None:
    tempo = Tempo(1.0)
    assert np.array_equal(np.concatenate([tempo.push(TONE), tempo.finish()]), TONE)
