"""Small codecs with random, lively weights for the tests, made once."""

from __future__ import annotations

import dataclasses
import functools

import torch
from torch import Tensor

from duologue.evaluation.mimi_references import lively_codec
from duologue.evaluation.parity_mimi import SMALL, make_noise, read_speech
from duologue.mimi.codec import Mimi

# Attention over 12 steps (half a second), so that short clips run far past it.
SHORT_SIGHTED = dataclasses.replace(SMALL, transformer=dataclasses.replace(SMALL.transformer, context=12))
FRAME = SMALL.frame_samples


@functools.cache
def small() -> Mimi:
    """The released model's shape at a small size: 250 steps of context."""
    return lively_codec(SMALL, sounds())


@functools.cache
def short_sighted() -> Mimi:
    """The same with 12 steps of context."""
    return lively_codec(SHORT_SIGHTED, sounds())


@functools.cache
def sounds() -> Tensor:
    """Two rows of 4 s: recorded speech and noise."""
    return torch.cat((read_speech()[..., :96_000], make_noise(5.0)[..., :96_000]))


@functools.cache
def speech() -> Tensor:
    """24.7 s of recorded speech (1,1,N), not a whole number of frames."""
    return read_speech()
