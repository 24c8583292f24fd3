"""`duologue corpus`: speech to learn from, made by a synthetic teacher or prepared from recordings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import options as given

corpus = typer.Typer(help="Make or prepare speech to train on.", no_args_is_help=True)
Shards = Annotated[Path, typer.Option("--shards", help="Folder of the corpus: NNNNN.flac and NNNNN.jsonl.")]
Codec = Annotated[
    str, typer.Option("--codec", help="A codec's file or folder, or a model whose codec is meant; embedded.")
]


@corpus.command()
def synthesize(
    out: Annotated[Path, typer.Option(help="Folder for the shards; several workers may share it.")],
    voices: Annotated[Path, typer.Option(help="Folder of Kokoro voice packs (*.bin).")],
    first: Annotated[int, typer.Option(help="Number of the first shard.", min=0)] = 0,
    shards: Annotated[int, typer.Option(help="Stop before the shard of this number.", min=1)] = 400,
    engine: Annotated[
        str, typer.Option(help="What runs the teacher: auto (torch where it is fast), onnx, torch.")
    ] = "auto",
    mix: Annotated[
        str, typer.Option(help="What is said: chat (conversations above all) or reading (sentences of rarer words).")
    ] = "chat",
) -> None:
    """Let the teacher speak dialogues, lines, phrases and templates, shard by shard; goes on where it stopped.

    Needs the packages of recipes/voice/teacher-requirements.txt.
    """
    from ..corpus.synthesize import run
    from ..errors import BackendUnavailable

    try:
        run(out, voices, first, shards, engine, mix)
    except ModuleNotFoundError as error:
        raise BackendUnavailable(
            f"The teacher needs {error.name}.", hint="pip install -r recipes/voice/teacher-requirements.txt"
        ) from error


@corpus.command()
def prepare(
    source: Annotated[
        str, typer.Argument(help="A folder, a table (LJSpeech's, csv, jsonl), a dataset on disk, or owner/name.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for the shards.")],
    voice: Annotated[
        list[str] | None, typer.Option(help="The speaker's name; twice for two channels.", show_default=False)
    ] = None,
    two_channels: Annotated[
        bool, typer.Option("--two-channels", help="One speaker a channel: becomes dialogues.")
    ] = False,
    british: Annotated[bool, typer.Option("--british", help="Read the texts with British phones.")] = False,
    diariser: Annotated[str | None, typer.Option(help="package.module:function that tells who speaks when.")] = None,
    split: Annotated[str, typer.Option(help="Split of a dataset.")] = "train",
    max_cer: Annotated[float, typer.Option(help="Share of characters heard otherwise.", min=0, max=1)] = 0.15,
    max_seconds: Annotated[float, typer.Option(help="Longer pieces are left out.", min=1, max=29)] = 15.0,
    min_snr_db: Annotated[float, typer.Option(help="Noisier pieces are left out.")] = 12.0,
    licence: Annotated[str, typer.Option(help="Of the recordings; kept in voice files.")] = "",
    judge: Annotated[str, typer.Option(help="The ASR: base, a folder, or a name faster-whisper knows.")] = "base",
    threads: Annotated[int, typer.Option(min=1)] = 1,
    as_json: given.Json = False,
) -> None:
    """Turn your own recordings into a corpus: cut, transcribed if need be, checked and timed. Resumable.

    Words come from .txt files beside the sound or from the table; recordings without any are cut where nobody speaks
    and transcribed. report.json says what was left out and why.
    """
    from ..corpus.cutting import diariser_of
    from ..corpus.filters import Limits
    from ..corpus.prepare import Preparation, prepare
    from ..corpus.recordings import plain_name, recordings
    from ..evaluation.asr import Judge
    from .console import print_json

    names = tuple(plain_name(name) for name in voice or ())
    plan = Preparation(
        "gb" if british else "us",
        Limits(max_seconds=max_seconds, max_cer=max_cer, min_snr_db=min_snr_db),
        two_channels, names if two_channels else (), diariser_of(diariser) if diariser else None, source, licence,
    )  # fmt: skip
    found = prepare(recordings(source, names, split), out, Judge(judge, threads), plan)
    if as_json:
        return print_json(found)
    typer.echo(f"{found['kept_turns']} turns kept, {found['kept_seconds'] / 60:.1f} minutes")
    for reason, count in found["dropped"].items():
        typer.echo(f"  left out, {reason}: {count['pieces']} ({count['seconds']} s)")
    return None


@corpus.command()
def check(
    shards: Shards,
    most: Annotated[
        float, typer.Option("--max-cer", help="Share of characters that may differ.", min=0.0, max=1.0)
    ] = 0.15,
    judge: Annotated[str, typer.Option(help="base, a folder, or a name that faster-whisper knows.")] = "base",
    limit: Annotated[int | None, typer.Option(help="Check only so many shards now.", min=1)] = None,
    threads: Annotated[int, typer.Option(min=1)] = 1,
    as_json: given.Json = False,
) -> None:
    """Listen to every utterance again; training leaves out those that weren't said as written. Resumable.

    Writes checks/NNNNN.json beside the shards. Speech, listings and codes stay as they are.
    """
    from ..corpus.recheck import check_shards, summary
    from ..evaluation.asr import Judge
    from .console import print_json

    check_shards(shards, Judge(judge, threads), most, limit)
    found = summary(shards)
    if as_json:
        return print_json(found)
    typer.echo(
        f"{found['bad']} of {found['turns']} turns ({found['bad_percent']} %) in {found['shards']} shards are bad;"
    )
    typer.echo(f"mean CER {found['mean_cer']}; by voice: {found['bad_by_voice']}")
    for turn in found["worst"]:
        typer.echo(f"  {turn['cer']:5.2f}  {turn['voice']}: {turn['text']!r} was heard as {turn['heard']!r}")
    return None


@corpus.command()
def encode(
    shards: Shards,
    out: Annotated[Path, typer.Option(help="Folder for the shards of codes.")],
    codec: Codec = "embedded",
    threads: Annotated[int, typer.Option(min=1)] = 1,
) -> None:
    """Turn the speech of every shard into codes, which is what a speech model trains on; keeps what exists."""
    import torch

    from ..training.encode_codes import encode_shards
    from ..training.start import codec_of

    torch.set_num_threads(threads)
    typer.echo(f"{encode_shards(codec_of(codec), shards, out)} shards encoded")


@corpus.command()
def shift(
    shards: Shards,
    out: Annotated[Path, typer.Option(help="Folder for the listings of the copies.")],
    codes: Annotated[Path, typer.Option(help="Folder for their codes.")],
    codec: Annotated[Path, typer.Option(help="The codec's file.")],
    units: Annotated[int, typer.Option(help="How many 25 ms units to cut off.", min=1, max=4)] = 1,
) -> None:
    """Encode training turns once more from a little later on: other codes for the same speech, against over-fitting."""
    from ..training.shifted_codes import main

    main([*_words(codec=codec, shards=shards, out=out, codes=codes, units=units)])


@corpus.command()
def predict(
    csm: Annotated[Path, typer.Option(help="The speech model's file.")],
    config: Annotated[Path, typer.Option(help="Its training recipe, for the numbers of the voices.")],
    shards: Shards,
    codes: Annotated[Path, typer.Option(help="Folder of the shards' codes.")],
    out: Annotated[Path, typer.Option(help="Folder for the predicted ones.")],
) -> None:
    """Draw the codes that a speech model expects, each after its true past: for `train refine` (its key `predicted`).

    A decoder refined on them learns to sound what the model says, not only what the codec hears.
    """
    from ..training.predicted_codes import main

    main([*_words(csm=csm, config=config, shards=shards, codes=codes, out=out)])


def _words(**options: object) -> list[str]:
    return [word for name, value in options.items() for word in (f"--{name}", str(value))]
