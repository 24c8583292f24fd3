"""`duologue voices`: list, add, show and remove voices."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from . import options as given

voices = typer.Typer(help="List voices; add one from a recording.", invoke_without_command=True, no_args_is_help=False)
Name = Annotated[str, typer.Argument(help="The voice's name.")]


@voices.callback()
def listing(context: typer.Context, model: given.ModelName = None, as_json: given.Json = False) -> None:
    """List the voices of a model and those added on this machine."""
    if context.invoked_subcommand is None:
        _list(model, as_json)


def _list(model: str | None, as_json: bool) -> None:
    from ..voice import Voice, voice_folder
    from ..weights.load import locate
    from .console import print_json

    rows = [_row(Voice.load(path), "model") for path in locate(model).voices]
    rows += [_row(Voice.load(path), "added") for path in sorted(voice_folder().glob("*.safetensors"))]
    if as_json:
        return print_json(rows)
    for row in rows:
        typer.echo(
            f"{row['name']:16} {row['from']:6} speaker {row['speaker']}  {row['seconds']:5.1f} s  {row['accent']}"
        )
    return None


def _row(voice: Any, origin: str) -> dict[str, Any]:
    return {
        "name": voice.name,
        "from": origin,
        "speaker": voice.speaker,
        "seconds": round(voice.seconds, 2),
        "accent": voice.accent,
        "transcript": voice.transcript,
        "source": voice.source,
        "licence": voice.licence,
    }


@voices.command()
def add(
    name: Name,
    audio: Annotated[str, typer.Argument(help="A recording of 1 to 30 s; 6 to 12 s work best.")],
    text: Annotated[str, typer.Option("--text", "-t", help="Its exact words.")],
    output: Annotated[str | None, typer.Option("--output", "-o", help="A file instead of this machine's list.")] = None,
    speaker: Annotated[int, typer.Option(help="The number to hear it as.", min=0)] = 0,
    accent: Annotated[str, typer.Option(help="american or british.")] = "american",
    source: Annotated[str, typer.Option(help="Who speaks, and that they agreed.")] = "",
    licence: Annotated[str, typer.Option(help="The recording's licence.")] = "",
    as_json: given.Json = False,
    quiet: given.Quiet = False,
) -> None:
    """Make a voice of a recording and its exact words."""
    from ..voice import Voice, voice_folder
    from .console import Console, print_json

    voice = Voice.from_audio(
        audio, text, name=name, speaker=speaker, accent=accent, source=source, licence=licence
    )  # fmt: skip
    if output is None:
        voice_folder().mkdir(parents=True, exist_ok=True)
        output = str(voice_folder() / f"{name}.safetensors")
    voice.save(output)
    console = Console(quiet)
    for warning in voice.warnings:
        console.note(warning)
    if as_json:
        print_json(_row(voice, "added") | {"output": output, "warnings": list(voice.warnings)})
    console.note(f"{output}: {voice.seconds:.1f} s")


@voices.command()
def show(name: Name, model: given.ModelName = None) -> None:
    """Print all that is known of a voice, as JSON."""
    from .console import print_json

    print_json(_row(*_find(name, model)))


@voices.command()
def play(name: Name, output: given.Output = None, model: given.ModelName = None) -> None:
    """Hear a voice's prompt, or write it to a file."""
    from .outlet import OpenOutlet

    voice, _ = _find(name, model)
    opened = OpenOutlet(output)
    with opened as outlet:
        outlet.write(voice.audio.samples)
    typer.echo(opened.outlet.where, err=True)


@voices.command()
def remove(name: Name) -> None:
    """Remove a voice that was added on this machine."""
    from ..errors import VoiceError
    from ..voice import voice_folder

    path = voice_folder() / f"{name}.safetensors"
    if "/" in name or not path.is_file():
        raise VoiceError(f"No voice {name!r} was added on this machine.", hint="`duologue voices` lists them.")
    path.unlink()


def _find(name: str, model: str | None) -> tuple[Any, str]:
    from ..errors import VoiceError
    from ..voice import Voice, voice_folder
    from ..weights.load import locate

    if name.endswith(".safetensors"):
        return Voice.load(name), "file"
    added = voice_folder() / f"{name}.safetensors"
    if "/" not in name and added.is_file():
        return Voice.load(added), "added"
    known = [Voice.load(path) for path in locate(model).voices]
    for voice in known:
        if voice.name == name:
            return voice, "model"
    hint = f"Known voices: {', '.join(voice.name for voice in known)}."
    raise VoiceError(f"There is no voice {name!r}.", hint=hint, field="voice")
