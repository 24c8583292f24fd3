"""A voice: prompt audio, its exact words, and, once a model has heard it, its codes. Knows no network.

Speaker numbers alone mean little to a CSM; a voice is what it hears first. A file is one safetensors file: `audio`
(N,) int16 at 24 kHz, perhaps `codes` (K,T) int32 and `pointers` (T+1,) int32, and a JSON card in the metadata.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .audio import (
    SPEECH_DBFS,
    Audio,
    AudioLike,
    Samples,
    clipped_share,
    is_silent,
    level_dbfs,
    normalise_level,
    to_audio,
)
from .errors import VoiceError
from .timebase import RATE_HZ

FORMAT = "duologue-voice-1"
MAX_FILE_BYTES = 32 * 2**20
MIN_SECONDS, GOOD_SECONDS, MAX_SECONDS = 1.0, 15.0, 30.0
MIN_LETTERS_PER_SECOND, MAX_LETTERS_PER_SECOND = 3.0, 30.0
MAX_CLIPPED, NOTED_CLIPPED = 0.02, 0.001
KEPT_EDGE_SECONDS = 0.15
NOTED_GAIN_DB = 12.0
MAX_CODES = 64
CARD_KEYS = ("name", "transcript", "speaker", "accent", "codec", "source", "licence")


@dataclass(frozen=True, eq=False)
class Voice:
    """Prompt audio with its exact transcript; `speaker` is the number under which the model hears it.

    `codes` (K,T) belong to the codec whose fingerprint `codec` is; another codec encodes the audio anew.
    `warnings` tell what was corrected when the voice was made.
    """

    name: str
    transcript: str
    audio: Audio
    speaker: int = 0
    accent: str = "american"
    codes: npt.NDArray[np.int64] | None = None
    pointers: npt.NDArray[np.int64] | None = None
    codec: str = ""
    source: str = ""
    licence: str = ""
    warnings: tuple[str, ...] = field(default=(), compare=False)

    @classmethod
    def from_audio(
        cls,
        sound: AudioLike,
        transcript: str,
        *,
        name: str = "voice",
        rate_hz: int | None = None,
        speaker: int = 0,
        accent: str = "american",
        source: str = "",
        licence: str = "",
    ) -> Voice:
        """Make a voice of a recording and its exact words. Level and edges are corrected, with a warning.

        Raises AudioError or VoiceError for recordings that would make a bad voice: silent, clipped, too short or
        long, or with a transcript that can't have been spoken in that time.
        """
        audio, warnings = _prepared(to_audio(sound, rate_hz, max_seconds=120.0))
        words = " ".join(transcript.split())
        _check_pace(words, audio.seconds)
        return cls(
            _checked_name(name),
            words,
            audio,
            _checked_speaker(speaker),
            accent,
            source=source,
            licence=licence,
            warnings=warnings,
        )

    @property
    def seconds(self) -> float:
        return self.audio.seconds

    def with_codes(self, codes: npt.NDArray[np.int64], codec: str) -> Voice:
        """The same voice, encoded by the codec of that fingerprint."""
        return replace(self, codes=np.asarray(codes, np.int64), codec=codec, pointers=None)

    def save(self, path: str | PathLike[str]) -> None:
        """Write one safetensors file."""
        from safetensors.numpy import save_file

        tensors: dict[str, np.ndarray] = {"audio": np.rint(self.audio.samples * 32767).astype(np.int16)}
        if self.codes is not None:
            tensors["codes"] = np.ascontiguousarray(self.codes, np.int32)
        if self.pointers is not None:
            tensors["pointers"] = np.ascontiguousarray(self.pointers, np.int32)
        card = {key: getattr(self, key) for key in CARD_KEYS}
        try:
            save_file(tensors, str(path), {"format": FORMAT, "voice": json.dumps(card, ensure_ascii=False)})
        except OSError as error:
            raise VoiceError(f"{path} can't be written: {error}.", hint="Check the folder.", field="output") from error

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Voice:
        """Read a voice file, strictly. Raises VoiceError for anything else."""
        return cls.from_parts(*_read(Path(path)), str(path))

    @classmethod
    def from_parts(cls, card: Mapping[str, Any], arrays: Mapping[str, np.ndarray], where: str) -> Voice:
        """A voice from its card and arrays as a file holds them, checked strictly. Raises VoiceError."""
        values = _checked_card(dict(card), where)
        audio, codes, pointers = _checked_tensors(arrays, where)
        return cls(audio=audio, codes=codes, pointers=pointers, **values)


def voice_folder() -> Path:
    """Where voices added on this machine are kept: $DUOLOGUE_HOME/voices, by default ~/.cache/duologue/voices."""
    home = os.environ.get("DUOLOGUE_HOME")
    return (Path(home) if home else Path.home() / ".cache" / "duologue") / "voices"


def _prepared(audio: Audio) -> tuple[Audio, tuple[str, ...]]:
    """Trim silent edges and set the level; returns what was changed as sentences."""
    if is_silent(audio.samples):
        raise VoiceError("The recording is silent.", hint="Check the microphone or the file.", field="audio")
    clipped = clipped_share(audio.samples)
    if clipped > MAX_CLIPPED:
        hint = "Record again with less gain; a distorted voice is what the model would imitate."
        raise VoiceError(f"{clipped:.0%} of the recording is clipped.", hint=hint, field="audio")
    warnings = [f"{clipped:.1%} of the samples are clipped."] if clipped > NOTED_CLIPPED else []
    trimmed = _without_silent_edges(audio.samples)
    if len(audio.samples) - len(trimmed) > RATE_HZ // 2:
        warnings.append(f"{(len(audio.samples) - len(trimmed)) / RATE_HZ:.1f} s of silence at the edges were cut.")
    _check_seconds(len(trimmed) / RATE_HZ, warnings)
    gain_db = SPEECH_DBFS - level_dbfs(trimmed)
    if abs(gain_db) > NOTED_GAIN_DB:
        warnings.append(f"The level was changed by {gain_db:+.0f} dB.")
    return normalise_level(Audio(trimmed)), tuple(warnings)


def _check_seconds(seconds: float, warnings: list[str]) -> None:
    if seconds < MIN_SECONDS:
        hint = "6 to 12 s of natural speech work best."
        raise VoiceError(f"The recording holds only {seconds:.1f} s of speech.", hint=hint, field="audio")
    if seconds > MAX_SECONDS:
        hint = "Cut it, with its transcript, to 6 to 12 s."
        raise VoiceError(f"The recording is {seconds:.0f} s long; {MAX_SECONDS:.0f} s is the limit.", hint=hint)
    if seconds > GOOD_SECONDS:
        warnings.append(f"{seconds:.0f} s is long for a prompt; 6 to 12 s leave more room for the conversation.")


def _without_silent_edges(samples: Samples) -> Samples:
    """Cut edges 40 dB below the speech, keeping 150 ms on each side."""
    block = RATE_HZ // 100
    blocks = samples[: len(samples) // block * block].reshape(-1, block)
    power = np.mean(np.square(blocks, dtype=np.float64), axis=1)
    loud = np.flatnonzero(power > 10 ** ((level_dbfs(samples) - 40) / 10))
    if len(loud) == 0:
        return samples
    kept = int(KEPT_EDGE_SECONDS * RATE_HZ)
    return samples[max(0, loud[0] * block - kept) : (loud[-1] + 1) * block + kept]


def _check_pace(words: str, seconds: float) -> None:
    letters = sum(character.isalnum() for character in words)
    if letters == 0:
        raise VoiceError("The transcript is empty.", hint="Give the exact words of the recording.", field="transcript")
    pace = letters / seconds
    if not MIN_LETTERS_PER_SECOND <= pace <= MAX_LETTERS_PER_SECOND:
        kind = "few" if pace < MIN_LETTERS_PER_SECOND else "many"
        raise VoiceError(
            f"{letters} letters are too {kind} for {seconds:.1f} s of speech.",
            hint="Audio and transcript should belong together, word for word.",
            field="transcript",
        )


def _checked_name(name: Any) -> str:
    if not isinstance(name, str) or not 1 <= len(name) <= 64 or not name.isprintable() or "/" in name:
        raise VoiceError(f"{name!r} is no name for a voice.", hint="Use 1 to 64 letters.", field="name")
    return name


def _checked_speaker(speaker: Any) -> int:
    if not isinstance(speaker, int) or isinstance(speaker, bool) or not 0 <= speaker < 1_000:
        raise VoiceError(f"{speaker!r} is no speaker number.", hint="Use 0, 1, 2, …", field="speaker")
    return speaker


def _read(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    from safetensors import SafetensorError, safe_open

    hint = "A voice file is made by `duologue voices add` or Voice.save()."
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise VoiceError(f"{path} is too large for a voice.", hint=hint, field="voice")
        with safe_open(str(path), framework="numpy") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != FORMAT:
                raise VoiceError(f"{path} is not a voice file.", hint=hint, field="voice")
            tensors = {key: file.get_tensor(key) for key in file.keys() if key in ("audio", "codes", "pointers")}  # noqa: SIM118
        card = json.loads(metadata.get("voice", ""))
    except FileNotFoundError as error:
        raise VoiceError(f"{path} does not exist.", hint="Check the path.", field="voice") from error
    except (OSError, SafetensorError, ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
        raise VoiceError(f"{path} is damaged: {error}.", hint=hint, field="voice") from error
    if not isinstance(card, dict):
        raise VoiceError(f"{path} has no card.", hint=hint, field="voice")
    return card, tensors


def _checked_card(card: dict[str, Any], where: str) -> dict[str, Any]:
    unknown = sorted(set(card) - set(CARD_KEYS))
    if unknown:
        raise VoiceError(f"{where} has an unknown entry {unknown[0]!r}.", hint="Is it from a newer version?")
    values: dict[str, Any] = {"name": _checked_name(card.get("name")), "speaker": _checked_speaker(card.get("speaker"))}
    for key in ("transcript", "accent", "codec", "source", "licence"):
        value = card.get(key, "")
        if not isinstance(value, str) or len(value) > 4_000:
            raise VoiceError(f"{where}: {key} should be text.", field=key)
        values[key] = value
    return values


def _checked_tensors(
    tensors: Mapping[str, np.ndarray], where: str
) -> tuple[Audio, npt.NDArray[np.int64] | None, npt.NDArray[np.int64] | None]:
    audio = tensors.get("audio")
    if audio is None or audio.ndim != 1 or audio.dtype != np.int16 or not 0 < len(audio) <= MAX_SECONDS * RATE_HZ:
        raise VoiceError(f"{where}: the audio should be 0 to {MAX_SECONDS:.0f} s of 16-bit samples.", field="audio")
    samples = np.clip(audio / np.float32(32767), -1, 1).astype(np.float32)
    if is_silent(samples):
        raise VoiceError(f"{where}: the recording is silent.", field="audio")
    codes = _integers(tensors.get("codes"), 2, f"{where}: codes")
    if codes is not None and not (1 <= codes.shape[0] <= MAX_CODES and 1 <= codes.shape[1] <= len(audio) // 1920 + 2):
        raise VoiceError(f"{where}: codes are {codes.shape}, which doesn't fit the audio.", field="codes")
    pointers = _integers(tensors.get("pointers"), 1, f"{where}: pointers")
    if pointers is not None and (codes is None or len(pointers) != codes.shape[1] + 1):
        raise VoiceError(f"{where}: pointers don't fit the codes.", field="pointers")
    return Audio(samples), codes, pointers


def _integers(values: np.ndarray | None, axes: int, where: str) -> npt.NDArray[np.int64] | None:
    if values is None:
        return None
    if values.ndim != axes or values.dtype.kind not in "iu" or (values.size and values.min() < 0):
        raise VoiceError(f"{where} should be whole numbers on {axes} axes.", field="voice")
    return values.astype(np.int64)
