"""Listen to every utterance of finished shards again and note those that were not said as written.

Speech is read by Whisper joined into windows; an utterance that differs too much there is read once more alone, and
the better reading counts (Whisper now and then drops most of a window). What is found lies in `checks/NNNNN.json`
beside the shards, written whole or not at all; training leaves the bad turns out (training/code_shards.py). Audio,
listings and codes stay as they are.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import soundfile

from ..errors import InputError
from ..evaluation.asr import Samples, trim, windows
from ..evaluation.wer import character_rate, share_out

FOLDER = "checks"
MAX_CER = 0.15


class Listener(Protocol):
    """Something that reads speech; evaluation.asr.Judge is one."""

    name: str

    def transcribe(self, window: Samples) -> str:
        """Words heard in at most 30 s of 16 kHz sound (N,)."""
        ...


@dataclass(frozen=True)
class Heard:
    """What an utterance sounded like, and the share of characters that differ from what was to be said."""

    text: str
    cer: float


def listen(texts: Sequence[str], clips: Sequence[Samples], listener: Listener, most: float = MAX_CER) -> list[Heard]:
    """Read clips (N,) at 24 kHz, joined first, then alone where more than `most` of the characters differ."""
    found = [Heard("", 1.0)] * len(texts)
    for window in windows(clips):
        said = share_out([texts[number] for number in window.clips], listener.transcribe(window.samples))
        for number, words in zip(window.clips, said, strict=True):
            found[number] = Heard(words, character_rate(texts[number], words))
    for number, heard in enumerate(found):
        speech = trim(clips[number]) if heard.cer > most else ()
        if len(speech):
            alone = listener.transcribe(np.asarray(speech, np.float32))
            found[number] = min(heard, Heard(alone, character_rate(texts[number], alone)), key=lambda each: each.cer)
    return found


def check_shard(listing: Path, listener: Listener, most: float = MAX_CER) -> dict[str, Any]:
    """Listen to one shard; returns what `checks/NNNNN.json` holds."""
    items = [json.loads(line) for line in listing.read_text(encoding="utf-8").splitlines()]
    places = [(item["id"], number, turn) for item in items for number, turn in enumerate(item["turns"])]
    wav, _ = soundfile.read(listing.with_suffix(".flac"), dtype="float32")
    clips = [wav[turn["start"] : turn["start"] + turn["samples"]] for _, _, turn in places]
    heard = listen([turn["text"] for _, _, turn in places], clips, listener, most)
    bad = [
        {"item": item, "turn": number, "cer": round(each.cer, 3), "voice": turn["voice"],
         "text": turn["text"], "heard": each.text}
        for (item, number, turn), each in zip(places, heard, strict=True)
        if each.cer > most
    ]  # fmt: skip
    return {
        "listing": hashlib.sha256(listing.read_bytes()).hexdigest(),
        "listener": listener.name,
        "max_cer": most,
        "turns": len(places),
        "mean_cer": round(float(np.mean([each.cer for each in heard])), 4) if heard else 0.0,
        "bad": bad,
    }


def check_shards(shards: Path, listener: Listener, most: float = MAX_CER, limit: int | None = None) -> list[Path]:
    """Check every finished shard that isn't checked yet, at most `limit` of them; returns the files written.

    A check belongs to its listing and threshold: if either changed, the shard is listened to again.
    """
    listings = sorted(shards.glob("[0-9]*.jsonl"))
    if not listings:
        raise InputError(f"There are no shards in {shards}.", hint="Make or prepare a corpus first.", field="shards")
    written: list[Path] = []
    for listing in listings:
        target = shards / FOLDER / f"{listing.stem}.json"
        if limit is not None and len(written) >= limit:
            break
        if not _is_current(target, listing, most):
            target.parent.mkdir(exist_ok=True)
            temporary = target.with_name(f".{target.name}.{os.getpid()}")
            found = check_shard(listing, listener, most)
            temporary.write_text(json.dumps(found, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
            temporary.replace(target)
            written.append(target)
            print(f"shard {listing.stem}: {len(found['bad'])} of {found['turns']} turns are bad", flush=True)
    return written


def _is_current(target: Path, listing: Path, most: float) -> bool:
    if not target.is_file():
        return False
    told = json.loads(target.read_text(encoding="utf-8"))
    return bool(told["listing"] == hashlib.sha256(listing.read_bytes()).hexdigest() and told["max_cer"] == most)


def summary(shards: Path) -> dict[str, Any]:
    """What all checks of a corpus found: turns, bad ones in all and by voice, and the worst."""
    told = [json.loads(path.read_text(encoding="utf-8")) for path in sorted((shards / FOLDER).glob("*.json"))]
    bad = [turn for shard in told for turn in shard["bad"]]
    voices: dict[str, int] = {}
    for turn in bad:
        voices[turn["voice"]] = voices.get(turn["voice"], 0) + 1
    turns = sum(shard["turns"] for shard in told)
    return {
        "shards": len(told),
        "turns": turns,
        "bad": len(bad),
        "bad_percent": round(100 * len(bad) / turns, 2) if turns else None,
        "mean_cer": round(sum(shard["mean_cer"] * shard["turns"] for shard in told) / turns, 4) if turns else None,
        "bad_by_voice": dict(sorted(voices.items())),
        "worst": sorted(bad, key=lambda turn: -turn["cer"])[:10],
    }
