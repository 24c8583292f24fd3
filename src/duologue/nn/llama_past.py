"""Keys and values that a Llama layer keeps of what it has read. Knows no projection and no rotation.

Letters: B batch, S new positions, L all positions, H query heads, G key/value heads, C head width.
"""

from __future__ import annotations

from typing import Protocol

import torch
import torch.nn.functional as F

from .llama_config import StackConfig


class Past(Protocol):
    """One layer's past: takes in new keys and values, and attends to everything so far."""

    def attend(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        """q (B,H,S,C), k and v (B,G,S,C), in order of time. Returns (B,H,S,C)."""
        ...


class EvenPast:
    """Rows of equal length: keys and values (B,G,room,C), the first `length` places filled. Grows when full."""

    def __init__(self, config: StackConfig, batch: int, room: int, like: torch.Tensor) -> None:
        self.keys = like.new_zeros((batch, config.kv_heads, room, config.head_width))
        self.values = torch.zeros_like(self.keys)
        self.length = 0

    def attend(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        start, end = self.length, self.length + k.shape[2]
        if end > self.keys.shape[2]:
            self._grow(max(end, 2 * self.keys.shape[2]))
        self.keys[:, :, start:end] = k
        self.values[:, :, start:end] = v
        self.length = end
        return attend_causally(q, self.keys[:, :, :end], self.values[:, :, :end])

    def copy(self) -> EvenPast:
        """The same past in memory of its own."""
        twin = EvenPast.__new__(EvenPast)
        twin.keys, twin.values, twin.length = self.keys.clone(), self.values.clone(), self.length
        return twin

    def _grow(self, room: int) -> None:
        batch, heads, old, width = self.keys.shape
        more = self.keys.new_zeros((batch, heads, room - old, width))
        self.keys = torch.cat([self.keys, more], dim=2)
        self.values = torch.cat([self.values, more], dim=2)


class UnevenPast:
    """Rows of unequal lengths, each with its own EvenPast of batch 1."""

    def __init__(self, rows: list[EvenPast]) -> None:
        self.rows = rows

    def attend(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        parts = [row.attend(q[b : b + 1], k[b : b + 1], v[b : b + 1]) for b, row in enumerate(self.rows)]
        return torch.cat(parts)


def attend_causally(q: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """q (B,H,S,C) stands at the last S of the L places of keys and values (B,G,L,C). Returns (B,H,S,C)."""
    batch, heads, steps, width = q.shape
    groups, total = keys.shape[1], keys.shape[2]
    if steps == 1:  # the heads of a group stand as positions of one attention: nothing to mask or to spread
        grouped = q.reshape(batch, groups, heads // groups, width)
        return F.scaled_dot_product_attention(grouped, keys, values).reshape(batch, heads, 1, width)
    keys = keys.repeat_interleave(heads // groups, dim=1)
    values = values.repeat_interleave(heads // groups, dim=1)
    if steps == total:
        return F.scaled_dot_product_attention(q, keys, values, is_causal=True)
    seen = torch.ones(steps, total, dtype=torch.bool, device=q.device).tril(total - steps)
    return F.scaled_dot_product_attention(q, keys, values, attn_mask=seen)
