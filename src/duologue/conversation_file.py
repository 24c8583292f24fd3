"""A conversation on disk: one safetensors file of ids and codes per turn, voices, and a JSON card. Knows no network."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from .audio import Audio
from .csm.frames import Segment
from .errors import InputError
from .spoken_context import HeardTurn
from .timebase import RATE_HZ
from .voice import MAX_SECONDS, Voice

FORMAT = "duologue-conversation-1"
MAX_FILE_BYTES = 256 * 2**20
MAX_TURNS = 10_000
HINT = "A conversation file is made by Conversation.save()."


@dataclass(frozen=True)
class SavedConversation:
    """What a file holds."""

    turns: list[HeardTurn]
    voices: dict[int, Voice]
    speaker: int


def write_turns(
    path: str | PathLike[str], turns: Sequence[HeardTurn], voices: Mapping[int, Voice], speaker: int, codec: str
) -> None:
    """Write a conversation. Raises InputError if the file can't be written."""
    from safetensors.numpy import save_file

    tensors: dict[str, np.ndarray] = {}
    for index, turn in enumerate(turns):
        tensors[f"turn.{index}.text"] = np.asarray(turn.segment.text, np.int32)
        for name, values in (("codes", turn.segment.codes), ("pointers", turn.segment.pointers)):
            if values is not None:
                tensors[f"turn.{index}.{name}"] = np.ascontiguousarray(values, np.int32)
    for number, voice in voices.items():
        tensors[f"voice.{number}.audio"] = np.rint(voice.audio.samples * 32767).astype(np.int16)
        for name, values in (("codes", voice.codes), ("pointers", voice.pointers)):
            if values is not None:
                tensors[f"voice.{number}.{name}"] = np.ascontiguousarray(values, np.int32)
    card = {
        "codec": codec,
        "speaker": speaker,
        "turns": [{"speaker": t.speaker, "text": t.text, "own": t.own, "accent": t.accent} for t in turns],
        "voices": {
            str(n): {"name": v.name, "transcript": v.transcript, "accent": v.accent, "codec": v.codec}
            for n, v in voices.items()
        },
    }
    try:
        save_file(tensors, str(path), {"format": FORMAT, "conversation": json.dumps(card, ensure_ascii=False)})
    except OSError as error:
        raise InputError(f"{path} can't be written: {error}.", hint="Check the folder.", field="output") from error


def read_turns(path: str | PathLike[str], codec: str) -> SavedConversation:
    """Read a conversation made with the codec of that fingerprint. Raises InputError for anything else."""
    card, tensors = _read(Path(path))
    try:
        if card["codec"] != codec:
            raise InputError(f"{path} was made with another codec.", hint="Load the model that made it.", field="model")
        if len(card["turns"]) > MAX_TURNS:
            raise InputError(f"{path} holds too many turns.", hint=HINT, field="conversation")
        turns = [_turn(entry, index, tensors) for index, entry in enumerate(card["turns"])]
        voices = {int(number): _voice(entry, int(number), tensors) for number, entry in card["voices"].items()}
        return SavedConversation(turns, voices, _number(card["speaker"]))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{path} is damaged: {error}.", hint=HINT, field="conversation") from error


def _read(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    from safetensors import SafetensorError, safe_open

    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise InputError(f"{path} is too large for a conversation.", hint=HINT, field="conversation")
        with safe_open(str(path), framework="numpy") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != FORMAT:
                raise InputError(f"{path} is not a saved conversation.", hint=HINT, field="conversation")
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        card = json.loads(metadata["conversation"])
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist.", hint="Check the path.", field="conversation") from error
    except (OSError, SafetensorError, ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
        raise InputError(f"{path} is damaged: {error}.", hint=HINT, field="conversation") from error
    if not isinstance(card, dict):
        raise InputError(f"{path} has no card.", hint=HINT, field="conversation")
    return card, tensors


def _turn(entry: dict[str, Any], index: int, tensors: Mapping[str, np.ndarray]) -> HeardTurn:
    text = _integers(tensors[f"turn.{index}.text"], 1)
    codes = _integers(tensors.get(f"turn.{index}.codes"), 2)
    pointers = _integers(tensors.get(f"turn.{index}.pointers"), 1)
    assert text is not None
    return HeardTurn(
        _number(entry["speaker"]), _words(entry["text"]), Segment(text, codes, pointers), bool(entry["own"]),
        _words(entry["accent"]),
    )  # fmt: skip


def _voice(entry: dict[str, Any], number: int, tensors: Mapping[str, np.ndarray]) -> Voice:
    audio = tensors[f"voice.{number}.audio"]
    if audio.ndim != 1 or audio.dtype != np.int16 or not 0 < len(audio) <= MAX_SECONDS * RATE_HZ:
        raise ValueError("a voice's audio is unusable")
    return Voice(
        _words(entry["name"]),
        _words(entry["transcript"]),
        Audio((audio / np.float32(32767)).astype(np.float32)),
        _number(number),
        _words(entry["accent"]),
        _integers(tensors.get(f"voice.{number}.codes"), 2),
        _integers(tensors.get(f"voice.{number}.pointers"), 1),
        _words(entry["codec"]),
    )


def _words(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} should be text")
    return value


def _number(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1_000:
        raise ValueError(f"{value!r} is no speaker number")
    return value


def _integers(values: np.ndarray | None, axes: int) -> np.ndarray | None:
    if values is None:
        return None
    if values.ndim != axes or values.dtype != np.int32:
        raise ValueError(f"whole numbers on {axes} axes were expected")
    return values.astype(np.int64)
