"""Llama-3 rotary positions in the interleaved layout: pairs are (2i, 2i + 1). Knows nothing of attention.

Source: the scaling rule of Llama 3.1. A pair's wavelength is 2π / frequency; wavelengths up to
original_positions / high_factor stay, those beyond original_positions / low_factor are stretched by `factor`, and
those between are blended.
"""

from __future__ import annotations

import math

import torch

from .llama_config import RopeScaling


def inverse_frequencies(head_width: int, base: float, scaling: RopeScaling | None) -> torch.Tensor:
    """Turn per position of each pair, in radians: (head_width / 2,) float32."""
    exponents = torch.arange(0, head_width, 2, dtype=torch.int64).float() / head_width
    frequencies = 1.0 / (base**exponents)
    if scaling is None:
        return frequencies
    wavelengths = 2 * math.pi / frequencies
    shortest = scaling.original_positions / scaling.high_factor
    longest = scaling.original_positions / scaling.low_factor
    stretch = (scaling.original_positions / wavelengths - scaling.low_factor) / (
        scaling.high_factor - scaling.low_factor
    )
    blended = (1 - stretch) * frequencies / scaling.factor + stretch * frequencies
    scaled = torch.where(wavelengths > longest, frequencies / scaling.factor, blended)
    return torch.where(wavelengths < shortest, frequencies, scaled)


def rotary_tables(positions: int, inverse: torch.Tensor) -> torch.Tensor:
    """Cosines and signed sines (2, positions, head_width) float32 for `rotate`, each pair's value written twice."""
    angles = torch.arange(positions, device=inverse.device).float()[:, None] * inverse  # (P, head_width / 2)
    cosines = angles.cos().repeat_interleave(2, dim=-1)
    sines = torch.stack([-angles.sin(), angles.sin()], dim=-1).flatten(-2)  # -sin on even, +sin on odd places
    return torch.stack([cosines, sines])


def rotate(x: torch.Tensor, cosines: torch.Tensor, sines: torch.Tensor) -> torch.Tensor:
    """Rotate pairs of x (..., head_width); tables broadcast to it. Computed in float32, returned in x's dtype."""
    wide = x.float()
    swapped = wide.unflatten(-1, (-1, 2)).flip(-1).flatten(-2)  # (a, b) -> (b, a)
    return (wide * cosines + swapped * sines).to(x.dtype)
