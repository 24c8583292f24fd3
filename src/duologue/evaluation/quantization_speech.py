"""What rounded weights do to speech: the same sentences, voices and seeds, compared clip by clip with float32's.

Each sentence is spoken by one of the model's voices in turn. Differences come with a 95 % interval from resampling
whole sentences: what would have been seen with forty other sentences. Knows no weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..api import Model
from . import naturalness, speaker
from .asr import Judge
from .clips import Clip
from .reading_clips import judge_words
from .voice import speak, voice_prompts

RESAMPLINGS = 2000
Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Heard:
    """What the judges found, by clip (N,); NaN where there was nothing to judge."""

    sentence: npt.NDArray[np.int64]  # which one a clip speaks
    words: Values
    errors: Values
    similarity: Values  # to the voice's own recording
    dnsmos: Values  # overall opinion score
    ended: Values

    def as_dict(self) -> dict[str, list[float | None]]:
        """For JSON."""
        return {name: [_plain(value) for value in getattr(self, name)] for name in self.__dataclass_fields__}

    @classmethod
    def from_dict(cls, values: Mapping[str, Sequence[float | None]]) -> Heard:
        """From JSON."""
        arrays = {name: np.array([np.nan if v is None else v for v in column]) for name, column in values.items()}
        return cls(**{**arrays, "sentence": arrays["sentence"].astype(np.int64)})


class Listening:
    """Sentences to speak, and the judges who listen; loaded once for many models."""

    def __init__(self, model: Model, sentences: Sequence[str], seeds: Sequence[int], threads: int = 1) -> None:
        self.sentences, self.seeds = list(sentences), list(seeds)
        self._judge = Judge("base", threads)
        self._prompts = voice_prompts(model)
        self.judge = self._judge.name

    def hear(self, model: Model) -> Heard:
        """Let a model speak everything, first attempts only, and judge it."""
        clips: list[Clip] = []
        for seed in self.seeds:
            for number, sentence in enumerate(self.sentences):
                clips += speak(model, [sentence], self.voice_of(number), [seed], retries=0)
        return self.judged(clips)

    def voice_of(self, number: int) -> str | None:
        """Who speaks a sentence: the voices take turns."""
        voices: list[str | None] = [*self._prompts] or [None]
        return voices[number % len(voices)]

    def judged(self, clips: Sequence[Clip]) -> Heard:
        """Judge clips, one per seed and sentence in that order."""
        judge_words(clips, self._judge)
        return Heard(
            sentence=np.tile(np.arange(len(self.sentences)), len(self.seeds)),
            words=np.array([clip.errors.words for clip in clips], np.float64),
            errors=np.array([clip.errors.errors for clip in clips], np.float64),
            similarity=np.array([self._similarity(clip) for clip in clips]),
            dnsmos=np.array([_opinion(clip) for clip in clips]),
            ended=np.array([clip.ended for clip in clips], np.float64),
        )

    def _similarity(self, clip: Clip) -> float:
        if clip.voice not in self._prompts or not len(clip.samples):
            return float("nan")
        return speaker.similarity(speaker.embed(clip.samples), self._prompts[clip.voice])


def _opinion(clip: Clip) -> float:
    heard = naturalness.dnsmos(clip.samples)
    return heard.overall if heard else float("nan")


def compared(heard: Heard, reference: Heard, seed: int = 0) -> dict[str, Any]:
    """Means, and differences from the reference with their 95 % intervals."""
    drawn = np.random.default_rng(seed)
    sentences = int(reference.sentence.max()) + 1
    picks = drawn.integers(0, sentences, (RESAMPLINGS, sentences))  # sentences, drawn with replacement
    rates = {"wer_percent": (100 * heard.errors, 100 * reference.errors, reference.words)}
    for name in ("similarity", "dnsmos"):
        both = ~(np.isnan(getattr(heard, name)) | np.isnan(getattr(reference, name)))
        own, theirs = (np.where(both, getattr(side, name), 0.0) for side in (heard, reference))
        rates[name] = (own, theirs, both.astype(np.float64))
    found: dict[str, Any] = {
        "clips": len(heard.words),
        "words": int(heard.words.sum()),
        "ended_by_itself_percent": round(100 * float(heard.ended.mean()), 2),
    }
    for name, (own, theirs, weight) in rates.items():
        found[name] = _estimate(own, theirs, weight, reference.sentence, picks)
    return found


def _estimate(
    own: Values, theirs: Values, weight: Values, sentence: npt.NDArray[np.int64], picks: npt.NDArray[np.int64]
) -> dict[str, Any]:
    """A ratio of sums, its difference from the reference's, and where 95 of 100 resampled differences lie."""
    sums = [np.bincount(sentence, weights=column) for column in (own, theirs, weight)]
    total = float(sums[2].sum()) or 1.0
    resampled = (sums[0] - sums[1])[picks].sum(1) / np.maximum(sums[2][picks].sum(1), 1e-9)
    low, high = np.percentile(resampled, [2.5, 97.5])
    return {
        "mean": round(float(sums[0].sum()) / total, 3),
        "difference": round(float((sums[0] - sums[1]).sum()) / total, 3),
        "interval_95": [round(float(low), 3), round(float(high), 3)],
    }


def _plain(value: float) -> float | None:
    number = float(value)
    return None if np.isnan(number) else round(number, 4)
