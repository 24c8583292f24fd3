"""What a codec's round trip costs: words, pitch, spectrum, opinion; and how its codebooks are used.

Speech comes from the held-out turns of a corpus or from a folder of recordings with texts beside them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from ..errors import InputError
from .asr import Judge
from .clips import Clip, figures
from .codec_metrics import codebook_use, intelligibility, mel_distance, pitch_kept
from .page import write_page
from .reading_clips import judge_words_again
from .report import summary, versions

SECONDS = 1.0  # shorter clips have no PESQ


def held_out_turns(shards: Path, most: int) -> list[Clip]:
    """Turns of a corpus that training never sees, longest-running voices mixed as they come. Raises InputError."""
    clips: list[Clip] = []
    for listing in sorted(shards.glob("[0-9]*.jsonl")):
        for line in listing.read_text(encoding="utf-8").splitlines():
            item = json.loads(line)
            for turn in item["turns"] if item["split"] != "train" else ():
                if len(clips) < most and turn["samples"] >= SECONDS * 24_000:
                    wav, _ = soundfile.read(
                        listing.with_suffix(".flac"), frames=turn["samples"], start=turn["start"], dtype="float32"
                    )
                    clips.append(Clip(turn["text"], turn["voice"], wav))
    if not clips:
        raise InputError(f"{shards} holds no held-out speech.", hint="Give another corpus.", field="shards")
    return clips


def recorded_clips(folder: Path, most: int) -> list[Clip]:
    """Recordings with a .txt of their words beside each."""
    from ..corpus.recordings import recordings

    found = [each for each in recordings(str(folder)) if each.text]
    if not found:
        raise InputError(f"{folder} has no sound with a .txt beside it.", field="sounds")
    return [Clip(each.text or "", each.voice, each.channels()[0]) for each in found[:most]]


def round_trip(codec: Any, clips: Sequence[Clip]) -> tuple[list[Clip], list[np.ndarray]]:
    """The clips through an engine's codec, and their codes (K, T)."""
    codes = [np.asarray(codec.encode(clip.samples)) for clip in clips]
    made = [
        Clip(clip.sentence, clip.voice, np.asarray(codec.decode(code))[: len(clip.samples)])
        for clip, code in zip(clips, codes, strict=True)
    ]
    return made, codes


def measure(
    codec: Any, clips: Sequence[Clip], judge: Judge | None, entries: int, page: Path | None = None
) -> dict[str, Any]:
    """All figures. Without a judge, none that needs to listen for words. `page` gets both forms of some clips."""
    from .naturalness import dnsmos

    made, codes = round_trip(codec, clips)
    pairs = [(clip.samples, back.samples) for clip, back in zip(clips, made, strict=True)]
    kept = [pitch_kept(*pair) for pair in pairs]
    voiced = sum(frames for _, frames in kept)
    heard = [intelligibility(*pair) for pair in pairs]
    if judge is not None:
        for group in (clips, made):
            judge_words_again(group, judge)
    for clip in (*clips, *made):
        opinion = dnsmos(clip.samples)
        clip.scores["dnsmos"] = opinion.overall if opinion else None
    if page is not None:
        write_page(page, "Through the codec and back", {"original": clips, "decoded": made})
    uses = codebook_use(np.concatenate(codes, axis=1), entries)
    return {
        "clips": len(clips),
        "seconds": round(sum(len(clip.samples) for clip in clips) / 24_000, 1),
        "pitch_within_10_percent": round(sum(s * n for s, n in kept if n) / max(1, voiced), 4),
        "voiced_frames": voiced,
        "log10_mel_distance": summary([mel_distance(*pair) for pair in pairs]),
        **{name: summary([each[name] for each in heard]) for name in heard[0]},
        "codebooks": [{"used": use.used, "perplexity": round(use.perplexity, 1)} for use in uses],
        "original": _told(clips, judge),
        "decoded": _told(made, judge),
    }


def _told(clips: Sequence[Clip], judge: Judge | None) -> dict[str, Any]:
    told = figures(clips)
    names = ["dnsmos"]
    names += ["words", "wer_percent", "wer_percent_reversed", "wer_percent_reread"] if judge is not None else []
    return {name: told[name] for name in names}


def evaluate(
    source: str | None, clips: Sequence[Clip], judge: Judge | None, out: Path, page: Path | None = None
) -> dict[str, Any]:
    """Measure a codec by name and write the figures as JSON."""
    from ..api import load_codec

    codec = load_codec(source)
    entries = codec.config.quantizer.entries
    result = {
        "what": "held-out speech through a codec and back, judged by machines",
        **versions(),
        "codec": codec.fingerprint,
        "codebooks_used": codec.num_codebooks,
        "judge": judge.name if judge is not None else None,
        **measure(codec, clips, judge, entries, page),
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return result
