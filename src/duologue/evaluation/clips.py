"""One sentence as one voice said it, and the figures of many. Knows neither models nor judges.

Every clip counts in every share: one that the library gave up has all its words deleted.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..text.normalize import normalize
from ..text.phonemes import Phonemizer
from ..timebase import RATE_HZ, samples_to_seconds
from .asr import ASR_RATE_HZ, EDGE_SECONDS, Samples, trim
from .report import summary
from .wer import WordErrors

SILENCE_WINDOW = RATE_HZ // 50  # 20 ms
SILENCE_LEVEL = 0.01  # of the clip's peak
# How long the teacher speaks, fitted to 744 turns: seconds, a phone, a mark of punctuation within. All but two took
# between 0.74 and 1.9 times of that.
SPEECH_SECONDS, PHONE_SECONDS, PAUSE_SECONDS = 0.29, 0.070, 0.164
STRESS, PAUSES = "ˈˌ", ",.;:!?—…"
LENGTH_RANGE = (0.6, 1.9)  # of the expected duration, that count as the right length


@dataclass
class Clip:
    """One sentence as one voice said it. `failure` names the error of a sentence that the library gave up."""

    sentence: str
    voice: str
    samples: Samples
    seed: int = 0
    attempts: int = 1
    ended: bool = True
    elapsed_seconds: float = 0.0
    failure: str = ""
    errors: WordErrors = field(default_factory=lambda: WordErrors(0, 0, 0, 0))
    scores: dict[str, Any] = field(default_factory=dict)
    readings: dict[str, WordErrors] = field(default_factory=dict)  # the same words, read in other ways

    @property
    def best_reading(self) -> WordErrors:
        """The reading that depends least on how clips were joined."""
        return self.readings.get("alone") or self.readings.get("reread") or self.errors

    @property
    def seconds(self) -> float:
        return samples_to_seconds(len(self.samples))


def silence_share(samples: Samples) -> float:
    """Share of 20 ms windows below 1 % of the peak; 1 for a clip without sound."""
    whole = len(samples) // SILENCE_WINDOW * SILENCE_WINDOW
    peak = float(np.abs(samples).max()) if len(samples) else 0.0
    if not whole or peak < 1e-4:
        return 1.0
    rms = np.sqrt(np.mean(samples[:whole].reshape(-1, SILENCE_WINDOW) ** 2, axis=1))
    return float((rms < SILENCE_LEVEL * peak).mean())


def expected_seconds(sentence: str) -> float:
    """How long a sentence should take, silence around it apart, from its phones and pauses."""
    phones = _phonemizer().phonemize(normalize(sentence))
    count = sum(symbol.isalpha() and symbol not in STRESS for symbol in phones)
    pauses = sum(symbol in PAUSES for symbol in phones[:-1])
    return SPEECH_SECONDS + PHONE_SECONDS * count + PAUSE_SECONDS * pauses


@functools.cache
def _phonemizer() -> Phonemizer:
    return Phonemizer("us")


def speech_seconds(samples: Samples) -> float:
    """How long a clip is without the silence around the speech."""
    return max(0.0, len(trim(samples)) / ASR_RATE_HZ - 2 * EDGE_SECONDS)


def figures(clips: Sequence[Clip]) -> dict[str, Any]:
    """Everything about one speaker's clips, as plain values. Shares are over all clips."""
    total = sum((clip.errors for clip in clips), WordErrors(0, 0, 0, 0))
    pace = [speech_seconds(clip.samples) / expected_seconds(clip.sentence) for clip in clips]
    spoken, elapsed = sum(clip.seconds for clip in clips), sum(clip.elapsed_seconds for clip in clips)
    return {
        "clips": len(clips),
        "words": total.words,
        "wer_percent": round(100 * total.rate, 2),
        **{f"wer_percent_{name}": _rate_percent(clips, name) for name in ("reversed", "reread", "alone")},
        "substitutions": total.substitutions,
        "deletions": total.deletions,
        "insertions": total.insertions,
        "clips_of_lost_windows": sum(bool(clip.scores.get("window_lost")) for clip in clips),
        "clips_without_error_percent": _percent([clip.errors.errors == 0 for clip in clips]),
        "understood_percent": _percent([clip.best_reading.errors == 0 for clip in clips]),
        "ended_by_itself_percent": _percent([clip.ended for clip in clips]),
        "right_length_percent": _percent([LENGTH_RANGE[0] <= each <= LENGTH_RANGE[1] for each in pace]),
        "pace": summary(pace),
        "silence_share": summary([silence_share(clip.samples) for clip in clips]),
        "attempts": sum(clip.attempts for clip in clips),
        "retried_clips": sum(clip.attempts > 1 for clip in clips),
        "given_up": [clip.failure for clip in clips if clip.failure],
        "audio_seconds": round(spoken, 1),
        "real_time_factor": round(elapsed / spoken, 4) if spoken and elapsed else None,
        "dnsmos": summary(_scores(clips, "dnsmos")),
        "dnsmos_signal": summary(_scores(clips, "dnsmos_signal")),
        "distillmos": summary(_scores(clips, "distillmos")),
        "similarity": summary(_scores(clips, "similarity")),
        "similarity_lead": summary(_scores(clips, "lead")),
        "right_voice_percent": _percent(_scores(clips, "right_voice")),
    }


def _rate_percent(clips: Sequence[Clip], reading: str) -> float | None:
    """Word error rate of another reading; None if not every clip was read that way."""
    if not clips or not all(reading in clip.readings for clip in clips):
        return None
    return round(100 * sum((clip.readings[reading] for clip in clips), WordErrors(0, 0, 0, 0)).rate, 2)


def _scores(clips: Sequence[Clip], name: str) -> list[float]:
    return [clip.scores[name] for clip in clips if clip.scores.get(name) is not None]


def _percent(flags: Sequence[float]) -> float | None:
    return round(100 * sum(flags) / len(flags), 2) if flags else None


def per_clip(clip: Clip) -> dict[str, Any]:
    """One row of the details."""
    return {
        "voice": clip.voice,
        "seed": clip.seed,
        "sentence": clip.sentence,
        "seconds": round(clip.seconds, 2),
        "attempts": clip.attempts,
        "ended": clip.ended,
        "failure": clip.failure,
        "words": clip.errors.words,
        "errors": clip.errors.errors,
        "differences": [list(pair) for pair in clip.errors.differences],
        "errors_when_read": {name: reading.errors for name, reading in clip.readings.items()},
        **{name: round(value, 3) if isinstance(value, float) else value for name, value in clip.scores.items()},
    }
