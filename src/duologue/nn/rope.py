"""Rotary positions over interleaved pairs (2i, 2i+1), the layout of all weights in this house.

Knows neither attention nor any model; other libraries' half-split layout is undone when their weights are read.
"""

from __future__ import annotations

import torch
from torch import Tensor


def inverse_wavelengths(head_width: int, base: float, device: torch.device | None = None) -> Tensor:
    """Radians per position of each pair: base^(-2i/head_width), float64 (float32 where the device has no float64)."""
    wide = torch.float32 if device is not None and device.type == "mps" else torch.float64
    return base ** -(torch.arange(0, head_width, 2, dtype=wide, device=device) / head_width)


def rotation(positions: Tensor, frequencies: Tensor, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    """Cosines and sines (…,S,head_width/2) of positions (…,S).

    The product is taken in the frequencies' precision: float32 would lose a hundredth of a radian after an hour.
    """
    angles = positions[..., None].to(frequencies.dtype) * frequencies
    return angles.cos().to(dtype), angles.sin().to(dtype)


def rotate(x: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
    """Turn each pair of x (…,S,head_width) by its angle; computed in the angles' type, returned in x's type."""
    even, odd = x.to(cosines.dtype).unflatten(-1, (-1, 2)).unbind(-1)
    turned = torch.stack((even * cosines - odd * sines, even * sines + odd * cosines), dim=-1)
    return turned.flatten(-2).to(x.dtype)
