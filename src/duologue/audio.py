"""Sound as a value: mono float32 at 24 kHz. Changes rate, channels and level; knows no container (audio_files.py does).

Everything the house takes in as sound goes through `to_audio`, everything it gives back is an `Audio`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from os import PathLike
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from .errors import AudioError, BackendUnavailable
from .timebase import RATE_HZ, samples_to_seconds

Samples = npt.NDArray[np.float32]
SILENCE_DBFS = -60.0  # an RMS below this is no speech
SPEECH_DBFS = -22.0  # level of the voiced part that the models are used to
PEAK_LIMIT = 0.97
CLIPPED_AT = 0.999
MIN_RATE_HZ, MAX_RATE_HZ = 1_000, 768_000


@dataclass(frozen=True)
class SpokenPart:
    """One sentence of a speech: where it starts, the seed that spoke it, and how it went."""

    text: str
    seed: int
    attempts: int
    stop: str  # "end": ended by itself; "max_seconds": cut at the caller's limit; "closed": the caller stopped it
    start_seconds: float
    seconds: float


@dataclass(frozen=True)
class SpeechReport:
    """How a speech came about. Times are wall-clock seconds."""

    seed: int
    engine: str
    parts: tuple[SpokenPart, ...]
    seconds: float
    elapsed_seconds: float
    first_audio_seconds: float
    dropped_turns: int = 0  # turns that left the context to make room

    @property
    def attempts(self) -> int:
        """Attempts over all sentences; equal to the number of sentences if none was retried."""
        return sum(part.attempts for part in self.parts)

    @property
    def stop(self) -> str:
        """How the last sentence stopped."""
        return self.parts[-1].stop if self.parts else "closed"

    @property
    def real_time_factor(self) -> float:
        """Computing time per second of sound; below 1 is faster than real time."""
        return self.elapsed_seconds / self.seconds if self.seconds else float("inf")

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        derived = {"attempts": self.attempts, "stop": self.stop, "real_time_factor": round(self.real_time_factor, 4)}
        return asdict(self) | derived


@dataclass(frozen=True, eq=False)
class Audio:
    """Mono sound: samples (N,) float32 at 24 kHz, nominally in [-1, 1]. Speech carries the report of its making."""

    samples: Samples
    report: SpeechReport | None = None
    rate_hz: int = RATE_HZ

    @property
    def seconds(self) -> float:
        return samples_to_seconds(len(self.samples))

    @property
    def seed(self) -> int | None:
        """The seed that repeats this speech; None for recorded sound."""
        return self.report.seed if self.report else None

    def save(self, target: str | PathLike[str] | BinaryIO, container: str | None = None) -> None:
        """Write wav, flac, mp3, opus or raw s16le, chosen by `container` or the file's ending."""
        from .audio_files import write_audio

        write_audio(self, target, container)

    def play(self) -> None:
        """Play on the default device and wait. Raises BackendUnavailable without the `play` extra or a device."""
        device = output_device()
        try:
            device.play(self.samples, RATE_HZ, blocking=True)
        except device.PortAudioError as error:
            raise BackendUnavailable(f"The sound device failed: {error}.", hint="Save to a file instead.") from error

    def _repr_html_(self) -> str:
        """A player, in notebooks."""
        import base64
        import io

        buffer = io.BytesIO()
        self.save(buffer, "wav")
        return f'<audio controls src="data:audio/wav;base64,{base64.b64encode(buffer.getvalue()).decode()}"></audio>'


AudioLike = Audio | np.ndarray | Sequence[float] | str | PathLike[str] | bytes | BinaryIO


def to_audio(sound: AudioLike, rate_hz: int | None = None, *, max_seconds: float = 600.0) -> Audio:
    """Take in sound of any kind: Audio, samples (N,) or (N, channels) with `rate_hz`, a path, file bytes, a stream.

    Raises AudioError for what can't be read or holds no usable sound; it names the problem.
    """
    if isinstance(sound, Audio):
        return Audio(_usable(sound.samples), sound.report)
    if isinstance(sound, str | PathLike | bytes | bytearray) or hasattr(sound, "read"):
        from .audio_files import read_audio

        return read_audio(sound, max_seconds=max_seconds)  # type: ignore[arg-type]
    try:
        samples = np.asarray(sound)
    except (TypeError, ValueError, RuntimeError) as error:
        raise AudioError(f"{type(sound).__name__} can't be read as samples.", field="audio") from error
    if rate_hz is None:
        raise AudioError("Samples came without their rate.", hint="Say rate_hz=…, for example 24000.", field="rate_hz")
    return from_samples(samples, rate_hz)


def from_samples(samples: np.ndarray, rate_hz: int) -> Audio:
    """Samples (N,) or (N, channels) of any rate as Audio. 16- and 32-bit integers are scaled to [-1, 1].

    Raises AudioError for other types, more than 64 channels, odd rates, no samples, NaN or infinity.
    """
    samples = np.asarray(samples)
    if not MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ:
        raise AudioError(f"A rate of {rate_hz} Hz is not plausible.", hint="Use 8000 to 192000.", field="rate_hz")
    if samples.dtype in (np.int16, np.int32):
        samples = samples / float(-np.iinfo(samples.dtype).min)
    if samples.dtype.kind != "f":
        raise AudioError(f"Samples of type {samples.dtype} are not understood.", hint="Use float32 or int16.")
    if samples.ndim == 2 and samples.shape[1] > 64:
        shape = f"{samples.shape[0]} × {samples.shape[1]}"
        raise AudioError(f"Samples are {shape}; channels should be the second axis.", hint="Transpose them.")
    if samples.ndim not in (1, 2):
        raise AudioError(f"Samples have {samples.ndim} axes.", hint="Use (samples,) or (samples, channels).")
    mono = samples.astype(np.float32) if samples.ndim == 1 else samples.mean(axis=1, dtype=np.float32)
    return Audio(resample(_usable(mono), rate_hz, RATE_HZ))


def _usable(samples: Samples) -> Samples:
    if len(samples) == 0:
        raise AudioError("The audio is empty.", hint="It should hold at least one sample.", field="audio")
    if not np.isfinite(samples).all():
        raise AudioError("The audio holds NaN or infinite samples.", hint="It is damaged; export it again.")
    return np.ascontiguousarray(samples, np.float32)


def resample(samples: Samples, source_hz: int, target_hz: int) -> Samples:
    """Change the rate of samples (N,) with soxr's high-quality filter; N becomes round(N · target / source)."""
    if source_hz == target_hz:
        return samples
    import soxr

    return np.asarray(soxr.resample(samples, source_hz, target_hz, quality="HQ"), np.float32)


def level_dbfs(samples: Samples) -> float:
    """RMS level of the louder half of 20 ms blocks, so that pauses don't count; -inf for digital silence."""
    block = RATE_HZ // 50
    whole = samples[: len(samples) // block * block]
    blocks = whole.reshape(-1, block) if len(whole) else samples.reshape(1, -1)
    power = np.sort(np.mean(np.square(blocks, dtype=np.float64), axis=1))[len(blocks) // 2 :]
    mean = float(np.mean(power)) if len(power) else 0.0
    return 10 * float(np.log10(mean)) if mean > 0 else float("-inf")


def is_silent(samples: Samples) -> bool:
    """Whether nothing audible is in samples (N,)."""
    return len(samples) == 0 or level_dbfs(samples) < SILENCE_DBFS


def clipped_share(samples: Samples) -> float:
    """Share of samples at full scale."""
    return float(np.mean(np.abs(samples) >= CLIPPED_AT)) if len(samples) else 0.0


def normalise_level(audio: Audio, target_dbfs: float = SPEECH_DBFS) -> Audio:
    """Bring speech to the level that the models are used to; less where its peaks would clip. Silence stays."""
    level = level_dbfs(audio.samples)
    if level < SILENCE_DBFS:
        return audio
    gain = 10 ** ((target_dbfs - level) / 20)
    peak = float(np.abs(audio.samples).max())
    return replace(audio, samples=(audio.samples * min(gain, PEAK_LIMIT / peak)).astype(np.float32))


def output_device() -> Any:
    """The sounddevice module if sound can be played here. Raises BackendUnavailable if not."""
    try:
        import sounddevice
    except (ImportError, OSError) as error:  # OSError: the package is there, portaudio isn't
        hint = 'pip install "duologue[play]" and the system\'s portaudio library.'
        raise BackendUnavailable("Playing needs the sounddevice package.", hint=hint) from error
    try:
        sounddevice.query_devices(kind="output")
    except (sounddevice.PortAudioError, ValueError) as error:
        raise BackendUnavailable("No sound device was found.", hint="Save to a file instead.") from error
    return sounddevice
