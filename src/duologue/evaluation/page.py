"""One page to listen and look: each sentence by every speaker, with its sound, spectrogram and numbers side by side.

The page holds everything inside itself and asks no other server for anything.
"""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ..audio import Audio
from ..timebase import RATE_HZ
from .clips import Clip, figures

SENTENCES = 12  # with sound; the numbers are over all of them
FFT, HOP, TOP_HZ = 1024, 240, 8000
FLOOR_DB = 70.0
ROWS = (
    "words", "wer_percent", "wer_percent_reversed", "wer_percent_reread", "understood_percent",
    "ended_by_itself_percent", "right_length_percent", "right_voice_percent", "similarity", "similarity_lead", "dnsmos",
    "distillmos", "pace", "silence_share", "real_time_factor",
)  # fmt: skip
STYLE = """body{font:15px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:75rem;padding:0 1rem}
table{border-collapse:collapse}td,th{padding:.3rem .6rem;border:1px solid #8884;text-align:left;vertical-align:top}
img{width:100%;height:7rem;image-rendering:auto}audio{width:100%;min-width:12rem}.scroll{overflow-x:auto}
small{color:#777}@media(prefers-color-scheme:dark){body{background:#151515;color:#ddd}}"""


def write_page(path: Path, title: str, groups: Mapping[str, Sequence[Clip]]) -> None:
    """Write the page of speakers (name to clips, sentence by sentence in the same order)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    body = f"<h1>{html.escape(title)}</h1>{_numbers(groups)}<h2>Clips</h2>{_clips(groups)}"
    path.write_text(
        f"<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>{html.escape(title)}</title><style>{STYLE}</style>{body}</html>\n",
        encoding="utf-8",
    )


def _numbers(groups: Mapping[str, Sequence[Clip]]) -> str:
    told = {name: figures(clips) for name, clips in groups.items()}
    head = "".join(f"<th>{html.escape(name)}</th>" for name in told)
    rows = ""
    for row in ROWS:
        cells = "".join(f"<td>{_plain(values[row])}</td>" for values in told.values())
        rows += f"<tr><th>{row.replace('_', ' ')}</th>{cells}</tr>"
    return f"<div class=scroll><table><tr><th></th>{head}</tr>{rows}</table></div>"


def _plain(value: object) -> str:
    if isinstance(value, dict):
        value = value["mean"]
    return "–" if value is None else str(value)


def _clips(groups: Mapping[str, Sequence[Clip]]) -> str:
    sentences = list(dict.fromkeys(clip.sentence for clips in groups.values() for clip in clips))[:SENTENCES]
    first = {name: {clip.sentence: clip for clip in reversed(clips)} for name, clips in groups.items()}
    parts = []
    for sentence in sentences:
        cells = "".join(f"<td>{_cell(name, clips.get(sentence))}</td>" for name, clips in first.items())
        parts.append(f"<h3>{html.escape(sentence)}</h3><div class=scroll><table><tr>{cells}</tr></table></div>")
    return "".join(parts)


def _cell(name: str, clip: Clip | None) -> str:
    if clip is None or not len(clip.samples):
        return f"{html.escape(name)}<br><small>{html.escape(clip.failure if clip else 'not spoken')}</small>"
    wrong = ", ".join(f"{wanted or '∅'} → {heard or '∅'}" for wanted, heard in clip.errors.differences)
    opinion = clip.scores.get("dnsmos")
    numbers = [f"{clip.seconds:.1f} s", f"{clip.errors.errors} of {clip.errors.words} words wrong"]
    numbers += [f"DNSMOS {opinion:.2f}"] if opinion is not None else []
    return (
        f"{html.escape(name)}<img alt='spectrogram' src='data:image/png;base64,{_spectrogram(clip.samples)}'>"
        f"<audio controls preload=none src='data:audio/mpeg;base64,{_sound(clip.samples)}'></audio>"
        f"<small>{' · '.join(numbers)}<br>{html.escape(wrong)}</small>"
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
