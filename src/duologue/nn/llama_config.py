"""Sizes of one Llama-style stack. Plain data; imports no network."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import InputError

# Beyond these a config is damaged, or its tables alone would fill the memory.
MOST = {
    "layers": 1024,
    "width": 65_536,
    "heads": 1024,
    "kv_heads": 1024,
    "head_width": 4096,
    "hidden": 2**20,
    "max_positions": 131_072,
}


@dataclass(frozen=True)
class RopeScaling:
    """Llama-3 frequency scaling: wavelengths beyond original_positions / low_factor are divided by `factor`."""

    factor: float = 32.0
    low_factor: float = 1.0
    high_factor: float = 4.0
    original_positions: int = 8192


@dataclass(frozen=True)
class StackConfig:
    """One Llama-style stack. Weights are kept in the interleaved rotary layout (pairs 2i, 2i+1)."""

    layers: int
    width: int
    heads: int
    kv_heads: int
    head_width: int
    hidden: int  # inner width of the SwiGLU feed-forward
    max_positions: int = 2048
    norm_eps: float = 1e-5
    rope_base: float = 500_000.0
    rope_scaling: RopeScaling | None = None

    def __post_init__(self) -> None:
        for name, most in MOST.items():
            if not 1 <= getattr(self, name) <= most:
                raise InputError(f"{name} should be 1 to {most}, not {getattr(self, name)}.", field=name)
        if self.heads % self.kv_heads or self.head_width % 2:
            raise InputError("heads should be a multiple of kv_heads, and head_width even.", field="heads")
