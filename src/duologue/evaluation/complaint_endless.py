"""Endless generation: how many utterances don't end by themselves. Counts endings; makes no sound."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..api import Model
from ..compat.llama_prompt import PromptTurn
from ..compat.llama_speech import LlamaSpeech, SpokenTurn
from ..speaking import GenerationConfig
from ..speech_checks import Expectation
from .complaint_long import loops_in

NORMAL = 1.96  # of the standard deviation, 95 %


def endless(
    model: Model, sentences: Sequence[str], voices: Sequence[str], options: GenerationConfig, seed: int
) -> dict[str, Any]:
    """Every sentence by every voice, from nothing, without checks; stopped after the frames that its words can take."""
    endings: Counter[str] = Counter()
    loops, pace = 0, []
    for number, sentence in enumerate(sentences):
        for voice in voices:
            turn = PromptTurn(model.voice(voice).speaker, sentence)
            speech = LlamaSpeech(model, {turn.speaker: voice}, seed + number, options)
            (said,) = (part for part in speech.speak([turn]) if isinstance(part, SpokenTurn))
            endings[said.ending] += 1
            loops += loops_in(said.codes)
            pace.append(said.codes.shape[1] / Expectation.of_text(sentence).max_frames)
    total = endings.total()
    stopped = total - endings["eos"]
    low, high = interval(stopped, total)
    return {
        "utterances": total,
        "voices": list(voices),
        "stopped": stopped,
        "stopped_percent": round(100 * stopped / total, 2),
        "interval_95_percent": [round(100 * low, 2), round(100 * high, 2)],
        "by_ending": dict(endings),
        "loops": loops,
        "frames_of_limit_median": round(float(np.median(pace)), 3),
        "frames_of_limit_largest": round(float(np.max(pace)), 3),
    }


def interval(found: int, total: int) -> tuple[float, float]:
    """Where the true share lies, 95 times of 100, when `found` of `total` were seen (Wilson's interval)."""
    share, spread = found / total, NORMAL**2 / total
    middle = share + spread / 2
    width = NORMAL * ((share * (1 - share) + spread / 4) / total) ** 0.5
    return max(0.0, (middle - width) / (1 + spread)), min(1.0, (middle + width) / (1 + spread))
