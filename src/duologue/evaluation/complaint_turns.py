"""Silence between turns: how long nobody is heard where one speaker ends and the next begins. Knows sound only."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..api import Model
from ..audio import Samples, level_dbfs
from ..compat.llama_prompt import PromptTurn
from ..compat.llama_speech import LlamaSpeech, SpokenTurn, own_voices
from ..speaking import GenerationConfig
from ..timebase import RATE_HZ
from .report import summary

BLOCK = RATE_HZ // 100  # 10 ms
BELOW_SPEECH_DB = 40.0
LONG_SECONDS = 1.0  # a pause that a listener takes for the end


def edges(samples: Samples) -> tuple[float, float]:
    """Seconds of silence before and after a turn's speech, 40 dB below its level; all of it for a silent turn."""
    if len(samples) < BLOCK:
        return len(samples) / RATE_HZ, 0.0
    blocks = samples[: len(samples) // BLOCK * BLOCK].reshape(-1, BLOCK)
    power = np.mean(np.square(blocks, dtype=np.float64), axis=1)
    loud = np.flatnonzero(power > 10 ** ((level_dbfs(samples) - BELOW_SPEECH_DB) / 10))
    if not len(loud):
        return len(samples) / RATE_HZ, 0.0
    return float(loud[0]) * BLOCK / RATE_HZ, float(len(blocks) - 1 - loud[-1]) * BLOCK / RATE_HZ


def spoken_turns(model: Model, turns: Sequence[PromptTurn], seed: int) -> list[Samples]:
    """A scene in one piece of sound, cut where its turns meet; nothing is trimmed."""
    speech = LlamaSpeech(model, own_voices(model, turns), seed, GenerationConfig())
    decoder = model.codec.decoder()
    said = [part.codes for part in speech.speak(turns) if isinstance(part, SpokenTurn)]
    return [decoder.decode(codes) if codes.shape[1] else np.zeros(0, np.float32) for codes in said]


def silence_between_turns(model: Model, sentences: Sequence[str], turns: int, seed: int) -> dict[str, Any]:
    """Scenes of `turns` turns, two voices in alternation, as the model says them: the silence at each join."""
    joins: list[float] = []
    total = 0.0
    for start in range(0, len(sentences) - turns + 1, turns):
        scene = [PromptTurn(number % 2, text) for number, text in enumerate(sentences[start : start + turns])]
        sound = spoken_turns(model, scene, seed + start)
        silent = [edges(samples) for samples in sound]
        joins += [before[1] + after[0] for before, after in itertools.pairwise(silent)]
        total += sum(len(samples) for samples in sound) / RATE_HZ
    return {
        "joins": len(joins),
        "seconds_at_a_join": summary(joins),
        "longest_seconds": round(max(joins), 2),
        "joins_beyond_a_second_percent": round(100 * float(np.mean(np.array(joins) > LONG_SECONDS)), 2),
        "share_of_the_sound_percent": round(100 * sum(joins) / total, 2),
        "audio_seconds": round(total, 1),
    }
