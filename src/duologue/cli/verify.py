"""`duologue verify`: does a recording carry this server's tag? Thin: the work is in duologue.server.watermark."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from .options import Json


def verify(
    recording: Annotated[Path, typer.Argument(help="A sound file.")],
    key: Annotated[str, typer.Option(envvar="DUOLOGUE_WATERMARK_KEY", show_default=False, help="The server's key.")],
    as_json: Json = False,
) -> None:
    """Look for the noise tag that `duologue serve --watermark-key` adds. Exit code 1: it isn't there."""
    from ..audio_files import read_audio
    from ..server.watermark import FOUND, MIN_SECONDS, find_tag

    audio = read_audio(recording)
    score = find_tag(audio.samples, key)
    found = score > FOUND
    if as_json:
        typer.echo(json.dumps({"found": found, "score": round(score, 2), "seconds": round(audio.seconds, 2)}))
    else:
        short = f" {audio.seconds:.1f} s are little to go by." if audio.seconds < MIN_SECONDS else ""
        typer.echo(f"{'Tagged' if found else 'No tag of this key'} (score {score:.1f}, wanted {FOUND:g}).{short}")
    raise typer.Exit(0 if found else 1)
