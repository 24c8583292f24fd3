"""Long text: do words get lost, or come again, the longer a speech goes on? By position, against sentences alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import soxr

from ..api import Model
from ..audio import Samples
from ..compat.llama_prompt import PromptTurn
from ..compat.llama_speech import LlamaSpeech, SpokenTurn
from ..errors import Runaway
from ..speaking import GenerationConfig
from ..speech_checks import LoopWatch
from ..timebase import RATE_HZ
from .asr import ASR_RATE_HZ, Judge
from .wer import WordErrors, comparable, split_errors

Way = Literal["alone", "sentences", "one turn"]
WAYS: tuple[Way, ...] = ("alone", "sentences", "one turn")
WINDOW_SECONDS, SEARCH_SECONDS = 27.0, 6.0
QUARTERS = 4
REPEATED_WORDS = 4


def long_text(model: Model, texts: Sequence[Sequence[str]], voice: str, seed: int, judge: Judge) -> dict[str, Any]:
    """Each text (its sentences) in three ways: every sentence from nothing, one after the other, as a single turn."""
    found: dict[str, Any] = {"texts": len(texts), "sentences_each": [len(text) for text in texts], "voice": voice}
    for way in WAYS:
        found[way.replace(" ", "_")] = _one_way(model, texts, voice, seed, judge, way)
    return found


def _one_way(
    model: Model, texts: Sequence[Sequence[str]], voice: str, seed: int, judge: Judge, way: Way
) -> dict[str, Any]:
    quarters = [WordErrors(0, 0, 0, 0) for _ in range(QUARTERS)]
    frames, loops, repeated = [], 0, 0
    for number, text in enumerate(texts):
        spoken = list(_speak(model, text, voice, seed + 100 * number, way))
        frames.append(sum(codes.shape[1] for codes in spoken))
        loops += sum(loops_in(codes) for codes in spoken)
        sound = np.concatenate([model.codec.decode(codes) for codes in spoken if codes.shape[1]])
        heard = " ".join(judge.transcribe(window) for window in windows(sound))
        for index, errors in enumerate(split_errors(text, heard)):
            quarters[index * QUARTERS // len(text)] += errors
        repeated += repeats(" ".join(text), heard)
    whole = sum(quarters, WordErrors(0, 0, 0, 0))
    return {
        "frames": frames,
        "wer_percent": round(100 * whole.rate, 2),
        "wer_percent_by_quarter": [round(100 * quarter.rate, 2) for quarter in quarters],
        "words": whole.words,
        "insertions": whole.insertions,
        "deletions": whole.deletions,
        "loops": loops,
        "repeated_runs": repeated,
    }


def _speak(model: Model, text: Sequence[str], voice: str, seed: int, way: Way) -> Iterator[npt.NDArray[np.int64]]:
    """Codes (K,T) of each turn, as the model says them: no checks, no second attempts."""
    speaker = model.voice(voice).speaker
    turns = [PromptTurn(speaker, " ".join(text))] if way == "one turn" else [PromptTurn(speaker, one) for one in text]
    groups = [[turn] for turn in turns] if way == "alone" else [turns]
    for number, group in enumerate(groups):
        speech = LlamaSpeech(model, {speaker: voice}, seed + number, GenerationConfig())
        yield from (part.codes for part in speech.speak(group) if isinstance(part, SpokenTurn))


def loops_in(codes: npt.NDArray[np.int64]) -> int:
    """How often codes (K,T) begin to go round in circles."""
    found, watch = 0, LoopWatch()
    for frame in codes.T:
        try:
            watch.push(frame)
        except Runaway:
            found, watch = found + 1, LoopWatch()
    return found


def repeats(wanted: str, heard: str) -> int:
    """Runs of four words that were heard again without being wanted again."""
    asked, got = _runs(wanted), _runs(heard)
    return sum(max(0, count - max(1, asked[run])) for run, count in got.items())


def _runs(text: str) -> Counter[tuple[str, ...]]:
    words = comparable(text).split()
    return Counter(tuple(words[i : i + REPEATED_WORDS]) for i in range(len(words) - REPEATED_WORDS + 1))


def windows(sound: Samples) -> Iterator[Samples]:
    """Sound at 16 kHz in pieces that the judge can take, cut where it is quietest."""
    samples = np.asarray(soxr.resample(sound.astype(np.float32), RATE_HZ, ASR_RATE_HZ), np.float32)
    longest, search, block = int(WINDOW_SECONDS * ASR_RATE_HZ), int(SEARCH_SECONDS * ASR_RATE_HZ), ASR_RATE_HZ // 10
    while len(samples) > longest:
        tail = samples[longest - search : longest]
        power = np.convolve(tail.astype(np.float64) ** 2, np.ones(block), "valid")
        cut = longest - search + int(power.argmin()) + block // 2
        yield samples[:cut]
        samples = samples[cut:]
    if len(samples):
        yield samples
