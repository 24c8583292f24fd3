"""The `duologue` command: its verbs, its exit codes. Knows no work itself.

Exit codes: 0 done · 2 unusable input · 3 weights · 4 speech failed its checks · 5 something is not installed ·
130 stopped by Ctrl-C · 1 any other deliberate error.
"""

from __future__ import annotations

import signal
import sys
from types import FrameType
from typing import Annotated

import typer

from ..errors import DuologueError
from .bench import bench
from .codes import decode, encode
from .convert import convert
from .corpus import corpus
from .dialogue import dialogue
from .doctor import doctor
from .evaluate import evaluate
from .inspect import inspect
from .llama_mimi import llama_mimi
from .llama_tts_csm import llama_tts_csm
from .quantize import quantize
from .say import say
from .serve import serve
from .talk import talk
from .train import train
from .verify import verify
from .voices import voices
from .wyoming import wyoming

app = typer.Typer(
    name="duologue",
    help="Conversational speech on your own machine.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
VERBS = (
    say,
    dialogue,
    encode,
    decode,
    inspect,
    convert,
    quantize,
    doctor,
    bench,
    serve,
    talk,
    wyoming,
    llama_tts_csm,
    llama_mimi,
    verify,
)
for verb in VERBS:
    app.command()(verb)
app.add_typer(voices, name="voices")
app.add_typer(corpus, name="corpus")
app.add_typer(train, name="train")
app.add_typer(evaluate, name="evaluate")


@app.callback(invoke_without_command=True)
def root(version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False) -> None:
    """Conversational speech on your own machine."""
    if version:
        from .. import __version__

        typer.echo(f"duologue {__version__}")
        raise typer.Exit


def main() -> None:
    """Run the command line; errors become one line on stderr and an exit code."""
    signal.signal(signal.SIGTERM, _as_ctrl_c)
    try:
        app()
    except DuologueError as error:
        typer.echo(f"duologue: {error.message}", err=True)
        if error.hint:
            typer.echo(f"  {error.hint}", err=True)
        sys.exit(error.exit_code)
    except BrokenPipeError:  # the reader of our stdout went away, as `head` does
        sys.stderr.close()
        sys.exit(1)


def _as_ctrl_c(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
