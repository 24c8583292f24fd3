"""Options that several verbs share, and how they become a model and a generation config."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ..api import Model
    from ..engine.assembly import AnyCodec
    from ..speaking import GenerationConfig

ModelName = Annotated[
    str | None,
    typer.Option(
        "--model", "-m", help="Hub name, folder or file; the embedded voice if left out.", envvar="DUOLOGUE_MODEL"
    ),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.", envvar="DUOLOGUE_DEVICE")]
EngineName = Annotated[
    str, typer.Option("--engine", help="auto, torch, torch-int4, native or native-FORMAT.", envvar="DUOLOGUE_ENGINE")
]
Revision = Annotated[str | None, typer.Option(help="Branch, tag or commit of a hub model.")]
Token = Annotated[str | None, typer.Option(help="Hub token; HF_TOKEN is used by itself.", show_default=False)]
Offline = Annotated[bool, typer.Option("--offline", help="Use only what is already on this machine.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Only errors on stderr.")]
Output = Annotated[str | None, typer.Option("--output", "-o", help="wav, flac, mp3, opus file, or - for raw s16le.")]
Seed = Annotated[int | None, typer.Option(help="The same seed gives the same audio.")]
Temperature = Annotated[
    float | None, typer.Option(help="0 is greedy; if left out, what suits the model (mostly 0.9).", min=0.0, max=10.0)
]
TopK = Annotated[int | None, typer.Option("--top-k", help="Draw among so many codes; 0 is all; mostly 50.", min=0)]
MaxSeconds = Annotated[float | None, typer.Option("--max-seconds", help="Stop after so much audio.", min=0.08)]
Retries = Annotated[int, typer.Option(help="Further attempts at a sentence that failed its checks.", min=0, max=20)]
RawText = Annotated[bool, typer.Option("--raw-text", help="Leave the text as written: no numbers to words.")]
NoCheck = Annotated[bool, typer.Option("--no-check", help="Keep whatever the model says, even silence and loops.")]


@dataclass(frozen=True)
class ModelOptions:
    """Which model, where from, on what."""

    source: str | None
    device: str
    engine: str
    revision: str | None
    token: str | None
    offline: bool

    def load(self) -> Model:
        """Load it."""
        import duologue

        return duologue.load(
            self.source,
            device=self.device,
            engine=self.engine,
            revision=self.revision,
            token=self.token,
            offline=self.offline,
        )

    def load_codec(self, codebooks: int | None) -> AnyCodec:
        """Load the codec alone, with its first `codebooks` codebooks or as many as the model uses."""
        from ..api import load_codec

        return load_codec(self.source, codebooks, self.device, self.revision, self.token, self.offline)


def generation(
    temperature: float | None,
    top_k: int | None,
    max_seconds: float | None,
    retries: int,
    raw_text: bool,
    no_check: bool,
    side_by_side: int = 1,
) -> GenerationConfig:
    """The library's options from the command line's."""
    from ..speaking import GenerationConfig

    return GenerationConfig(
        temperature=temperature,
        top_k=top_k,
        max_seconds=max_seconds,
        retries=retries,
        normalise=not raw_text,
        check=not no_check,
        side_by_side=side_by_side,
    )


def read_text(path: str) -> str:
    """Text of a file, or of stdin for "-". Raises InputError."""
    import sys

    from ..errors import InputError

    try:
        return sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist.", hint="Check the path.", field="file") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} can't be read as UTF-8 text: {error}.", field="file") from error
