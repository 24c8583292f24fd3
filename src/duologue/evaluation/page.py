"""One page to listen and look: each sentence by every speaker, with its sound, spectrogram and numbers side by side.

The page holds everything inside itself and asks no other server for anything.
"""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..audio import Audio
from ..timebase import RATE_HZ
from .clips import Clip, figures

SENTENCES = 12  # with sound, from all parts of the set; the numbers are over all of them
FFT, HOP, TOP_HZ = 1024, 240, 8000
FLOOR_DB = 70.0
LESS, MORE, NEITHER = -1, 1, 0  # what is better
ROWS: dict[str, tuple[str, int]] = {
    "clips": ("Clips", NEITHER),
    "words": ("Words", NEITHER),
    "wer_percent": ("Word errors, joined windows, %", LESS),
    "wer_percent_reversed": ("… joined the other way round, %", LESS),
    "wer_percent_reread": ("… lost windows read clip by clip, %", LESS),
    "wer_percent_alone": ("… every clip read alone, %", LESS),
    "understood_percent": ("Clips without an error, %", MORE),
    "ended_by_itself_percent": ("Ends by itself, %", MORE),
    "right_length_percent": ("Right length, %", MORE),
    "right_voice_percent": ("Right voice, %", MORE),
    "similarity": ("Similarity to the voice's prompt", MORE),
    "similarity_lead": ("… lead over the next voice", MORE),
    "dnsmos": ("DNSMOS, overall", MORE),
    "distillmos": ("DistillMOS", MORE),
    "pace": ("Length against expectation", NEITHER),
    "silence_share": ("Share of silence", NEITHER),
    "real_time_factor": ("Computing time per second", LESS),
}
STYLE = """:root{--ink:#1c1b22;--soft:#67646f;--line:#d9d6df;--paper:#fbfaf8;--card:#fff;--mark:#0b6e4f;--bad:#a4243b}
@media(prefers-color-scheme:dark){:root{--ink:#e9e6ef;--soft:#a19dab;--line:#38353f;--paper:#16151a;--card:#1f1e24;
--mark:#5fd3a4;--bad:#ff8fa0}}
*{box-sizing:border-box}body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);
margin:0 auto;max-width:80rem;padding:2rem 1.25rem 4rem}h1{font-size:1.7rem;line-height:1.2;margin:0 0 .25rem}
h2{font-size:1.2rem;margin:2.5rem 0 .5rem}h3{font-size:1rem;font-weight:600;margin:1.75rem 0 .5rem}
p,small{color:var(--soft);max-width:60rem}.scroll{overflow-x:auto}
table{border-collapse:collapse;font-variant-numeric:tabular-nums}td,th{padding:.3rem .75rem;text-align:right;
border-bottom:1px solid var(--line);white-space:nowrap}th:first-child{text-align:left;font-weight:400}
thead th{font-weight:600;border-bottom:2px solid var(--line)}.best{color:var(--mark);font-weight:600}
.row{display:grid;grid-template-columns:repeat(auto-fill,minmax(15rem,1fr));gap:.75rem}
figure{margin:0;padding:.75rem;background:var(--card);border:1px solid var(--line);border-radius:.5rem}
figcaption{font-weight:600;margin-bottom:.4rem}.look{height:6.5rem;background:#000;border-radius:.25rem;overflow:hidden}
.look img{height:100%;display:block}audio{width:100%;height:2.25rem;margin:.5rem 0 .25rem}
del{color:var(--bad)}ins{text-decoration:none;color:var(--bad)}"""


@dataclass(frozen=True)
class Told:
    """What a page says beside the clips: a line under the title, and tables of rows by speaker."""

    subtitle: str = ""
    sections: Mapping[str, Mapping[str, Mapping[str, Any]]] = field(default_factory=dict)
    parts: Mapping[str, Sequence[str]] = field(default_factory=dict)  # sentences by part of the set


def write_page(path: Path, title: str, groups: Mapping[str, Sequence[Clip]], told: Told | None = None) -> None:
    """Write the page of speakers (name to clips, sentence by sentence in the same order)."""
    told = told or Told()
    path.parent.mkdir(parents=True, exist_ok=True)
    shown = _chosen(groups, told.parts)
    body = (
        f"<h1>{html.escape(title)}</h1><p>{html.escape(told.subtitle)}</p>"
        f"<h2>Numbers</h2>{_numbers(groups)}{_sections(told.sections)}"
        f"<h2>Listen and look</h2><p>{len(shown)} sentences; up to {TOP_HZ // 1000} kHz, {FLOOR_DB:.0f} dB deep, all "
        f"of a row to one scale of time. Struck words were not heard, those behind them were heard instead.</p>"
        f"{_clips(groups, shown)}"
    )
    path.write_text(
        f"<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>{html.escape(title)}</title><style>{STYLE}</style>{body}</html>\n",
        encoding="utf-8",
    )


def _numbers(groups: Mapping[str, Sequence[Clip]]) -> str:
    told = {name: figures(clips) for name, clips in groups.items()}
    rows = {
        label: ({name: _number(values[row]) for name, values in told.items()}, better)
        for row, (label, better) in ROWS.items()
    }
    note = "The best of each row is marked. Opinion scores and similarity are networks' guesses; nobody listened."
    return _table(list(told), {label: row for label, row in rows.items() if any(row[0].values())}) + f"<p>{note}</p>"


def _sections(sections: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> str:
    if len(sections) < 2:
        return ""
    names = list(dict.fromkeys(name for part in sections.values() for name in part))
    rows = {
        title: ({name: _number(values["understood_percent"]) for name, values in part.items()}, MORE)
        for title, part in sections.items()
    }
    return f"<h2>Sentences understood without an error, by part, %</h2>{_table(names, rows)}"


def _table(names: Sequence[str], rows: Mapping[str, tuple[Mapping[str, float | None], int]]) -> str:
    head = "".join(f"<th>{html.escape(name)}</th>" for name in names)
    body = ""
    for label, (values, better) in rows.items():
        known = [value for value in values.values() if value is not None]
        best = max(known, key=lambda value: better * value) if better and len(set(known)) > 1 else None
        marks = [" class=best" if best is not None and values.get(name) == best else "" for name in names]
        cells = "".join(f"<td{mark}>{_plain(values.get(name))}</td>" for name, mark in zip(names, marks, strict=True))
        body += f"<tr><th>{html.escape(label)}</th>{cells}</tr>"
    return f"<div class=scroll><table><thead><tr><th></th>{head}</tr></thead>{body}</table></div>"


def _number(value: Any) -> float | None:
    return value["mean"] if isinstance(value, dict) else value


def _plain(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"


def _chosen(groups: Mapping[str, Sequence[Clip]], parts: Mapping[str, Sequence[str]]) -> list[str]:
    """Sentences to show: some of each part, in the set's order."""
    spoken = list(dict.fromkeys(clip.sentence for clips in groups.values() for clip in clips))
    if len(parts) < 2:
        return spoken[:SENTENCES]
    each = max(1, SENTENCES // len(parts))
    kept = {sentence for part in parts.values() for sentence in [s for s in part if s in spoken][:each]}
    return [sentence for sentence in spoken if sentence in kept]


def _clips(groups: Mapping[str, Sequence[Clip]], sentences: Sequence[str]) -> str:
    first = {name: {clip.sentence: clip for clip in reversed(clips)} for name, clips in groups.items()}
    parts = []
    for sentence in sentences:
        row = {name: clips.get(sentence) for name, clips in first.items()}
        longest = max((clip.seconds for clip in row.values() if clip is not None), default=0.0)
        cells = "".join(_cell(name, clip, longest) for name, clip in row.items())
        parts.append(f"<h3>{html.escape(sentence)}</h3><div class=row>{cells}</div>")
    return "".join(parts)


def _cell(name: str, clip: Clip | None, longest: float) -> str:
    head = f"<figure><figcaption>{html.escape(name)}</figcaption>"
    if clip is None or not len(clip.samples):
        return f"{head}<small>{html.escape(clip.failure if clip else 'not spoken')}</small></figure>"
    wrong = " ".join(
        f"<del>{html.escape(wanted)}</del> <ins>{html.escape(heard or '∅')}</ins>"
        for wanted, heard in clip.best_reading.differences
    )
    numbers = [f"{clip.seconds:.1f} s", f"{clip.best_reading.errors} of {clip.best_reading.words} words wrong"]
    scores = (("DNSMOS", "dnsmos"), ("DistillMOS", "distillmos"), ("similarity", "similarity"))
    numbers += [f"{label} {clip.scores[key]:.2f}" for label, key in scores if clip.scores.get(key) is not None]
    width = 100 * clip.seconds / longest
    return (
        f"{head}<div class=look><img alt='spectrogram of {html.escape(name, quote=True)}' style='width:{width:.1f}%' "
        f"src='data:image/png;base64,{_spectrogram(clip.samples)}'></div>"
        f"<audio controls preload=none src='data:audio/mpeg;base64,{_sound(clip.samples)}'></audio>"
        f"<small>{' · '.join(numbers)}<br>{wrong}</small></figure>"
    )


def _sound(samples: np.ndarray) -> str:
    buffer = io.BytesIO()
    Audio(samples).save(buffer, "mp3")
    return base64.b64encode(buffer.getvalue()).decode()


def _spectrogram(samples: np.ndarray) -> str:
    """A PNG, up to 8 kHz, 70 dB deep, in base64."""
    from matplotlib import image

    padded = np.pad(samples, (0, max(0, FFT - len(samples))))
    frames = np.lib.stride_tricks.sliding_window_view(padded, FFT)[::HOP] * np.hanning(FFT)
    bins = FFT * TOP_HZ // RATE_HZ
    power = 20 * np.log10(np.abs(np.fft.rfft(frames))[:, :bins].T + 1e-6)
    shown = np.clip(power - power.max() + FLOOR_DB, 0, FLOOR_DB)
    buffer = io.BytesIO()
    image.imsave(buffer, shown, cmap="magma", origin="lower", format="png", vmin=0, vmax=FLOOR_DB)
    return base64.b64encode(buffer.getvalue()).decode()
