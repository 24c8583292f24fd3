"""`duologue train`: a codec, its decoder, a speech model; from nothing or from somebody's weights."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

train = typer.Typer(
    help="Train a codec or a speech model, or fine-tune one. A run that was stopped goes on when called again.",
    no_args_is_help=True,
)
Config = Annotated[Path, typer.Option(help="The recipe (JSON); kept beside the run.")]
RunFolder = Annotated[Path, typer.Option(help="Folder of the run; an existing one is resumed.")]
Processes = Annotated[int, typer.Option(help="Share each step among so many processes.", min=1)]


@train.command()
def codec(
    config: Config,
    run: RunFolder,
    start: Annotated[
        Path | None, typer.Option("--from", help="A codec's file to go on from; the recipe's may have more layers.")
    ] = None,
    processes: Processes = 1,
) -> None:
    """Train a codec from waveforms: recipes/voice/codec.json is an example."""
    from ..training.codec import main

    main(_words(config=config, run=run, processes=processes, **{"from": start}))


@train.command()
def refine(
    config: Config,
    codec: Annotated[Path, typer.Option(help="A frozen codec's file.")],
    run: RunFolder,
    processes: Processes = 1,
) -> None:
    """Go on training a codec's decoder, against discriminators; its codes stay valid."""
    from ..training.codec_refine import main

    main(_words(config=config, codec=codec, run=run, processes=processes))


@train.command()
def freeze(
    run: Annotated[Path, typer.Option(help="A codec's run.")],
    out: Annotated[Path, typer.Option(help="The codec's file.")],
    learned: Annotated[bool, typer.Option("--learned", help="The learned weights, not their average.")] = False,
    full: Annotated[bool, typer.Option("--full", help="Keep float32: twice the size.")] = False,
) -> None:
    """Write the codec of a run as one file, whose codes a speech model can be trained on."""
    from ..training.codec_export import main

    main(_words(run=run, out=out, learned=learned, full=full))


@train.command()
def compare(
    config: Annotated[Path, typer.Option(help="The experiment (JSON): recipes/compare/*.json are examples.")],
    run: RunFolder,
    out: Annotated[Path, typer.Option(help="Where the figures go (JSON).")],
    shards: Annotated[Path | None, typer.Option(help="Folder of the corpus (.flac and .jsonl): for codecs.")] = None,
    codes: Annotated[Path | None, typer.Option(help="Folder of code shards: for speech models.")] = None,
    corpus: Annotated[Path | None, typer.Option(help="Folder of listings (.jsonl): for speech models.")] = None,
    seed: Annotated[int | None, typer.Option(help="Instead of the experiment's.")] = None,
) -> None:
    """Train several small codecs or speech models that differ in one thing, at equal cost, and compare them."""
    from ..training.compare import main

    main(_words(config=config, shards=shards, codes=codes, corpus=corpus, run=run, out=out, seed=seed))


@train.command()
def csm(
    config: Config,
    codes: Annotated[Path, typer.Option(help="Folder of code shards (`duologue corpus encode`).")],
    corpus: Annotated[Path, typer.Option(help="Folder of the corpus listings (.jsonl).")],
    run: RunFolder,
    start: Annotated[
        str | None,
        typer.Option("--from", help="Fine-tune: embedded, a folder, a file or a hub name. Without it: from nothing."),
    ] = None,
    minutes: Annotated[float | None, typer.Option(help="Whole budget in minutes of training.")] = None,
    steps: Annotated[int | None, typer.Option(help="Whole budget in steps.")] = None,
    codec: Annotated[Path | None, typer.Option(help="The codec's file: sample audio at every validation.")] = None,
    pause_after: Annotated[float | None, typer.Option(help="Stop, resumable, after so many minutes of now.")] = None,
    processes: Processes = 1,
    shard: Annotated[bool, typer.Option("--shard", help="Share out the weights among the processes too.")] = False,
    threads: Annotated[int, typer.Option(help="Per process.", min=1)] = 1,
    nice: Annotated[int, typer.Option(help="Scheduling niceness.")] = 10,
    device: Annotated[str, typer.Option(help="cpu or cuda (a GPU for each process).")] = "cpu",
) -> None:
    """Train a speech model on codes, or fine-tune one: recipes/voice/csm.json, recipes/fine_tune/*.json."""
    from ..training.csm import main

    main(
        _words(
            config=config, codes=codes, corpus=corpus, run=run, minutes=minutes, steps=steps, codec=codec,
            processes=processes, shard=shard, threads=threads, nice=nice, device=device,
            **{"from": start, "pause-after": pause_after},
        )
    )  # fmt: skip


@train.command()
def interpolate(
    first: Annotated[Path, typer.Argument(help="A speech model's file (csm.safetensors).")],
    second: Annotated[Path, typer.Argument(help="The file of one trained on from it.")],
    out: Annotated[Path, typer.Option(help="Where the weights between them go.")],
    share: Annotated[float, typer.Option(help="Of the second's weights, 0 to 1.", min=0, max=1)] = 0.5,
) -> None:
    """Write weights between those of two speech models, which often do better than either; measure before you ship."""
    from ..training.interpolate import interpolate as between

    typer.echo(between(first, second, share, out))


def _words(**options: object) -> list[str]:
    """Options as a module's command line reads them; None and False are left out."""
    words: list[str] = []
    for name, value in options.items():
        if value is True:
            words.append(f"--{name}")
        elif value is not None and value is not False:
            words += [f"--{name}", str(value)]
    return words
