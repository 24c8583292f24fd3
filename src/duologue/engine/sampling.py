"""How codes are drawn: one rule for every engine, so that a seed says the same thing everywhere. Knows no network.

A draw divides logits by the temperature in float32, keeps the top_k largest (ties: lower codes first), takes a softmax
in float64, orders codes by falling probability (ties: lower codes first) and picks the first code whose cumulative
probability exceeds u. Temperature 0 picks the largest logit, the lowest code among equals.

u is no stream of random numbers but a hash of (seed, frame, draw), draw being the codebook, or K for the pointer. What
a row draws thus depends neither on its batch, nor on what was drawn before, nor on how the speech is cut into chunks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..csm.config import CsmConfig
from ..errors import InputError, WeightsDamaged
from .base import Sampling

_MASK = (1 << 64) - 1
_SEED, _FRAME, _DRAW = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


def uniform(seed: int, frame: int, draw: int) -> float:
    """A number in [0, 1) that looks random, from three counters: two rounds of splitmix64's finaliser, 53 bits kept."""
    x = (seed * _SEED + frame * _FRAME + draw * _DRAW) & _MASK
    for _ in range(2):
        x ^= x >> 30
        x = x * _FRAME & _MASK
        x ^= x >> 27
        x = x * _DRAW & _MASK
        x ^= x >> 31
    return (x >> 11) * 2.0**-53


def pick(logits: npt.NDArray[np.float32], u: float, sampling: Sampling) -> int:
    """Draw one code from logits (V,); -inf marks a code that can't be drawn."""
    largest = logits.max()
    if not np.isfinite(largest):
        raise WeightsDamaged("The network gave no finite logits.", hint="Its weights or its input are damaged.")
    if sampling.temperature == 0.0:
        return int(np.argmax(logits))  # numpy gives the first of equals
    scaled = logits.astype(np.float32) / np.float32(sampling.temperature)
    kept = _largest(scaled, sampling.top_k)
    order = kept[np.argsort(-scaled[kept], kind="stable")]
    weights = np.exp(scaled[order].astype(np.float64) - np.float64(scaled[order[0]]))
    cumulative = np.cumsum(weights / weights.sum())
    place = int(np.searchsorted(cumulative, u, side="right"))
    return int(order[min(place, int(np.count_nonzero(weights)) - 1)])


def _largest(scaled: npt.NDArray[np.float32], top_k: int) -> npt.NDArray[np.int64]:
    """Codes of the top_k largest values in rising order, lower codes first among equals; all codes if top_k is 0."""
    size = len(scaled)
    if top_k == 0 or top_k >= size:
        return np.arange(size)
    threshold = np.partition(scaled, size - top_k)[size - top_k]
    above, equal = np.flatnonzero(scaled > threshold), np.flatnonzero(scaled == threshold)
    return np.sort(np.concatenate([above, equal[: top_k - len(above)]]))


@dataclass
class Drawing:
    """How the rows (B,) of a batch draw, as tensors on a device."""

    greedy: Any  # bool
    heat: Any  # float32
    limits: Any  # int64: codes kept

    @classmethod
    def of(cls, samplings: list[Sampling], size: int, device: Any) -> Drawing:
        """`size` codes stand to choice."""
        import torch

        rows = len(samplings)
        empty = torch.empty(rows, dtype=torch.bool), torch.empty(rows), torch.empty(rows, dtype=torch.long)
        drawing = cls(*(tensor.to(device) for tensor in empty))
        drawing.fill(samplings, size)
        return drawing

    def fill(self, samplings: list[Sampling], size: int) -> None:
        """Draw like this from now on, in the same memory."""
        import torch

        self.greedy.copy_(torch.tensor([s.temperature == 0.0 for s in samplings]))
        self.heat.copy_(torch.tensor([s.temperature or 1.0 for s in samplings], dtype=torch.float32))
        self.limits.copy_(torch.tensor([s.top_k or size for s in samplings]))


def pick_torch(logits: Any, u: Any, samplings: list[Sampling]) -> Any:
    """`pick` for rows (B,V) on any device without waiting for it: logits float32 and u (B,) float64 tensors.

    A device without float64 draws in float32. Returns codes (B,) int64.
    """
    return draw_torch(logits, u, Drawing.of(samplings, logits.shape[1], logits.device))


def draw_torch(logits: Any, u: Any, how: Drawing) -> Any:
    """`pick_torch` with everything on the device already."""
    import torch

    wide = torch.float32 if logits.device.type == "mps" else torch.float64
    scaled, order = torch.sort(logits.float() / how.heat[:, None], dim=1, descending=True, stable=True)
    weights = torch.exp(scaled.to(wide) - scaled[:, :1].to(wide))
    weights = weights.masked_fill(torch.arange(logits.shape[1], device=logits.device) >= how.limits[:, None], 0.0)
    cumulative = torch.cumsum(weights / weights.sum(1, keepdim=True), 1)
    place = torch.searchsorted(cumulative, u.to(wide)[:, None].contiguous(), right=True)[:, 0]
    place = torch.minimum(place, (weights > 0).sum(1) - 1).masked_fill(how.greedy, 0)
    return order.gather(1, place[:, None])[:, 0]


def forbidden_codes(config: CsmConfig, codebook: int, allow_eos: bool) -> npt.NDArray[np.bool_]:
    """Mark (V,) the codes that may not be drawn: all that the codec doesn't know, save a permitted EOS code."""
    forbidden = np.arange(config.codebook_size) >= config.codec_entries
    if codebook == 0 and config.eos == "code":
        forbidden[config.eos_code] = not allow_eos
    return forbidden


def check_sampling(sampling: Sampling) -> Sampling:
    """Return it, or raise InputError naming the option that can't be."""
    if sampling.temperature != 0.0 and not 0.01 <= sampling.temperature <= 100.0:
        message = f"temperature should be 0 (greedy) or 0.01 to 100, not {sampling.temperature}."
        raise InputError(message, field="temperature")
    if sampling.top_k < 0:
        raise InputError(f"top_k should be 0 (all codes) or more, not {sampling.top_k}.", field="top_k")
    return sampling
