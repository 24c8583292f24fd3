"""Speech to words: Whisper on this machine, or any OpenAI-compatible endpoint. Knows no conversation.

Whisper reads windows of 30 s, and most of its time for a short turn goes into silence that was added. Here the encoder
gets what was said and two seconds more, at least five in all: the same words for a seventh of the computing
(docs/log.md). A result that looks like a loop is read again in the full window.
"""

from __future__ import annotations

import io
import threading
from pathlib import Path
from typing import Any

import numpy as np

from ..audio import Audio, Samples, resample
from ..errors import BackendUnavailable, WeightsNotFound
from ..timebase import RATE_HZ

WHISPER_RATE_HZ = 16_000
WINDOW_SECONDS = 30.0  # of Whisper; longer speech is read window by window
SILENCE_AFTER = 2.0  # seconds; with one, it repeats short turns
SHORTEST_WINDOW = 5.0
TOKENS_PER_SECOND = 8
NO_SPEECH, UNSURE = 0.6, -1.0  # Whisper's own limits: both together mean that nothing was said
PACKAGED = "packaged"  # Whisper base out of PyPI packages: needs no network when it runs
TIMEOUT_SECONDS = 30.0


class Whisper:
    """Whisper through faster-whisper. `model` is a name that it knows (base.en, small, …), "packaged", or a folder."""

    def __init__(self, model: str, threads: int = 2) -> None:
        """Load the network. Raises BackendUnavailable without faster-whisper, WeightsNotFound without the weights."""
        try:
            from faster_whisper import WhisperModel
            from faster_whisper.tokenizer import Tokenizer
        except ImportError as error:
            raise BackendUnavailable(
                "Hearing words needs faster-whisper.", hint='pip install "duologue[talk]"'
            ) from error
        source = str(_packaged()) if model == PACKAGED else model
        try:
            self._whisper: Any = WhisperModel(source, device="cpu", compute_type="int8", cpu_threads=threads)
        except (RuntimeError, ValueError, OSError) as error:
            hint = "Give a name like base.en, or a folder with a CTranslate2 Whisper."
            raise WeightsNotFound(f"Whisper {model!r} can't be loaded: {error}", hint=hint) from error
        multilingual = self._whisper.model.is_multilingual
        self._tokens = Tokenizer(self._whisper.hf_tokenizer, multilingual, task="transcribe", language="en")
        self.name = f"Whisper {model.rstrip('/').rsplit('/', 1)[-1]}"
        self._lock = threading.Lock()

    def transcribe(self, audio: Audio) -> str:
        """The words; empty if there are none. Noise and silence are left out first."""
        samples = resample(audio.samples, RATE_HZ, WHISPER_RATE_HZ)
        with self._lock:
            spoken = self._spoken_part(samples)
            if not len(spoken):
                return ""
            fits = len(spoken) <= WINDOW_SECONDS * WHISPER_RATE_HZ
            words = self._read(spoken) if fits else None
            return self._read_carefully(spoken) if words is None else words

    def _spoken_part(self, samples: Samples) -> Samples:
        """From the first speech to the last, after Silero."""
        from faster_whisper.vad import VadOptions, get_speech_timestamps

        found = get_speech_timestamps(samples, VadOptions(min_silence_duration_ms=500, speech_pad_ms=200))
        return samples[found[0]["start"] : found[-1]["end"]] if found else samples[:0]

    def _read(self, samples: Samples) -> str | None:
        """Words from a window that fits; None if they may be a loop."""
        seconds = max(SHORTEST_WINDOW, len(samples) / WHISPER_RATE_HZ + SILENCE_AFTER)
        padded = np.pad(samples, (0, max(0, int(seconds * WHISPER_RATE_HZ) - len(samples))))
        features = self._whisper.feature_extractor(padded)
        frames = min(3_000, features.shape[-1] // 2 * 2)
        prompt = [*self._tokens.sot_sequence, self._tokens.no_timestamps]
        limit = len(prompt) + int(TOKENS_PER_SECOND * seconds)
        (result,) = self._whisper.model.generate(
            self._whisper.encode(np.ascontiguousarray(features[:, :frames])), [prompt],
            beam_size=1, max_length=limit, return_scores=True, return_no_speech_prob=True,
        )  # fmt: skip
        tokens = result.sequences_ids[0]
        if len(tokens) >= limit - len(prompt):
            return None
        if result.no_speech_prob > NO_SPEECH and result.scores[0] < UNSURE:
            return ""
        words = str(self._tokens.decode(tokens)).strip()
        return None if repeats(words) else words

    def _read_carefully(self, samples: Samples) -> str:
        segments, _ = self._whisper.transcribe(samples, language="en", beam_size=1, condition_on_previous_text=False)
        return " ".join(segment.text.strip() for segment in segments).strip()


def repeats(text: str) -> bool:
    """Whether the last words, three or more, say again what stands right before them: a loop, most likely."""
    words = [word.strip(".,!?;:").lower() for word in text.split()]
    return any(words[-count:] == words[-2 * count : -count] for count in range(3, len(words) // 2 + 1))


def _packaged() -> Path:
    from ..evaluation.asr import assemble_base

    return assemble_base()


class TranscriptionEndpoint:
    """A recogniser behind POST {url}/audio/transcriptions: a Whisper server, vLLM, or a hosted one."""

    def __init__(self, url: str, model: str, key: str = "none") -> None:
        try:
            from openai import OpenAI
        except ImportError as error:
            raise BackendUnavailable(
                "Remote recognition needs the openai package.", hint='pip install "duologue[talk]"'
            ) from error
        self.name = f"{model} at {url}"
        self._model = model
        self._client = OpenAI(base_url=url, api_key=key, timeout=TIMEOUT_SECONDS, max_retries=1)

    def transcribe(self, audio: Audio) -> str:
        """The words; empty if there are none. Raises BackendUnavailable if the endpoint fails."""
        from openai import OpenAIError

        file = io.BytesIO()
        audio.save(file, "wav")
        try:
            found = self._client.audio.transcriptions.create(model=self._model, file=("turn.wav", file.getvalue()))
        except OpenAIError as error:
            hint = "Check --asr and --asr-model, and that the endpoint runs."
            raise BackendUnavailable(f"The recogniser didn't answer: {error}", hint=hint) from error
        return found.text.strip()


def open_recogniser(source: str, model: str = "whisper-1", key: str = "none") -> Whisper | TranscriptionEndpoint:
    """A URL becomes an endpoint, everything else a Whisper on this machine."""
    if source.startswith(("http://", "https://")):
        return TranscriptionEndpoint(source, model, key)
    return Whisper(source)
