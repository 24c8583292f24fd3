"""What a voice is before the mouth shapes it: a pulse train of given pitch, and hiss. Knows no network and no codes.

Both are functions of absolute position: the pulse train of its running phase, the hiss of the hop's number. So speech
made frame by frame equals speech made at once, and the same codes give the same samples every time.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..timebase import RATE_HZ
from .hiss import HISS_HOPS as HISS_HOPS
from .hiss import hiss_samples

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
    """White Gaussian noise of unit power (HISS_HOPS, hop_samples): hop number modulo HISS_HOPS picks a row."""
    return torch.from_numpy(hiss_samples(hop_samples))
