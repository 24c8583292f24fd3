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
SET_HELP = "heldout40, heldout120, short60, homographs or a text file."
Out = Annotated[Path, typer.Option(help="Where the figures go (JSON).")]


@evaluate.command()
def voice(
    model: given.ModelName = None,
    sentences: Annotated[str, typer.Option(help=SET_HELP)] = "heldout120",
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
    alone: Annotated[bool, typer.Option("--alone", help="Also read every clip alone (eight times the work).")] = False,
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
    words += [flag for flag, chosen in (("--quick", quick), ("--floor", floor), ("--alone", alone)) if chosen]
    main(words)


@evaluate.command()
def codec(
    model: given.ModelName = None,
    shards: Annotated[Path | None, typer.Option(help="A corpus, whose held-out turns are used.")] = None,
    sounds: Annotated[Path | None, typer.Option(help="Or a folder of recordings with .txt beside.")] = None,
    limit: Annotated[int, typer.Option(help="At most so many clips.", min=1)] = 44,
    judge: Annotated[str, typer.Option(help="base, a folder, or a name that faster-whisper knows.")] = "base",
    quick: Annotated[bool, typer.Option("--quick", help="No word errors.")] = False,
    page: Annotated[Path | None, typer.Option(help="Also write a page with both forms of some clips.")] = None,
    out: Out = Path("benchmarks/results/codec.json"),
) -> None:
    """Send held-out speech through a codec and back: words, pitch, PESQ, STOI, mel distance, codebook use."""
    from ..errors import InputError
    from ..evaluation.asr import Judge
    from ..evaluation.codec import evaluate as measure
    from ..evaluation.codec import held_out_turns, recorded_clips

    if (shards is None) == (sounds is None):
        raise InputError("Give either --shards or --sounds.", field="shards")
    clips = held_out_turns(shards, limit) if shards is not None else recorded_clips(sounds or Path(), limit)
    found = measure(model, clips, None if quick else Judge(judge), out, page)
    pesq, stoi = found["pesq_wb"]["mean"], found["stoi"]["mean"]
    typer.echo(f"pitch within 10 %: {100 * found['pitch_within_10_percent']:.1f} %; PESQ {pesq}, STOI {stoi}; {out}")


@evaluate.command()
def dialogue(
    model: given.ModelName = None,
    voices: Annotated[str | None, typer.Option(help="Two names, separated by a comma; the model's first two.")] = None,
    seeds: Annotated[str, typer.Option(help="Numbers, separated by commas.")] = "1",
    out: Out = Path("benchmarks/results/dialogue.json"),
) -> None:
    """Let two voices talk for ten turns and see whether each stays itself."""
    from ..evaluation.dialogue_voices import evaluate as measure

    found = measure(model, voices.split(",") if voices else [], [int(seed) for seed in seeds.split(",")], out)
    for talk in found["talks"]:
        typer.echo(
            f"seed {talk['seed']}: similarity {talk['first_half']} in turns 1-5, {talk['second_half']} in turns 6-10, "
            f"slope {talk['slope_per_turn']} a turn, right voice {talk['right_voice_percent']:.0f} %; {out}"
        )


@evaluate.command()
def pronunciation(
    model: given.ModelName = None,
    voices: Annotated[str | None, typer.Option(help="Names of one accent, separated by commas.")] = None,
    words: Annotated[int, typer.Option(help="Only the first so many words of each test.", min=1)] = 24,
    seed: Annotated[int, typer.Option(help="Of the speech that is judged.")] = 1,
    reference: Annotated[
        list[str] | None, typer.Option(help="NAME=FOLDER of NNN.wav, one per sentence of `homographs`; repeatable.")
    ] = None,
    floor: Annotated[bool, typer.Option("--floor", help="Beside flite and espeak-ng, if they are installed.")] = False,
    judge: Annotated[str, typer.Option(help="base, a folder, or a name that faster-whisper knows.")] = "base",
    out: Out = Path("benchmarks/results/pronunciation.json"),
) -> None:
    """Homographs said the right way, and words said the same way throughout a talk, judged by the sound."""
    from ..evaluation.pronunciation import main

    options = ["--words", str(words), "--seed", str(seed), "--judge", judge, "--out", str(out)]
    options += ["--model", model] if model else []
    options += ["--voices", *voices.split(",")] if voices else []
    options += [word for each in reference or () for word in ("--reference", each)]
    options += ["--floor"] if floor else []
    main(options)


@evaluate.command()
def overlap(
    corpus: Annotated[Path, typer.Option(help="Folder of the corpus listings (.jsonl).")],
    sentences: Annotated[str, typer.Option(help=SET_HELP)] = "heldout120",
) -> None:
    """Which evaluation sentences a corpus's training turns hold word for word: there should be none."""
    from ..evaluation.sentences import held_out, trained_on

    found = trained_on(held_out(sentences), corpus)
    typer.echo(f"{len(found)} of {len(held_out(sentences))} sentences are in the training turns")
    for sentence, places in found.items():
        typer.echo(f"  {sentence} ({', '.join(places[:5])})")
