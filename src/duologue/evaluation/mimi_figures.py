"""What comparisons of two forms of a codec are made of. Knows neither form."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from ..mimi.checks import Tail
from ..mimi.codec import Mimi
from ..mimi.quantizer import Codebook, ResidualQuantizer


@torch.no_grad()
def latents_of(codec: Mimi, wav: Tensor, tail: Tail) -> Tensor:
    """Sound (B,1,N) of any length -> unquantized latents (B,D,T), the last frame completed by `tail`'s rule."""
    if tail == "waveform":
        wav = torch.nn.functional.pad(wav, (0, -wav.shape[-1] % codec.config.frame_samples))
    return codec.latents_step(wav, state=codec.init_encode_state(wav.shape[0]))[0]


def tie_margins(codec: Mimi, latents: Tensor, ours: Tensor, theirs: Tensor) -> list[float]:
    """How much farther, relatively, the other choice is at each place where choices part, in float64.

    After the first difference in a row of codebooks the two quantize different rests, so only the first counts.
    """
    size = codec.config.quantizer
    semantic, acoustic = codec.quantizer.semantic, codec.quantizer.acoustic
    return [
        *_margins(semantic, latents, ours[:, : size.semantic], theirs[:, : size.semantic]),
        *_margins(acoustic, latents, ours[:, size.semantic :], theirs[:, size.semantic :]),
    ]


def _margins(quantizer: ResidualQuantizer, latents: Tensor, ours: Tensor, theirs: Tensor) -> Iterator[float]:
    with torch.no_grad():
        left = quantizer.project_in(latents).transpose(1, 2).double()  # (B,T,C)
    together = torch.ones(left.shape[:2], dtype=torch.bool)
    for codebook, mine, other in zip(quantizer.codebooks, ours.unbind(1), theirs.unbind(1), strict=True):
        assert isinstance(codebook, Codebook)
        near, far = codebook.decode(mine).double(), codebook.decode(other).double()
        distance, farther = (left - near).square().sum(-1), (left - far).square().sum(-1)
        parting = together & (mine != other)
        yield from ((farther - distance).abs() / distance)[parting].tolist()
        together &= ~parting
        left = left - near


def largest(values: Tensor) -> float:
    """The largest magnitude."""
    return float(values.abs().max())
