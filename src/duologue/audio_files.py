"""The containers: wav, flac, ogg, mp3, opus and more in, wav, flac, mp3, opus and raw samples out.

The only file that knows them. soundfile does the work; PyAV, if installed, reads what soundfile can't (m4a, webm, …).
Sizes come from what is really read, never from a header.
"""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np
import soundfile

from .audio import MAX_RATE_HZ, MIN_RATE_HZ, Audio, Samples, from_samples
from .errors import AudioError, BackendUnavailable
from .timebase import RATE_HZ

Source = str | PathLike[str] | bytes | BinaryIO
CONTAINERS: dict[str, dict[str, str]] = {
    "wav": {"format": "WAV", "subtype": "PCM_16"},
    "flac": {"format": "FLAC", "subtype": "PCM_16"},
    "mp3": {"format": "MP3", "subtype": "MPEG_LAYER_III"},
    "opus": {"format": "OGG", "subtype": "OPUS"},
    "ogg": {"format": "OGG", "subtype": "OPUS"},
    "raw": {"format": "RAW", "subtype": "PCM_16", "endian": "LITTLE"},
}
MAX_FILE_BYTES = 512 * 2**20
MAX_CHANNELS = 64
BLOCK = 1 << 16  # samples per read


def read_audio(source: Source, *, max_seconds: float = 600.0) -> Audio:
    """Read a file, its bytes or a stream as mono 24 kHz. Raises AudioError naming what is wrong."""
    name, data = _open(source)
    try:
        samples, rate_hz = _read_soundfile(data, name, max_seconds)
    except soundfile.LibsndfileError as error:
        samples, rate_hz = _read_av(data, name, max_seconds, str(error))
    if len(samples) == 0:
        raise AudioError(f"{name} holds no samples.", hint="The file is empty or cut off.", field="audio")
    return from_samples(samples, rate_hz)


def _open(source: Source) -> tuple[str, BinaryIO]:
    if isinstance(source, bytes | bytearray):
        name, data = "The audio", bytes(source)
    elif isinstance(source, str | PathLike):
        name, data = str(source), _file_bytes(Path(source))
    else:
        name, data = str(getattr(source, "name", "The audio")), source.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise AudioError(f"{name} is larger than {MAX_FILE_BYTES >> 20} MiB.", hint="Cut it up.", field="audio")
    if not data:
        raise AudioError(f"{name} is empty.", hint="It should hold sound.", field="audio")
    return name, io.BytesIO(data)


def _file_bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError as error:
        raise AudioError(f"{path} does not exist.", hint="Check the path.", field="audio") from error
    except (OSError, ValueError) as error:
        raise AudioError(f"{path} can't be read: {error}.", field="audio") from error


def _read_soundfile(data: BinaryIO, name: str, max_seconds: float) -> tuple[np.ndarray, int]:
    data.seek(0)
    with soundfile.SoundFile(data) as file:
        rate_hz, channels = file.samplerate, file.channels
        _check_header(name, rate_hz, channels)
        blocks, total = [], 0
        while len(block := file.read(BLOCK // channels + 1, dtype="float32", always_2d=True)):
            blocks.append(block.mean(axis=1, dtype=np.float32))
            total += len(block)
            _check_length(name, total / rate_hz, max_seconds)
    return (np.concatenate(blocks) if blocks else np.zeros(0, np.float32)), rate_hz


def _check_header(name: str, rate_hz: int, channels: int) -> None:
    if not MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ:
        raise AudioError(f"{name} claims a rate of {rate_hz} Hz.", hint="Its header is damaged.", field="audio")
    if not 1 <= channels <= MAX_CHANNELS:
        raise AudioError(f"{name} claims {channels} channels.", hint="Its header is damaged.", field="audio")


def _check_length(name: str, seconds: float, max_seconds: float) -> None:
    if seconds > max_seconds:
        raise AudioError(f"{name} is longer than {max_seconds:g} s.", hint="Cut it first.", field="audio")


def _read_av(data: BinaryIO, name: str, max_seconds: float, reason: str) -> tuple[np.ndarray, int]:
    try:
        import av
    except ImportError as error:
        hint = 'For m4a, webm, aac and films: pip install "duologue[av]".'
        raise AudioError(f"{name} can't be read: {reason}", hint=hint, field="audio") from error
    data.seek(0)
    try:
        with av.open(data, mode="r", metadata_errors="ignore") as container:
            blocks = list(_av_blocks(container, name, max_seconds))
    except (av.FFmpegError, ValueError, OverflowError) as error:
        hint = "Is it an audio file?"
        raise AudioError(f"{name} is not readable audio: {reason}", hint=hint, field="audio") from error
    return (np.concatenate(blocks) if blocks else np.zeros(0, np.float32)), RATE_HZ


def _av_blocks(container: Any, name: str, max_seconds: float) -> Iterator[Samples]:
    import av

    if not container.streams.audio:
        raise AudioError(f"{name} has no sound track.", hint="Give a file with sound.", field="audio")
    resampler = av.AudioResampler(format="flt", layout="mono", rate=RATE_HZ)
    total = 0
    for decoded in container.decode(container.streams.audio[0]):
        for frame in resampler.resample(decoded):
            samples = frame.to_ndarray().reshape(-1).astype(np.float32)
            total += len(samples)
            _check_length(name, total / RATE_HZ, max_seconds)
            yield samples
    for frame in resampler.resample(None):
        yield frame.to_ndarray().reshape(-1).astype(np.float32)


def container_of(target: object, container: str | None) -> str:
    """The container's name, given or by the file's ending. Raises AudioError naming the known ones."""
    name = container or Path(str(target)).suffix.lstrip(".").lower()
    if name not in CONTAINERS:
        raise AudioError(f"{name or 'no ending'!r} is not a known container.", hint=f"Use {', '.join(CONTAINERS)}.")
    return name


def write_audio(audio: Audio, target: str | PathLike[str] | BinaryIO, container: str | None = None) -> None:
    """Write all of `audio`; a file appears whole or not at all."""
    if not isinstance(target, str | PathLike):
        with AudioWriter(target, container) as writer:
            writer.write(audio.samples)
        return
    name = container_of(target, container)
    path = Path(target)
    try:
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        os.close(handle)
    except OSError as error:
        raise AudioError(f"{path} can't be written: {error.strerror}.", hint="Check the folder.") from error
    try:
        with AudioWriter(temporary, name) as writer:
            writer.write(audio.samples)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    finally:
        Path(temporary).unlink(missing_ok=True)


class AudioWriter:
    """A file that grows chunk by chunk and is playable whenever it is closed."""

    def __init__(self, target: str | PathLike[str] | BinaryIO, container: str | None = None) -> None:
        name = container_of(target, container)
        self._raw = target if name == "raw" and not isinstance(target, str | PathLike) else None
        self._file: soundfile.SoundFile | None = None
        if self._raw is not None:
            return  # a pipe can't seek, which libsndfile asks for
        try:
            path = str(target) if isinstance(target, PathLike) else target
            self._file = soundfile.SoundFile(path, "w", samplerate=RATE_HZ, channels=1, **CONTAINERS[name])
        except soundfile.LibsndfileError as error:
            raise AudioError(f"{target} can't be written: {error}", hint="Check the folder.", field="output") from error
        except (TypeError, ValueError) as error:
            hint = "The installed libsndfile is too old for it; wav always works."
            raise BackendUnavailable(f"{name} can't be written here: {error}.", hint=hint) from error

    def write(self, samples: Samples) -> None:
        """Append samples (N,); values beyond [-1, 1] are cut."""
        samples = np.clip(samples, -1.0, 1.0)
        if self._raw is not None:
            self._raw.write(to_s16le(samples))
            self._raw.flush()
        elif self._file is not None:
            self._file.write(samples)

    def close(self) -> None:
        """Finish the file, header included."""
        if self._file is not None:
            self._file.close()

    def __enter__(self) -> AudioWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def to_s16le(samples: Samples) -> bytes:
    """Samples (N,) in [-1, 1] as little-endian 16-bit integers."""
    return np.rint(np.clip(samples, -1.0, 1.0) * 32767).astype("<i2").tobytes()
