"""What a voice is before the mouth shapes it: a pulse train of given pitch, and hiss. Knows no network and no codes.

Both are functions of absolute position: the pulse train of its running phase, the hiss of the hop's number. So speech made
frame by frame equals speech made at once, and the same codes give the same samples every time.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from ..timebase import RATE_HZ

HISS_HOPS = (
    256  # the hiss repeats after this many hops: 2.56 s at 240 samples a hop, far too long to be heard as a loop
)
_SMALL_SINE = 1e-4


def pulses(turns: Tensor, pitch_hz: Tensor) -> Tensor:
    """Band-limited pulse train of unit power: all harmonics below 12 kHz in cosine phase, summed in closed form.

    `turns` is the phase in periods (float64, any range), `pitch_hz` the pitch at the same samples; shapes agree.
    """
    harmonics = torch.floor(0.5 * RATE_HZ / pitch_hz)
    angle = (2 * math.pi) * (turns - torch.round(turns)).to(pitch_hz.dtype)  # within ±pi
    sine = torch.sin(0.5 * angle)
    at_peak = sine.abs() < _SMALL_SINE
    ratio = torch.sin((harmonics + 0.5) * angle) / torch.where(at_peak, torch.ones_like(sine), sine)
    dirichlet = torch.where(at_peak, 2 * harmonics + 1, ratio)  # 1 + 2 * sum of cosines
    return (dirichlet - 1) / torch.sqrt(2 * harmonics)


def hiss(hop_samples: int) -> Tensor:
    """White Gaussian noise of unit power, (HISS_HOPS, hop_samples) float32: hop number modulo HISS_HOPS picks a row.

    Made from the sample's index by the splitmix64 finalizer and the Box-Muller transform, so every machine has the same.
    """
    index = np.arange(2 * HISS_HOPS * hop_samples, dtype=np.uint64)
    uniform = ((_splitmix64(index) >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
    radius, angle = np.sqrt(-2 * np.log(uniform[0::2])), 2 * math.pi * uniform[1::2]
    return torch.from_numpy((radius * np.cos(angle)).astype(np.float32).reshape(HISS_HOPS, hop_samples))


def _splitmix64(index: np.ndarray) -> np.ndarray:
    mixed = (index + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
