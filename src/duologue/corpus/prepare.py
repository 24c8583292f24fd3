"""From recordings to shards that training reads: cut, heard, checked, timed, levelled; what is left out says why.

Shard NNNNN.flac/.jsonl has the form of the synthetic corpus. `reports/NNNNN.json` is written last: a shard with a
report is done, so a run that was stopped goes on. Texts come from the source or, without one, from the ASR.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import soxr

from ..audio import Audio, normalise_level
from ..errors import AudioError, InputError
from ..evaluation.asr import ASR_RATE_HZ, HeardWord, Samples
from ..evaluation.wer import character_rate
from ..text.lexicon import Accent
from ..text.normalize import normalize
from ..text.phonemes import Phonemizer
from ..text.units import units_of
from ..timebase import RATE_HZ, samples_to_seconds
from .cutting import Diariser, Piece, dialogues, pieces_of
from .filters import BLOCK, Limits, block_levels, fault_of_pace, fault_of_sound, level_of_speech
from .recordings import Recording, plain_name
from .synthesize import write_shard
from .timing import phone_durations

EDGE_BLOCKS = 4  # of 25 ms kept before and after speech
RECORDINGS_PER_SHARD = 100
VALIDATION_EVERY = 20  # items
Turn = tuple[np.ndarray, dict[str, Any]]  # sound (N,) and listing


class Ear(Protocol):
    """An ASR that tells when it heard each word; evaluation.asr.Judge is one."""

    name: str

    def words(self, clip: Samples) -> list[HeardWord]:
        """Words of at most 30 s of 16 kHz sound."""
        ...


@dataclass(frozen=True)
class Preparation:
    """How recordings become a corpus."""

    accent: Accent = "us"
    limits: Limits = field(default_factory=Limits)
    two_channels: bool = False  # one speaker a channel, as telephone calls are kept
    channel_voices: tuple[str, ...] = ()  # their names; without: the recording's name and a letter
    diariser: Diariser | None = None
    source: str = ""  # said in voice files and cards
    licence: str = ""


@dataclass
class Made:
    """What came of some recordings."""

    waves: list[np.ndarray] = field(default_factory=list)
    items: list[dict[str, Any]] = field(default_factory=list)
    dropped: list[dict[str, Any]] = field(default_factory=list)
    position: int = 0  # samples so far

    def drop(self, name: str, start: float, seconds: float, reason: str, **more: Any) -> None:
        """Note a piece that is left out."""
        self.dropped.append(
            {"recording": name, "start": round(start, 2), "seconds": round(seconds, 2), "reason": reason, **more}
        )


def prepare(found: Sequence[Recording], out: Path, ear: Ear, plan: Preparation | None = None) -> dict[str, Any]:
    """Make shards of all recordings; returns the report, which also goes to `out/report.json`.

    Raises InputError if `out` holds shards of other recordings.
    """
    plan = plan or Preparation()
    (out / "reports").mkdir(parents=True, exist_ok=True)
    maker = _Maker(ear, plan, Phonemizer(plan.accent))
    for index, first in enumerate(range(0, len(found), RECORDINGS_PER_SHARD)):
        group = found[first : first + RECORDINGS_PER_SHARD]
        report = out / "reports" / f"{index:05d}.json"
        names = hashlib.sha256("\n".join(f"{each.name} {each.voice}" for each in group).encode()).hexdigest()
        if report.is_file():
            if json.loads(report.read_text(encoding="utf-8"))["recordings"] != names:
                raise InputError(f"{out} holds shards of other recordings.", hint="Give a new folder.", field="out")
            continue
        made = Made()
        for recording in group:
            _take(recording, made, maker)
        _split(made.items)
        if made.items:
            write_shard(out, index, np.concatenate(made.waves), made.items)
        told = {"recordings": names, "ear": ear.name, **_figures(made)}
        _write(report, told)
        print(f"shard {index}: {told['kept_turns']} turns, {told['kept_seconds']:.0f} s kept", flush=True)
    whole = summary(out)
    _write(out / "report.json", whole)
    return whole


def _take(recording: Recording, made: Made, maker: _Maker) -> None:
    """Add one recording's items, or say why not."""
    plan = maker.plan
    try:
        channels = recording.channels()
    except AudioError as error:
        made.drop(recording.name, 0, 0, "unreadable", detail=error.message)
        return
    mono = channels[0] if len(channels) == 1 else np.mean(channels, axis=0).astype(np.float32)
    if plan.two_channels:
        if len(channels) != 2:
            made.drop(recording.name, 0, samples_to_seconds(len(mono)), "not two channels")
            return
        groups = dialogues(_channel_pieces(recording, channels, plan))
    elif recording.text is not None:
        groups = [[Piece(recording.voice, 0.0, mono)]]
    else:
        pieces = pieces_of(mono, recording.voice, plan.diariser)
        groups = dialogues(pieces) if plan.diariser is not None else [[piece] for piece in pieces]
        if not groups:
            made.drop(recording.name, 0, samples_to_seconds(len(mono)), "no speech")
    for group in groups:
        text = recording.text if not plan.two_channels else None
        turns = [_turn_or_note(piece, text, recording.name, made, maker) for piece in group]
        _add_runs(turns, made)


def _channel_pieces(recording: Recording, channels: Sequence[np.ndarray], plan: Preparation) -> list[Piece]:
    names = plan.channel_voices or tuple(f"{plain_name(Path(recording.name).name)}-{letter}" for letter in "ab")
    return [piece for wav, voice in zip(channels, names, strict=True) for piece in pieces_of(wav, voice)]


class _LeftOut(Exception):
    """Why a piece can't be used; `facts` go into the report."""

    def __init__(self, reason: str, **facts: Any) -> None:
        super().__init__(reason)
        self.reason, self.facts = reason, facts


def _turn_or_note(piece: Piece, text: str | None, name: str, made: Made, maker: _Maker) -> Turn | None:
    try:
        return maker.turn(piece, text, name)
    except _LeftOut as why:
        seconds = samples_to_seconds(len(piece.samples))
        made.drop(name, piece.start, seconds, why.reason, voice=piece.voice, **why.facts)
        return None


@dataclass
class _Maker:
    """Makes a listed turn of a piece."""

    ear: Ear
    plan: Preparation
    phonemizer: Phonemizer

    def turn(self, piece: Piece, text: str | None, name: str) -> Turn:
        """One piece as sound and listing. Raises _LeftOut."""
        plan = self.plan
        if fault := fault_of_sound(piece.samples, plan.limits):
            raise _LeftOut(fault)
        wav = _trimmed(normalise_level(Audio(piece.samples)).samples)
        heard = self.ear.words(np.asarray(soxr.resample(wav, RATE_HZ, ASR_RATE_HZ), np.float32))
        said = " ".join(word.text for word in heard)
        words = text or said
        if not any(character.isalnum() for character in words):
            raise _LeftOut("no words")
        error = character_rate(words, said)
        if text is not None and error > plan.limits.max_cer:
            raise _LeftOut("heard otherwise", text=text, heard=said, cer=round(error, 3))
        spoken = normalize(words)
        if fault := fault_of_pace(spoken, len(wav) / RATE_HZ, plan.limits):
            raise _LeftOut(fault, text=words)
        phonemes = self.phonemizer.phonemize(spoken)
        durations = phone_durations(spoken, phonemes, wav, heard)
        if durations is None or not units_of(phonemes):
            raise _LeftOut("words and phones can't be paired", text=words)
        listing = {
            "voice": piece.voice, "text": spoken, "phonemes": phonemes, "durations": durations,
            "accent": "british" if plan.accent == "gb" else "american", "recording": name, "cer": round(error, 3),
        }  # fmt: skip
        return wav, listing | {key: value for key in ("source", "licence") if (value := getattr(plan, key))}


def _trimmed(wav: np.ndarray) -> np.ndarray:
    """Whole 25 ms blocks, with 100 ms of edge around the speech."""
    levels = block_levels(wav)
    loud = np.flatnonzero(levels > 0.05 * level_of_speech(levels))
    first, last = max(0, loud[0] - EDGE_BLOCKS), min(len(levels), loud[-1] + 1 + EDGE_BLOCKS)
    return wav[first * BLOCK : last * BLOCK]


def _add_runs(turns: Sequence[Turn | None], made: Made) -> None:
    """Turns that follow each other become one item; a turn that was left out parts them."""
    run: list[dict[str, Any]] = []
    for turn in (*turns, None):
        if turn is not None:
            wav, listing = turn
            run.append({**listing, "start": made.position, "samples": len(wav)})
            made.waves.append(wav)
            made.position += len(wav)
        elif run:
            made.items.append(
                {"id": len(made.items), "kind": "chat" if len(run) > 1 else "line", "split": "train", "turns": run}
            )
            run = []


def _split(items: list[dict[str, Any]]) -> None:
    """Every twentieth item is held out; at least the last one, if there are two."""
    held_out = range(VALIDATION_EVERY // 2, len(items), VALIDATION_EVERY) or range(max(1, len(items) - 1), len(items))
    for number in held_out:
        items[number]["split"] = "validation"


def _figures(made: Made) -> dict[str, Any]:
    turns = [turn for item in made.items for turn in item["turns"]]
    return {
        "kept_items": len(made.items),
        "kept_turns": len(turns),
        "kept_seconds": round(made.position / RATE_HZ, 1),
        "dropped": made.dropped,
    }


def summary(out: Path) -> dict[str, Any]:
    """All shards' reports together: what was kept, and how much was dropped for which reason."""
    told = [json.loads(path.read_text(encoding="utf-8")) for path in sorted((out / "reports").glob("*.json"))]
    dropped = [each for report in told for each in report["dropped"]]
    seconds: Counter[str] = Counter()
    for each in dropped:
        seconds[each["reason"]] += each["seconds"]
    counts = Counter(each["reason"] for each in dropped)
    return {
        "shards": len(told),
        **{key: sum(report[key] for report in told) for key in ("kept_items", "kept_turns", "kept_seconds")},
        "dropped": {name: {"pieces": n, "seconds": round(seconds[name], 1)} for name, n in counts.most_common()},
        "examples": dropped[:20],
    }


def _write(path: Path, values: dict[str, Any]) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(values, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    temporary.replace(path)
