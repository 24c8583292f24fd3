"""Small models of both kinds: Sesame's ways, and every departure of the embedded voice."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from duologue.csm.alignment import pointers_from_durations
from duologue.csm.config import AlignedText, CsmConfig, RopeScaling, StackConfig
from duologue.csm.frames import Segment
from duologue.csm.model import Csm

BACKBONE = StackConfig(2, 32, 4, 2, 8, 48, 128, rope_scaling=RopeScaling(original_positions=64))
DEPTH = StackConfig(2, 24, 2, 1, 12, 32, 5, rope_scaling=RopeScaling(original_positions=8))
PLAIN = CsmConfig(BACKBONE, DEPTH, num_codebooks=4, codebook_size=35, text_vocab=50, codec_entries=32)
ALIGNED = CsmConfig(
    BACKBONE,
    DEPTH,
    num_codebooks=4,
    codebook_size=33,
    text_vocab=50,
    codec_entries=32,
    eos="code",
    eos_code=32,
    positions="parallel",
    aligned=AlignedText(before=1, after=2, max_advance=3, max_dwell=4),
)
BOTH = [PLAIN, ALIGNED]


def build(config: CsmConfig, seed: int = 0, std: float = 0.2) -> Csm:
    """A module with weights large enough for every part to matter."""
    torch.manual_seed(seed)
    model = Csm(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=std) if parameter.ndim > 1 else parameter.normal_(1.0, 0.2)
    return model.eval()


def turn(config: CsmConfig, units: int, frames: int | None, seed: int = 0, trained: bool = True) -> Segment:
    """Random text, and random codes with even pointers unless the turn is still to be spoken."""
    random = np.random.default_rng(seed)
    text = random.integers(0, config.text_vocab, units)
    if frames is None:
        return Segment(text)
    pointers = None
    if config.aligned is not None:
        pointers = pointers_from_durations([max(1, frames * 10 // units)] * units, frames, 10, 3)
    return Segment(text, random.integers(0, 32, (config.num_codebooks, frames)), pointers, trained=trained)


def dialogue(config: CsmConfig, sizes: Sequence[tuple[int, int | None]], seed: int = 0) -> list[Segment]:
    """Several turns of so many units and frames."""
    return [turn(config, units, frames, seed + i) for i, (units, frames) in enumerate(sizes)]
