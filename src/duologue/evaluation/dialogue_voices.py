"""Do both speakers keep their voices through a long conversation? Ten turns, each compared with its voice's prompt.

A conversation model hears its own earlier turns, so a voice can wander a little with each; what counts is the slope.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .. import api
from ..errors import InputError
from .report import versions
from .speaker import embed, nearest, similarity

TURNS = (
    "Good morning. Did you sleep well after the long trip?",
    "Not badly, thanks. The bed was soft, but the street was noisy.",
    "That is the market. They put up the stands before sunrise.",
    "I know, I watched them from the window with a cup of tea.",
    "We could go down together and buy something for lunch.",
    "Gladly. I would like fresh bread, tomatoes and a bit of cheese.",
    "Then bring an umbrella, because it may rain again later.",
    "I left mine on the train, so we will have to share yours.",
    "No problem. It is large enough for three people and a dog.",
    "Perfect. Give me five minutes to find my shoes.",
)


def measure(model: api.Model, voices: Sequence[str], seed: int = 1) -> dict[str, Any]:
    """Speak the ten turns with two voices; similarity to the own prompt by turn, its slope, and the right voices."""
    if len(voices) != 2:
        raise InputError(f"A dialogue wants two voices, not {len(voices)}.", field="voices")
    prompts = {name: embed(model.voice(name).audio.samples) for name in model.voices}
    cast = {model.voice(name).speaker: name for name in voices}
    if len(cast) != 2:
        raise InputError(f"{' and '.join(voices)} share a speaker number.", hint="Name two others.", field="voices")
    talk = model.conversation(dict(cast), retries=0, check=False)
    rows: list[dict[str, Any]] = []
    for number, text in enumerate(TURNS):
        speaker = list(cast)[number % 2]
        audio = talk.say(text, speaker=speaker, seed=seed + number)
        heard = embed(audio.samples)
        rows.append(
            {
                "turn": number + 1,
                "voice": cast[speaker],
                "similarity": round(similarity(heard, prompts[cast[speaker]]), 4),
                "right_voice": nearest(heard, prompts)[0] == cast[speaker],
                "seconds": round(audio.seconds, 2),
            }
        )
    values = [row["similarity"] for row in rows]
    return {
        "voices": list(voices),
        "turns": rows,
        "slope_per_turn": round(float(np.polyfit(np.arange(len(rows)), values, 1)[0]), 5),
        "first_half": round(float(np.mean(values[:5])), 4),
        "second_half": round(float(np.mean(values[5:])), 4),
        "right_voice_percent": 100 * sum(row["right_voice"] for row in rows) / len(rows),
    }


def evaluate(source: str | None, voices: Sequence[str], seeds: Sequence[int], out: Path) -> dict[str, Any]:
    """Load a model, let it talk with every seed, and write the figures as JSON."""
    model = api.load(source)
    names = list(voices) or list(model.voices)[:2]
    result = {
        "what": "ten turns of two voices; similarity of each turn to its voice's prompt",
        **versions(),
        "model": model.name,
        "talks": [{"seed": seed, **measure(model, names, seed)} for seed in seeds],
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return result
