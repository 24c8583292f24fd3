"""Float samples in, bytes of one audio format out, chunk by chunk. Knows PyAV, and nothing of requests or voices.

Every encoder puts out what it can after each 80 ms chunk, so that a player starts before speech has ended.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Protocol

import av
import numpy as np

from ..audio_files import to_s16le
from ..errors import InputError
from ..timebase import RATE_HZ
from .notice import NOTICE

UNKNOWN_SIZE = 0xFFFF_FFFF  # readers take it as "until the end"; 0 would mean "empty"


@dataclass(frozen=True)
class AudioFormat:
    """One response_format: its content type and how FFmpeg makes it (no codec: plain samples)."""

    content_type: str
    suffix: str
    container: str = ""
    codec: str = ""
    sample_format: str = ""
    bit_rate: int = 0
    options: dict[str, str] = field(default_factory=dict)


_OPUS_PAGES = {"page_duration": "20000"}  # microseconds; the muxer's own default is a page per second
FORMATS = {
    "mp3": AudioFormat(
        "audio/mpeg", "mp3", "mp3", "libmp3lame", bit_rate=64_000, options={"write_xing": "0", "id3v2_version": "3"}
    ),
    "opus": AudioFormat("audio/ogg", "ogg", "ogg", "libopus", bit_rate=32_000, options=_OPUS_PAGES),
    "aac": AudioFormat("audio/aac", "aac", "adts", "aac", bit_rate=64_000),
    "flac": AudioFormat("audio/flac", "flac", "flac", "flac", sample_format="s16"),
    "wav": AudioFormat("audio/wav", "wav"),
    "pcm": AudioFormat("audio/pcm", "pcm"),
    "webm": AudioFormat(
        "audio/webm", "webm", "webm", "libopus", bit_rate=32_000, options={"live": "1", "cluster_time_limit": "160"}
    ),
}
FORMATS["ogg"] = FORMATS["opus"]


class Encoder(Protocol):
    """A stream of one format."""

    def push(self, wav: np.ndarray) -> bytes:
        """Take samples (N,) float32; return the bytes that are ready, perhaps none."""
        ...

    def finish(self) -> bytes:
        """Return the last bytes. Nothing may be pushed afterwards."""
        ...


def new_encoder(name: str) -> Encoder:
    """Start a stream of format `name`. Raises InputError for a name that isn't in FORMATS."""
    if name not in FORMATS:
        raise InputError(
            f"There is no format {name!r}.", hint=f"Formats: {', '.join(FORMATS)}.", field="response_format"
        )
    chosen = FORMATS[name]
    if chosen.codec:
        return FfmpegEncoder(chosen)
    return PcmEncoder(wav_header() if name == "wav" else b"")


def wav_header(samples: int | None = None) -> bytes:
    """The 44 bytes before 16-bit mono samples; without a count the sizes read "until the end"."""
    data = UNKNOWN_SIZE if samples is None else 2 * samples
    riff = UNKNOWN_SIZE if samples is None else data + 36
    shape = struct.pack("<IHHIIHH", 16, 1, 1, RATE_HZ, 2 * RATE_HZ, 2, 16)
    return b"RIFF" + struct.pack("<I", riff) + b"WAVEfmt " + shape + b"data" + struct.pack("<I", data)


class PcmEncoder:
    """Plain 16-bit samples after an optional header."""

    def __init__(self, header: bytes = b"") -> None:
        self._header = header

    def push(self, wav: np.ndarray) -> bytes:
        header, self._header = self._header, b""
        return header + to_s16le(wav)

    def finish(self) -> bytes:
        header, self._header = self._header, b""
        return header


class _Sink:
    """What FFmpeg writes, until it is taken. It can't seek, so no muxer goes back to patch its header."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def write(self, data: bytes) -> int:
        self._bytes += data
        return len(data)

    def take(self) -> bytes:
        taken = bytes(self._bytes)
        self._bytes.clear()
        return taken


class FfmpegEncoder:
    """One of FFmpeg's encoders and muxers, flushed after every packet."""

    def __init__(self, chosen: AudioFormat) -> None:
        self._sink = _Sink()
        options = {"flush_packets": "1", **chosen.options}
        self._container = av.open(self._sink, "w", format=chosen.container, options=options)
        self._container.metadata["comment"] = NOTICE
        stream = self._container.add_stream(chosen.codec, rate=RATE_HZ)
        assert isinstance(stream, av.AudioStream)
        self._stream = stream
        context = self._stream.codec_context
        context.layout = "mono"
        if chosen.sample_format:
            context.format = chosen.sample_format
        if chosen.bit_rate:
            self._stream.bit_rate = chosen.bit_rate
        self._resampler = av.AudioResampler(format=context.format, layout="mono", rate=RATE_HZ)
        self._pushed = 0

    def push(self, wav: np.ndarray) -> bytes:
        if len(wav):
            clipped = np.clip(wav, -1.0, 1.0).astype(np.float32)
            frame = av.AudioFrame.from_ndarray(clipped[None], format="flt", layout="mono")
            frame.sample_rate, frame.pts = RATE_HZ, self._pushed
            self._pushed += len(wav)
            self._encode(frame)
        return self._sink.take()

    def finish(self) -> bytes:
        if self._pushed:
            self._encode(None)
            self._container.mux(self._stream.encode(None))
        self._container.close()
        return self._sink.take()

    def _encode(self, frame: av.AudioFrame | None) -> None:
        for ready in self._resampler.resample(frame):
            self._container.mux(self._stream.encode(ready))
