"""Llama-3 rotary angles as tables, in numpy: the torch-free twin of nn/llama_rope.py, to which a test holds it."""

from __future__ import annotations

import numpy as np

from ..nn.llama_config import RopeScaling, StackConfig
from .quantize import Floats


def rotary_tables(stack: StackConfig) -> tuple[Floats, Floats]:
    """Cosines and sines (positions, head_width / 2); all in float32, as the model was trained."""
    inverse = inverse_frequencies(stack.head_width, stack.rope_base, stack.rope_scaling)
    angles = np.arange(stack.max_positions, dtype=np.float32)[:, None] * inverse
    return np.cos(angles), np.sin(angles)


def inverse_frequencies(head_width: int, base: float, scaling: RopeScaling | None) -> Floats:
    """Turn per position of each pair, in radians (head_width / 2,)."""
    exponents = np.arange(0, head_width, 2, dtype=np.float32) / np.float32(head_width)
    frequencies = (np.float32(1) / np.float32(base) ** exponents).astype(np.float32)
    if scaling is None:
        return frequencies
    turns = scaling.original_positions * frequencies / np.float32(2 * np.pi)  # full turns over the original context
    blend = ((turns - scaling.low_factor) / (scaling.high_factor - scaling.low_factor)).astype(np.float32)
    slow = frequencies / np.float32(scaling.factor)
    blended = (1 - blend) * slow + blend * frequencies
    slowed = np.where(turns < scaling.low_factor, slow, blended)
    return np.where(turns > scaling.high_factor, frequencies, slowed).astype(np.float32)
