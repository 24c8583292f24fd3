"""`duologue convert`: weights from one layout to another."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import options as given
from .layouts import Number, To


def convert(
    source: Annotated[str, typer.Argument(help='A file, a folder, a hub name or "embedded"; CSM or Mimi.')],
    target: Annotated[
        str | None, typer.Argument(help="A file (duologue, gguf, llama, kyutai) or a folder.", show_default=False)
    ] = None,
    output: Annotated[str | None, typer.Option("--output", "-o", help="The same as TARGET.")] = None,
    to: Annotated[
        To | None, typer.Option(help="The layout to write: gguf for a TARGET *.gguf; kyutai writes the codec alone.")
    ] = None,
    dtype: Annotated[
        Number | None,
        typer.Option(help="Change the numbers' type; a model's codec keeps its own; q…: gguf, llama."),
    ] = None,
    revision: given.Revision = None,
    token: given.Token = None,
    offline: given.Offline = False,
    as_json: given.Json = False,
    quiet: given.Quiet = False,
) -> None:
    """Write weights in another layout. Float values are not changed unless --dtype asks for it.

    gguf is one file with codec, voices, tokenizer and settings; llama the files of llama.cpp's pull request 12648: with
    "<component>" in TARGET's name backbone and decoder, with "mimi" the codec. `duologue quantize` writes fewer bits.
    """
    from ..weights.hub import HubAccess
    from .console import Console, print_json
    from .layouts import written_as

    place = _target(target, output)
    chosen = _layout(to, place)
    console = Console(quiet)
    access = HubAccess(revision, token, None, offline)
    written = written_as(source, place, chosen, dtype, access, console.share)
    if as_json:
        print_json({"output": str(written[0]), "files": [str(path) for path in written], "layout": chosen.value})
    console.note(f"{', '.join(map(str, written))}: {chosen} layout")


def _target(target: str | None, output: str | None) -> Path:
    from ..errors import InputError

    if (target is None) == (output is None):
        raise InputError("Name one file or folder to write.", hint="duologue convert SOURCE -o FILE", field="target")
    return Path(target or output or "")


def _layout(to: To | None, target: Path) -> To:
    from ..errors import InputError

    if to is None and target.suffix == ".gguf":
        return To.llama if "<component>" in target.name else To.gguf
    if to is None:
        raise InputError("Which layout?", hint=f"--to {', '.join(To)}; *.gguf means gguf.", field="to")
    return to
