"""`duologue llama-mimi`: codes to sound with the arguments of llama.cpp's Mimi command (pull request #12648)."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from . import options as given

Model = Annotated[str, typer.Argument(help="Mimi's GGUF file, or another codec or model.")]
CodesFile = Annotated[str, typer.Argument(help="One number a line (or .npy, .safetensors), dummy0 or dummy1.")]
Out = Annotated[str, typer.Argument(help="wav, flac, mp3 or opus.")]
Parity = Annotated[str | None, typer.Option(help="Faults of the original to reproduce: pieces, mask.")]
SHOWN = 20


def llama_mimi(
    model: Model,
    codes: CodesFile,
    output: Out = "output.wav",
    codebooks: Annotated[
        int | None, typer.Option("--codebooks", "-k", min=1, max=64, help="Codes in a frame; 32, or the codec's all.")
    ] = None,
    parity: Parity = None,
    device: given.Device = "auto",
    token: given.Token = None,
    offline: given.Offline = False,
) -> None:
    """Turn a list of codes into sound: frame after frame, each frame's codes in order."""
    from ..compat.deviations import Deviations, decode
    from ..compat.llama_codes import named_codes
    from ..compat.llama_files import EMBEDDED
    from ..errors import InputError
    from ..timebase import RATE_HZ
    from .outlet import FileOutlet

    faults = Deviations.named(parity)
    if faults.in_networks:
        raise InputError("Only pieces and mask are faults of the codec.", field="parity")
    source = None if model == EMBEDDED else model
    codec = given.ModelOptions(source, device, "auto", None, token, offline).load_codec(codebooks)
    wanted = named_codes(codes, codec)
    began = time.perf_counter()
    samples = decode(codec, wanted, faults)
    elapsed = time.perf_counter() - began
    outlet = FileOutlet(output)
    outlet.write(samples)
    outlet.close()
    print(f"Number of output samples: {len(samples)}\nFirst {SHOWN} samples:")
    print(", ".join(f"{sample:.4f}" for sample in samples[:SHOWN]) + ", ...")
    print(f"{len(samples) / RATE_HZ:.2f} s of audio in {elapsed:.2f} s, written to {outlet.where}")
