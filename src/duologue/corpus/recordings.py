"""A user's recordings, wherever they lie: folders with texts beside, tables (also LJSpeech's), Hugging Face datasets.

Finds sound and words; judges and cuts nothing. Sound is read only when it is asked for.
"""

from __future__ import annotations

import csv
import functools
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from ..audio import from_samples, to_audio
from ..errors import AudioError, BackendUnavailable, InputError

Samples = np.ndarray
ENDINGS = (".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a", ".aac", ".webm")
TEXT_ENDINGS = (".txt", ".lab", ".normalized.txt")
FILE_KEYS = ("file_name", "file", "path", "audio", "audio_filepath", "wav", "id")
TEXT_KEYS = ("text", "transcript", "transcription", "sentence", "normalized_text")
VOICE_KEYS = ("speaker", "voice", "speaker_id", "client_id")
LONGEST_FILE = 4 * 3600.0  # seconds


@dataclass(frozen=True)
class Recording:
    """One file or row: who speaks, the words if they are known, and how to read its channels, each (N,) at 24 kHz."""

    name: str
    voice: str
    text: str | None
    channels: Callable[[], list[Samples]]


def recordings(source: str, voices: Sequence[str] = (), split: str = "train") -> list[Recording]:
    """Everything in `source`: a folder of sound, a folder or file with a table, or a dataset on disk or by name.

    `voices` names the speakers where the source doesn't; the first one counts for single-channel files. Raises
    InputError for a source without recordings.
    """
    path = Path(source).expanduser()
    voice = voices[0] if voices else ""
    if path.is_dir() and ((path / "dataset_info.json").is_file() or (path / "dataset_dict.json").is_file()):
        found = list(_of_dataset(_stored_dataset(path, split), voice))
    elif path.is_dir():
        tables = [p for name in ("metadata.csv", "metadata.jsonl", "metadata.tsv") if (p := path / name).is_file()]
        found = list(_of_table(tables[0], voice)) if tables else list(_of_folder(path, voice))
    elif path.is_file() and path.suffix in (".csv", ".jsonl", ".tsv"):
        found = list(_of_table(path, voice))
    elif path.is_file():
        found = [_of_file(path, path.stem, voice or "speaker", _text_beside(path))]
    elif re.fullmatch(r"[\w.-]+/[\w.-]+", source):
        found = list(_of_dataset(_named_dataset(source, split), voice))
    else:
        raise InputError(f"{source} does not exist.", hint="Give a folder, a table or a dataset.", field="source")
    if not found:
        raise InputError(f"There are no recordings in {source}.", hint=f"Known: {' '.join(ENDINGS)}.", field="source")
    return found


def plain_name(name: str) -> str:
    """A voice's name as files and options can carry it: letters, digits, - and _."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", name.strip()).strip("-")[:40] or "speaker"


def _of_file(path: Path, name: str, voice: str, text: str | None) -> Recording:
    return Recording(name, plain_name(voice), text, lambda: _channels(path))


def _channels(path: Path) -> list[Samples]:
    """Each channel of a file at 24 kHz; files that soundfile can't read come as one, mixed."""
    try:
        with soundfile.SoundFile(str(path)) as file:
            if file.channels > 1 and file.frames <= LONGEST_FILE * file.samplerate:
                wav = file.read(dtype="float32", always_2d=True)
                return [from_samples(channel, file.samplerate).samples for channel in wav.T]
    except soundfile.LibsndfileError:
        pass
    return [to_audio(path, max_seconds=LONGEST_FILE).samples]


def _of_folder(folder: Path, voice: str) -> Iterator[Recording]:
    """Sound files with texts beside them. Below a folder per speaker, the folder's name is the voice."""
    for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in ENDINGS):
        inside = path.relative_to(folder)
        owner = voice or (inside.parts[0] if len(inside.parts) > 1 else "speaker")
        yield _of_file(path, str(inside.with_suffix("")), owner, _text_beside(path))


def _text_beside(path: Path) -> str | None:
    for ending in TEXT_ENDINGS:
        beside = path.with_suffix(ending)
        if beside.is_file():
            return " ".join(beside.read_text(encoding="utf-8").split()) or None
    return None


def _of_table(table: Path, voice: str) -> Iterator[Recording]:
    for number, row in enumerate(_rows(table), 1):
        name, text = _first(row, FILE_KEYS), _first(row, TEXT_KEYS)
        if not name:
            raise InputError(
                f"Row {number} of {table} names no file.",
                hint=f"Known columns: {', '.join(FILE_KEYS)}.",
                field="source",
            )
        owner = voice or _first(row, VOICE_KEYS) or "speaker"
        yield _of_file(_sound_of(table.parent, name, table), name, owner, text or None)


def _rows(table: Path) -> Iterator[dict[str, Any]]:
    lines = table.read_text(encoding="utf-8").splitlines()
    if table.suffix == ".jsonl":
        yield from (json.loads(line) for line in lines if line.strip())
        return
    head = lines[0] if lines else ""
    mark = max("|\t,;", key=head.count)
    names = [name.strip().lower() for name in head.split(mark)]
    if set(names) & set(FILE_KEYS):
        yield from csv.DictReader([mark.join(names), *lines[1:]], delimiter=mark)
        return
    for cells in csv.reader(lines, delimiter=mark, quoting=csv.QUOTE_NONE):  # LJSpeech: id | text | text in words
        yield {"id": cells[0], "text": cells[1] if len(cells) > 1 else ""}


def _first(row: dict[str, Any], keys: Sequence[str]) -> str:
    return next((str(row[key]).strip() for key in keys if row.get(key)), "")


def _sound_of(folder: Path, name: str, table: Path) -> Path:
    for base in (folder / name, folder / "wavs" / name, folder / "clips" / name):
        for path in (base, *(base.with_name(base.name + ending) for ending in ENDINGS)):
            if path.is_file():
                return path
    raise InputError(f"{table} names {name!r}, which is not beside it.", hint="Paths count from the table's folder.")


def _datasets() -> Any:
    try:
        import datasets
    except ImportError as error:
        raise BackendUnavailable(
            "Reading datasets needs the package `datasets`.", hint="pip install 'duologue[datasets]'"
        ) from error
    return datasets


def _stored_dataset(path: Path, split: str) -> Any:
    stored = _datasets().load_from_disk(str(path))
    return stored[split] if hasattr(stored, "keys") else stored


def _named_dataset(name: str, split: str) -> Any:
    return _datasets().load_dataset(name, split=split)


def _of_dataset(rows: Any, voice: str) -> Iterator[Recording]:
    """Rows with an audio column and, if there is one, a text column."""
    columns = set(rows.column_names)
    if "audio" not in columns:
        raise InputError(f"The dataset has no column `audio`, but {', '.join(sorted(columns))}.", field="source")
    if hasattr(rows.features["audio"], "decode"):
        rows = rows.cast_column("audio", _datasets().Audio(decode=False))
    for number in range(len(rows)):
        told = {key: rows[number][key] for key in columns - {"audio"}}
        owner = voice or _first(told, VOICE_KEYS) or "speaker"
        text = _first(told, TEXT_KEYS) or None
        yield Recording(f"{number:06d}", plain_name(owner), text, functools.partial(_row_sound, rows, number))


def _row_sound(rows: Any, number: int) -> list[Samples]:
    return _cell(rows[number]["audio"])


def _cell(audio: Any) -> list[Samples]:
    """A dataset's audio: bytes of a file, its path, or samples with a rate."""
    if audio.get("bytes"):
        return [to_audio(audio["bytes"]).samples]
    if audio.get("path"):
        return _channels(Path(audio["path"]))
    if audio.get("array") is not None:
        return [from_samples(np.asarray(audio["array"], np.float32), int(audio["sampling_rate"])).samples]
    raise AudioError("A row of the dataset holds no sound.", field="audio")
