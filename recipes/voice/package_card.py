"""The model card of the embedded voice, from what training and evaluation recorded. Knows no weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"
TEMPLATE = """# duologue-small: the embedded voice

A conversational speech model (a small CSM) and its codec (a small Mimi), both trained from scratch by the code of this
repository, on two CPU cores, on synthetic speech. They are here so that the first command speaks at once, offline.

| | |
|---|---|
| CSM | {parameters:,} parameters: {backbone} backbone, {depth} depth decoder, {books} codebooks |
| text | phone units (English, American and British), aligned with the sound by a pointer the model moves |
| codec | {codec} |
| voices | {voices} |
| trained | {date}: {steps:,} steps, {minutes:.0f} minutes, {seen:.0f} hours heard of {hours:.1f} with shifted copies{onward} |
| files | csm.safetensors {csm_mb:.1f} MB (float16), codec.safetensors {codec_mb:.1f} MB |

## What it was made from
- Speech: Kokoro-82M (Apache-2.0), an openly licensed text-to-speech model, speaking the texts below; no recordings of
  people were used directly. The voices are Kokoro's af_heart, am_michael, bf_emma and bm_george.
- Texts: the BYU Chit-Chat dataset (MIT), cleaned; example phrases of WordNet 3.0 (WordNet licence); templates for
  numbers, times, names and questions written for this project.
- Pronunciation: phoneme strings in misaki's symbols (Apache-2.0).

## Figures
{figures}

## Limits
- English only. Names and rare words are read by rules and are sometimes wrong.
- The four voices are speaker numbers that it learned; a recording given as a prompt colours the speech but is not
  cloned faithfully. That needs a full-size model, such as sesame/csm-1b.
- It was trained for little time on little speech: it sounds synthetic, slurs words (see the figures), and
  drifts in long texts.
- It models no laughter, music, whispering or other languages. It understands nothing of what it says.

## Use
Say that listeners hear a machine. Don't imitate people with it, and don't use it to deceive.

Licence of the weights: Apache-2.0. See NOTICE for the sources' licences.
"""


def write_card(out: Path, release: Path, facts: dict[str, Any], figures: Path) -> None:
    """Write MODEL_CARD.md into the package's folder."""
    training = facts["training"]
    model = training["recipe"]["model"]
    values = {
        "parameters": training["parameters"],
        "backbone": _stack(model["backbone"]),
        "depth": _stack(model["depth"]),
        "books": model["num_codebooks"],
        "codec": _codec(release),
        "voices": ", ".join(
            f"{v['name'].split('_', 1)[1]} ({v['accent']}, speaker {v['speaker']})" for v in facts["voices"]
        ),
        "date": training["date"],
        "steps": training["steps"],
        "minutes": training["training_minutes"],
        "onward": f"; on from {training['started_from']}" if "started_from" in training else "",
        "hours": training["training_hours"],
        "seen": training["hours_of_audio_seen"],
        "csm_mb": (out / "csm.safetensors").stat().st_size / 1e6,
        "codec_mb": (out / "codec.safetensors").stat().st_size / 1e6,
        "figures": _figures(figures),
    }
    (out / "MODEL_CARD.md").write_text(TEMPLATE.format(**values), encoding="utf-8")


def _stack(stack: dict[str, Any]) -> str:
    return f"{stack['layers']} layers of width {stack['width']}"


def _codec(release: Path) -> str:
    """The codec's own words about itself, if its training left any."""
    path = release / "codec.json"
    if not path.is_file():
        return "Mimi's design at a small size: split RVQ, 12.5 frames a second, causal"
    return _plain(json.loads(path.read_text(encoding="utf-8")))


def _plain(values: dict[str, Any]) -> str:
    """Numbers and short words of a record, without its nested tables."""
    kept = {k: v for k, v in values.items() if isinstance(v, int | float | str) and k not in ("parameters", "date")}
    return ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in kept.items())


def _figures(path: Path) -> str:
    """What `make evaluate` measured last."""
    if not path.is_file():
        return "Run `make evaluate` for the figures of this version."
    found = json.loads(path.read_text(encoding="utf-8"))
    lines = [f"From benchmarks/results/voice.json ({found['date'][:10]}, {found['judge']}, {found['sentences']}):", ""]
    for name, values in {**found["by_speaker"], "all voices": found["all_voices"]}.items():
        lines.append(
            f"- {name}: WER {values['wer_percent']} % of {values['words']} words, ends by itself "
            f"{values['ended_by_itself_percent']} %, right length {values['right_length_percent']} %"
        )
    return "\n".join(lines)
