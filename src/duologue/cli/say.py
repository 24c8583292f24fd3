"""`duologue say`: text to speech, to a file, a pipe or the sound device."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import options as given

if TYPE_CHECKING:
    from ..speaking import Speech
    from .console import Console
    from .outlet import Outlet

TextWords = Annotated[list[str] | None, typer.Argument(help="What to say; stdin if left out.", show_default=False)]
TextFile = Annotated[str | None, typer.Option("--file", "-f", help="Read the text from a file, or - for stdin.")]
VoiceName = Annotated[
    str | None, typer.Option("--voice", help="A voice's name, a voice file, or a recording with --voice-text.")
]
VoiceText = Annotated[str | None, typer.Option("--voice-text", help="The exact words of the recording in --voice.")]
Speaker = Annotated[int | None, typer.Option(help="The speaker number to speak as.", min=0)]
Stream = Annotated[bool, typer.Option("--stream", help="Let sound out as it is made; failures can't be retried.")]
SideBySide = Annotated[
    int, typer.Option("--side-by-side", help="Sentences spoken at once: faster, but none hears the one before.")
]


def say(
    text: TextWords = None,
    file: TextFile = None,
    output: given.Output = None,
    voice: VoiceName = None,
    voice_text: VoiceText = None,
    speaker: Speaker = None,
    seed: given.Seed = None,
    temperature: given.Temperature = None,
    top_k: given.TopK = None,
    max_seconds: given.MaxSeconds = None,
    stream: Stream = False,
    retries: given.Retries = 3,
    raw_text: given.RawText = False,
    no_check: given.NoCheck = False,
    side_by_side: SideBySide = 1,
    model: given.ModelName = None,
    device: given.Device = "auto",
    engine: given.EngineName = "auto",
    revision: given.Revision = None,
    token: given.Token = None,
    offline: given.Offline = False,
    as_json: given.Json = False,
    quiet: given.Quiet = False,
) -> None:
    """Speak a text of any length.

    Without -o it plays on the sound device or, where there is none, writes speech.wav.
    """
    from .console import Console
    from .outlet import OpenOutlet

    words = _words(text, file)
    console = Console(quiet)
    speaks = given.generation(temperature, top_k, max_seconds, retries, raw_text, no_check, side_by_side)
    loaded = given.ModelOptions(model, device, engine, revision, token, offline).load()
    if loaded.card.noise:
        console.note(f"{loaded.name} has random weights: this will be noise, not speech.")
    chosen = _voice(voice, voice_text)
    speech = loaded.stream(words, voice=chosen, speaker=speaker, seed=seed, options=speaks)
    opened = OpenOutlet(output)
    if opened.note:
        console.note(opened.note)
    with opened as outlet:
        stopped = pour(speech if stream or output == "-" else speech.checked(), outlet, console)
    _report(speech, opened.outlet.where, console, as_json, stopped)
    if stopped:
        raise typer.Exit(130)


def _words(text: list[str] | None, file: str | None) -> str:
    from ..errors import InputError

    if text and file:
        raise InputError("Both a text and a file were given.", hint="Give one of them.", field="text")
    if text:
        return " ".join(text)
    if file is None and sys.stdin.isatty():
        raise InputError("There is no text to speak.", hint='duologue say "Hello there."', field="text")
    return given.read_text(file or "-")


def _voice(name: str | None, transcript: str | None) -> Any:
    """A name for the model to look up, or a voice made of a recording and its words."""
    from ..errors import InputError
    from ..voice import Voice

    if transcript is None:
        return name
    if name is None:
        raise InputError("--voice-text came without --voice.", hint="Name the recording.", field="voice")
    return Voice.from_audio(name, transcript)


def pour(speech: Speech, outlet: Outlet, console: Console) -> bool:
    """Speech into an outlet; True if Ctrl-C stopped it. What was made by then is written."""
    seconds = 0.0
    try:
        for chunk in speech:
            outlet.write(chunk)
            seconds += len(chunk) / 24_000
            console.progress(seconds, speech.report.elapsed_seconds)
    except KeyboardInterrupt:
        speech.close()
        outlet.write(speech.unfinished)
        console.note("Stopped; what was spoken so far is kept.")
        return True
    return False


def _report(speech: Speech, where: str, console: Console, as_json: bool, stopped: bool) -> None:
    from .console import print_json, spoken_line

    report = speech.report
    if as_json:
        values = {"output": where, "stopped": stopped, "command_seconds": round(console.elapsed, 3)} | report.to_dict()
        if where == "stdout":
            import json

            print(json.dumps(values, ensure_ascii=False), file=sys.stderr)
        else:
            print_json(values)
    console.note(
        f"{where}: {spoken_line(report.seconds, report.elapsed_seconds, report.first_audio_seconds, report.seed)}"
    )
