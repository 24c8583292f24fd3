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
- Texts: the BYU Chit-Chat dataset (MIT), cleaned; example phrases of WordNet 3.0 and nonsense sentences of its words
  (WordNet licence); templates for numbers, times, names and questions written for this project.
- Pronunciation: phoneme strings in misaki's symbols (Apache-2.0).
- The decoder's losses: spectra, discriminators trained beside it, and the difference that the encoder of Whisper tiny.en
  (OpenAI, MIT) hears between real and made speech. Words are counted below by another size, Whisper base.

Learning curves: recipes/voice/curves.

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
    """What the commands of docs/evaluation.md measured last, as far as they were run."""
    if not path.is_file():
        return "Run `make evaluate` for the figures of this version."
    parts = [_speakers(path)]
    for name, title in (("voice_heldout120.json", "120 sentences"), ("voice_short60.json", "single words and numbers")):
        if (RESULTS / name).is_file():
            parts.append(f"### {title}\n{_speakers(RESULTS / name)}")
    for name, tell in (("codec.json", _round_trip), ("pronunciation.json", _pronunciation)):
        if (RESULTS / name).is_file():
            parts.append(tell(json.loads((RESULTS / name).read_text(encoding="utf-8"))))
    return "\n\n".join(parts)


COLUMNS = {
    "wer_percent": "word errors, %",
    "wer_percent_reread": "lost windows read again, %",
    "understood_percent": "clips without an error, %",
    "ended_by_itself_percent": "ends by itself, %",
    "right_length_percent": "right length, %",
    "right_voice_percent": "right voice, %",
    "dnsmos": "DNSMOS",
    "distillmos": "DistillMOS",
    "real_time_factor": "time per second of sound",
}


def _speakers(path: Path) -> str:
    """A table of one evaluation: speakers by figures; figures that nobody has are left out."""
    found = json.loads(path.read_text(encoding="utf-8"))
    rows = {**found["by_speaker"], "all voices": found["all_voices"]}
    told = {key: [_mean(values.get(key)) for values in rows.values()] for key in COLUMNS}
    shown = [key for key, values in told.items() if any(value is not None for value in values)]
    head = ["", "words", *(COLUMNS[key] for key in shown)]
    lines = [f"{found['sentences']}, first attempts, {found['judge']}, {found['date'][:10]} ({path.name}):", ""]
    lines += ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for number, (name, values) in enumerate(rows.items()):
        cells = [name, str(values["words"]), *("–" if told[k][number] is None else str(told[k][number]) for k in shown)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _mean(value: Any) -> Any:
    return value["mean"] if isinstance(value, dict) else value


def _round_trip(found: dict[str, Any]) -> str:
    pitch = 100 * found["pitch_within_10_percent"]
    words = [f"{form} {found[form].get('wer_percent')} %" for form in ("original", "decoded")]
    return (
        f"Codec, {found['clips']} held-out clips through it and back ({found['date'][:10]}): word errors "
        f"{', '.join(words)}; voiced frames with the pitch within 10 %: {pitch:.1f} %; "
        f"PESQ {found['pesq_wb']['mean']}, STOI {found['stoi']['mean']}, DNSMOS {found['decoded']['dnsmos']['mean']}."
    )


def _pronunciation(found: dict[str, Any]) -> str:
    tested = found["homographs"]
    voices = ", ".join(
        f"{name} {tested['speakers'][name]['right_percent']} %"
        for name in found["voices"]
        if name in tested["speakers"]
    )
    text = (
        f"Homographs said the right way, judged by the sound ({found['date'][:10]}): {voices}; the judge itself is right "
        f"in {tested['judge_right_percent']['own_voice']} % of known cases."
    )
    if (talks := found["consistency"]) is not None:
        usual = talks["turns_in_the_words_usual_way_percent"]
        text += f" Turns in a word's usual way: {usual} % of {talks['turns']}."
    return text
