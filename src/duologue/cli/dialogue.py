"""`duologue dialogue`: a script of several speakers to sound, each turn spoken with the sound of those before it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import options as given

if TYPE_CHECKING:
    import numpy as np

    from ..api import Model
    from ..conversation import Conversation
    from ..speaking import Speech
    from ..text.script import ScriptTurn
    from .console import Console
    from .outlet import FileOutlet

Script = Annotated[str, typer.Argument(help="A script: [0]Hello. [1]Hi! or NAME: text lines; - for stdin.")]
Cast = Annotated[
    list[str] | None,
    typer.Option("--voice", help="NAME=voice or 0=voice; may be given several times. Others get the model's voices."),
]
EachTurn = Annotated[Path | None, typer.Option("--turns", help="A folder: also one file per turn, 001-NAME.wav …")]
Times = Annotated[Path | None, typer.Option("--times", help="Write when each turn starts and ends, as JSON.")]
Gap = Annotated[float, typer.Option(help="Seconds of silence between turns.", min=0.0, max=10.0)]


@dataclass
class _Scene:
    """A dialogue while it is spoken."""

    conversation: Conversation
    seed: int
    gap: float
    turns_folder: Path | None
    samples: int = 0
    turns: list[dict[str, Any]] = field(default_factory=list)


def dialogue(
    script: Script,
    output: Annotated[
        str, typer.Option("--output", "-o", help="wav, flac, mp3, opus, or - for raw s16le.")
    ] = "dialogue.wav",
    voice: Cast = None,
    turns: EachTurn = None,
    times: Times = None,
    gap: Gap = 0.2,
    seed: given.Seed = None,
    temperature: given.Temperature = None,
    top_k: given.TopK = None,
    retries: given.Retries = 3,
    raw_text: given.RawText = False,
    no_check: given.NoCheck = False,
    model: given.ModelName = None,
    device: given.Device = "auto",
    engine: given.EngineName = "auto",
    revision: given.Revision = None,
    token: given.Token = None,
    offline: given.Offline = False,
    as_json: given.Json = False,
    quiet: given.Quiet = False,
) -> None:
    """Speak a script of several speakers."""
    from ..speaking import new_seed
    from ..text.script import parse_script
    from .console import Console, print_json
    from .outlet import FileOutlet

    parts = parse_script(given.read_text(script))
    console = Console(quiet)
    loaded = given.ModelOptions(model, device, engine, revision, token, offline).load()
    speaks = given.generation(temperature, top_k, None, retries, raw_text, no_check)
    conversation = loaded.conversation(_cast(loaded, parts, voice or []), options=speaks)
    scene = _Scene(conversation, new_seed() if seed is None else seed, gap, turns)
    if turns is not None:
        turns.mkdir(parents=True, exist_ok=True)
    outlet = FileOutlet(output)
    stopped = _perform(scene, parts, outlet, console)
    summary = {"output": outlet.where, "seconds": scene.samples / 24_000, "seed": scene.seed, "turns": scene.turns}
    if times is not None:
        import json

        times.write_text(json.dumps(summary, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    if as_json and output != "-":
        print_json(summary)
    console.note(
        f"{outlet.where}: {len(scene.turns)} turns, {scene.samples / 24_000:.1f} s of audio, seed {scene.seed}"
    )
    if stopped:
        raise typer.Exit(130)


def _cast(model: Model, parts: list[ScriptTurn], given_voices: list[str]) -> dict[int, Any]:
    """A voice for every speaker of the script: as asked for, else the model's own, in order."""
    from ..errors import InputError

    numbers = {part.speaker: part.name for part in parts}
    cast: dict[int, Any] = {}
    for entry in given_voices:
        who, equals, voice = entry.partition("=")
        speaker = next((n for n, name in numbers.items() if who.strip().casefold() in (str(n), name.casefold())), None)
        if not equals or speaker is None:
            hint = f"Speakers of this script: {', '.join(numbers.values())}."
            raise InputError(f"{entry!r} names no speaker of the script.", hint=hint, field="voice")
        cast[speaker] = voice.strip()
    free = [name for name in model.voices if name not in cast.values()]
    for speaker in numbers:
        if speaker not in cast and free:
            cast[speaker] = free.pop(0)
    return dict(sorted(cast.items()))


def _perform(scene: _Scene, parts: list[ScriptTurn], outlet: FileOutlet, console: Console) -> bool:
    """Speak every turn into the outlet; True if Ctrl-C stopped it."""
    speech: Speech | None = None
    try:
        for index, part in enumerate(parts):
            if index:
                _silence(scene, outlet)
            speech = scene.conversation.stream(part.text, speaker=part.speaker, seed=(scene.seed + index) % 2**31)
            _perform_one(scene, index, part, speech, outlet, console)
    except KeyboardInterrupt:
        if speech is not None:
            speech.close()
            outlet.write(speech.unfinished)
        console.note("Stopped; what was spoken so far is kept.")
        return True
    finally:
        outlet.close()
    return False


def _perform_one(
    scene: _Scene, index: int, part: ScriptTurn, speech: Speech, outlet: FileOutlet, console: Console
) -> None:
    import numpy as np

    start, chunks = scene.samples, []
    for chunk in speech.checked():
        outlet.write(chunk)
        chunks.append(chunk)
        scene.samples += len(chunk)
        console.progress(scene.samples / 24_000, speech.report.elapsed_seconds)
    report = speech.report
    entry: dict[str, Any] = {
        "speaker": part.name, "text": part.text, "start": start / 24_000, "end": scene.samples / 24_000,
        "seed": report.seed, "attempts": report.attempts, "dropped_turns": report.dropped_turns,
    }  # fmt: skip
    if scene.turns_folder is not None:
        entry["file"] = str(_own_file(scene.turns_folder, index, part, np.concatenate(chunks)))
    scene.turns.append(entry)


def _own_file(folder: Path, index: int, part: ScriptTurn, samples: np.ndarray) -> Path:
    from ..audio import Audio

    safe = "".join(letter if letter.isalnum() else "-" for letter in part.name)
    path = folder / f"{index + 1:03d}-{safe}.wav"
    Audio(samples).save(path)
    return path


def _silence(scene: _Scene, outlet: FileOutlet) -> None:
    import numpy as np

    samples = np.zeros(int(scene.gap * 24_000), np.float32)
    outlet.write(samples)
    scene.samples += len(samples)
