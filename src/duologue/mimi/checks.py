"""What the codec accepts: shapes, types and ranges, refused before they can do harm. Computes nothing else."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from ..errors import AudioError, InputError
from .config import MimiConfig

# How the last, partial frame is completed. "waveform": with silence (moshi >= 0.2.5). "layers": each layer pads its
# own last window (transformers, moshi <= 0.2.4, rustymimi). Only the last frame's codes differ.
Tail = Literal["waveform", "layers"]


def check_wav(wav: Tensor) -> None:
    """Raise AudioError unless `wav` is floating-point sound (B,1,N) with B, N >= 1."""
    if wav.ndim != 3 or wav.shape[1] != 1 or not wav.is_floating_point():
        raise AudioError(
            f"Sound should be a float tensor (batch, 1, samples), not {wav.dtype} {tuple(wav.shape)}.", field="wav"
        )
    if not wav.numel():
        raise AudioError("There is no sound to encode: 0 samples.", field="wav")


def check_whole_frames(wav: Tensor, config: MimiConfig) -> None:
    """Raise AudioError unless `wav` is whole frames of sound."""
    check_wav(wav)
    if wav.shape[-1] % config.frame_samples:
        raise AudioError(
            f"{wav.shape[-1]} samples are not whole frames of {config.frame_samples}.",
            hint="Collect whole frames, or let StreamEncoder do it.",
            field="wav",
        )


def check_codes(codes: Tensor, config: MimiConfig) -> None:
    """Raise InputError unless `codes` are integers (B,K,T) with K and every code within the config's range."""
    size = config.quantizer
    if codes.ndim != 3 or not codes.numel() or codes.dtype not in (torch.int64, torch.int32):
        raise InputError(
            f"Codes should be an int64 tensor (batch, codebooks, frames), not {codes.dtype} {tuple(codes.shape)}.",
            field="codes",
        )
    if codes.shape[1] > size.codebooks:
        raise InputError(f"{codes.shape[1]} codebooks, but this codec has {size.codebooks}.", field="codes")
    low, high = int(codes.min()), int(codes.max())
    if low < 0 or high >= size.entries:
        raise InputError(
            f"Codes should be 0 to {size.entries - 1}; found {low if low < 0 else high}.",
            hint="End-of-speech and padding marks have no sound: cut them off, or say how many frames are real.",
            field="codes",
        )


def check_codebooks(wanted: int | None, config: MimiConfig) -> int:
    """The number of codebooks to use; None means all. Raises InputError outside 1..K."""
    most = config.quantizer.codebooks
    if wanted is None:
        return most
    if not 1 <= wanted <= most:
        raise InputError(f"num_codebooks is {wanted}; this codec has 1 to {most}.", field="num_codebooks")
    return wanted


def check_lengths(lengths: Tensor | None, batch: int, longest: int, unit: str) -> Tensor:
    """Each row's length (B,) on the CPU; None means all are whole. Raises InputError outside 1..longest."""
    if lengths is None:
        return torch.full((batch,), longest)
    lengths = torch.as_tensor(lengths).cpu()
    if (
        lengths.shape != (batch,)
        or lengths.is_floating_point()
        or not bool(((lengths > 0) & (lengths <= longest)).all())
    ):
        raise InputError(
            f"lengths should be {batch} whole numbers of {unit} from 1 to {longest}, not {lengths.tolist()}.",
            field="lengths",
        )
    return lengths.long()


def check_tail(tail: str, config: MimiConfig) -> None:
    """Raise InputError unless `tail` names a rule that this codec's front end can follow."""
    if tail not in get_args(Tail):
        raise InputError(f"tail is {tail!r}; it should be 'waveform' or 'layers'.", field="tail")
    if tail == "layers" and config.frontend != "seanet":
        raise InputError("Only the seanet front end can complete a frame layer by layer.", field="tail")
