"""Speech to words: Whisper on this machine. Knows no conversation and no network but faster-whisper's own download."""

from __future__ import annotations

import threading
from typing import Any

from ..audio import Audio, resample
from ..errors import BackendUnavailable, WeightsNotFound
from ..timebase import RATE_HZ

WHISPER_RATE_HZ = 16_000
MAX_SECONDS = 30.0


class Whisper:
    """Whisper through faster-whisper. `model` is a name that it knows (base.en, small, …) or a folder."""

    def __init__(self, model: str, threads: int = 2) -> None:
        """Load the network. Raises BackendUnavailable without faster-whisper, WeightsNotFound without the weights."""
        try:
            from faster_whisper import WhisperModel
        except ImportError as error:
            raise BackendUnavailable(
                "Hearing words needs faster-whisper.", hint='pip install "duologue[talk]"'
            ) from error
        try:
            self._whisper: Any = WhisperModel(model, device="cpu", compute_type="int8", cpu_threads=threads)
        except (RuntimeError, ValueError, OSError) as error:
            hint = "Give a name like base.en, or a folder with a CTranslate2 Whisper."
            raise WeightsNotFound(f"Whisper {model!r} can't be loaded: {error}", hint=hint) from error
        self.name = f"Whisper {model.rstrip('/').rsplit('/', 1)[-1]}"
        self._lock = threading.Lock()

    def transcribe(self, audio: Audio) -> str:
        """The words in up to 30 s of speech; empty if there are none. Noise and silence are left out first."""
        samples = resample(audio.samples[: int(MAX_SECONDS * RATE_HZ)], RATE_HZ, WHISPER_RATE_HZ)
        with self._lock:
            segments, _ = self._whisper.transcribe(
                samples, language="en", beam_size=1, vad_filter=True, condition_on_previous_text=False
            )
            return " ".join(segment.text.strip() for segment in segments).strip()
