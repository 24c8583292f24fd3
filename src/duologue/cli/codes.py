"""`duologue encode` and `duologue decode`: sound to codes and back."""

from __future__ import annotations

from typing import Annotated

import typer

from . import options as given

Codebooks = Annotated[int | None, typer.Option("--codebooks", "-k", help="Use the first K codebooks.", min=1, max=64)]


def encode(
    audio: Annotated[str, typer.Argument(help="A recording.")],
    output: Annotated[str, typer.Option("--output", "-o", help=".txt (one number a line), .npy or .safetensors")],
    codebooks: Codebooks = None,
    model: given.ModelName = None,
    device: given.Device = "auto",
    revision: given.Revision = None,
    token: given.Token = None,
    offline: given.Offline = False,
    as_json: given.Json = False,
    quiet: given.Quiet = False,
) -> None:
    """Turn sound into codes, 12.5 frames a second."""
    from ..codes_file import write_codes
    from .console import Console, print_json

    console = Console(quiet)
    codec = given.ModelOptions(model, device, "auto", revision, token, offline).load_codec(codebooks)
    from ..audio import to_audio

    sound = to_audio(audio)
    codes = codec.encode(sound.samples)
    write_codes(codes, output)
    if as_json:
        print_json({"output": output, "codebooks": codes.shape[0], "frames": codes.shape[1], "seconds": sound.seconds})
    console.note(f"{output}: {codes.shape[1]} frames of {codes.shape[0]} codes, {sound.seconds:.2f} s of audio")


def decode(
    codes: Annotated[str, typer.Argument(help="A file of codes: .txt, .npy or .safetensors.")],
    output: given.Output = None,
    codebooks: Codebooks = None,
    model: given.ModelName = None,
    device: given.Device = "auto",
    revision: given.Revision = None,
    token: given.Token = None,
    offline: given.Offline = False,
    as_json: given.Json = False,
    quiet: given.Quiet = False,
) -> None:
    """Turn codes into sound. A plain list has one number a line, frame after frame."""
    from ..codes_file import read_codes
    from .console import Console, print_json
    from .outlet import OpenOutlet

    console = Console(quiet)
    codec = given.ModelOptions(model, device, "auto", revision, token, offline).load_codec(codebooks)
    wanted = read_codes(codes, codec.num_codebooks)
    samples = codec.decode(wanted)
    opened = OpenOutlet(output)
    with opened as outlet:
        outlet.write(samples)
    if as_json and output != "-":
        print_json({"output": opened.outlet.where, "frames": wanted.shape[1], "seconds": len(samples) / 24_000})
    console.note(f"{opened.outlet.where}: {len(samples) / 24_000:.2f} s of audio")
