"""`duologue evaluate`: what machines can say about how a voice or a codec sounds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import options as given

evaluate = typer.Typer(
    help="Measure a voice or a codec: words understood, voice kept, opinion scores. Needs duologue[evaluate].",
    no_args_is_help=True,
)
Out = Annotated[Path, typer.Option(help="Where the figures go (JSON).")]


@evaluate.command()
def voice(
    model: given.ModelName = None,
    sentences: Annotated[str, typer.Option(help="heldout40, heldout120, short60 or a text file.")] = "heldout120",
    voices: Annotated[str | None, typer.Option(help="Names, separated by commas; all of the model's.")] = None,
    seeds: Annotated[str, typer.Option(help="Numbers, separated by commas.")] = "1",
    retries: Annotated[int, typer.Option(help="What the library may try again; 0 counts first attempts.", min=0)] = 0,
    limit: Annotated[int | None, typer.Option(help="Only the first so many sentences.", min=1)] = None,
    reference: Annotated[
        list[str] | None, typer.Option(help="NAME=FOLDER of NNN.wav, one per sentence; repeatable.")
    ] = None,
    floor: Annotated[bool, typer.Option("--floor", help="Beside flite and espeak-ng, if they are installed.")] = False,
    judge: Annotated[str, typer.Option(help="base, a folder, or a name that faster-whisper knows.")] = "base",
    quick: Annotated[bool, typer.Option("--quick", help="Words and lengths only.")] = False,
    keep: Annotated[Path | None, typer.Option(help="Folder for the spoken audio.")] = None,
    page: Annotated[Path | None, typer.Option(help="Also write a page with sound, spectrograms and numbers.")] = None,
    engine: given.EngineName = "auto",
    threads: Annotated[int, typer.Option(min=1)] = 1,
    out: Out = Path("benchmarks/results/voice.json"),
) -> None:
    """Let a voice say held-out sentences and let judges listen."""
    from ..evaluation.voice import main

    words = ["--sentences", sentences, "--seeds", *seeds.split(","), "--retries", str(retries), "--judge", judge]
    words += ["--engine", engine, "--threads", str(threads), "--out", str(out)]
    words += ["--model", model] if model else []
    words += ["--voices", *voices.split(",")] if voices else []
    words += ["--limit", str(limit)] if limit else []
    words += [word for each in reference or () for word in ("--reference", each)]
    words += ["--keep", str(keep)] if keep else []
    words += ["--page", str(page)] if page else []
    words += [flag for flag, chosen in (("--quick", quick), ("--floor", floor)) if chosen]
    main(words)
