"""A Llama-style stack: pre-norm attention with grouped heads, rotary positions, SwiGLU. Knows nothing of speech.

Parameter names and the interleaved rotary layout are those of Sesame's files (torchtune's names). Letters: B batch,
S positions, D width, H heads, G key/value heads, C head width.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from .llama_config import StackConfig
from .llama_rope import inverse_frequencies, rotary_tables, rotate


class LayerPast:
    """Keys and values (G, room, C) that one layer keeps of one sequence; the first `length` places are filled."""

    def __init__(self, config: StackConfig, room: int, like: torch.Tensor) -> None:
        shape = (config.kv_heads, room, config.head_width)
        self.keys = like.new_zeros(shape)
        self.values = like.new_zeros(shape)
        self.length = 0

    def append(self, keys: torch.Tensor, values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Add (G,S,C) keys and values; return all of them. Doubles its room when full."""
        end = self.length + keys.shape[1]
        if end > self.keys.shape[1]:
            self.reserve(max(end, 2 * self.keys.shape[1]))
        self.keys[:, self.length : end] = keys
        self.values[:, self.length : end] = values
        self.length = end
        return self.keys[:, :end], self.values[:, :end]

    def reserve(self, room: int) -> None:
        """Make place for `room` positions in all."""
        keys, values = self.keys, self.values
        self.keys = keys.new_zeros((keys.shape[0], room, keys.shape[2]))
        self.values = torch.zeros_like(self.keys)
        self.keys[:, : self.length] = keys[:, : self.length]
        self.values[:, : self.length] = values[:, : self.length]

    def copy(self) -> LayerPast:
        """The same past in its own memory."""
        twin = LayerPast.__new__(LayerPast)
        twin.keys, twin.values, twin.length = self.keys.clone(), self.values.clone(), self.length
        return twin


class RmsNorm(nn.Module):
    """Scale to unit mean square, in float32, then by a learned factor in the input's dtype."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.rms_norm(x.float(), self.scale.shape, None, self.eps).to(x.dtype) * self.scale


class Attention(nn.Module):
    """Causal self-attention; H query heads share G key/value heads."""

    def __init__(self, config: StackConfig) -> None:
        super().__init__()
        self.config = config
        inner, kv_inner = config.heads * config.head_width, config.kv_heads * config.head_width
        self.q_proj = nn.Linear(config.width, inner, bias=False)
        self.k_proj = nn.Linear(config.width, kv_inner, bias=False)
        self.v_proj = nn.Linear(config.width, kv_inner, bias=False)
        self.output_proj = nn.Linear(inner, config.width, bias=False)

    def forward(self, x: torch.Tensor, tables: torch.Tensor, pasts: list[LayerPast] | None) -> torch.Tensor:
        """x (B,S,D), tables (2,B,S,1,C); with pasts, row b continues pasts[b]."""
        config = self.config
        q = self.q_proj(x).unflatten(-1, (config.heads, config.head_width))  # (B,S,H,C)
        k = self.k_proj(x).unflatten(-1, (config.kv_heads, config.head_width))  # (B,S,G,C)
        v = self.v_proj(x).unflatten(-1, (config.kv_heads, config.head_width))
        turned = rotate(torch.cat([q, k], dim=2), tables[0], tables[1])
        q, k = turned.split([config.heads, config.kv_heads], dim=2)
        q, k, v = q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)  # (B,heads,S,C)
        if pasts is None:
            out = F.scaled_dot_product_attention(q, self._spread(k), self._spread(v), is_causal=True)
        else:
            out = torch.stack([self._continue(q[b], *past.append(k[b], v[b])) for b, past in enumerate(pasts)])
        return self.output_proj(out.transpose(1, 2).flatten(2))

    def _spread(self, kv: torch.Tensor) -> torch.Tensor:
        """(…,G,S,C) -> (…,H,S,C): each key/value head serves H / G query heads in a row."""
        return kv.repeat_interleave(self.config.heads // self.config.kv_heads, dim=-3)

    def _continue(self, q: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        """q (H,S,C) against the whole past (G,L,C), of which the last S places are its own."""
        heads, steps, width = q.shape
        if steps == 1:  # the heads of a group stand as positions of one attention: nothing to mask or spread
            grouped = q.reshape(self.config.kv_heads, -1, width)
            out = F.scaled_dot_product_attention(grouped[None], keys[None], values[None])
            return out.reshape(heads, 1, width)
        total = keys.shape[1]
        mask = torch.ones(steps, total, dtype=torch.bool, device=q.device).tril(total - steps)
        out = F.scaled_dot_product_attention(
            q[None], self._spread(keys)[None], self._spread(values)[None], attn_mask=mask
        )
        return out[0]


class FeedForward(nn.Module):
    """SwiGLU: w2(silu(w1 x) · w3 x)."""

    def __init__(self, config: StackConfig) -> None:
        super().__init__()
        self.w1 = nn.Linear(config.width, config.hidden, bias=False)
        self.w2 = nn.Linear(config.hidden, config.width, bias=False)
        self.w3 = nn.Linear(config.width, config.hidden, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.w2(F.silu(self.w1(x)) * self.w3(x))


class Layer(nn.Module):
    """Attention and feed-forward, each normalised before and added after."""

    def __init__(self, config: StackConfig) -> None:
        super().__init__()
        self.attn = Attention(config)
        self.mlp = FeedForward(config)
        self.sa_norm = RmsNorm(config.width, config.norm_eps)
        self.mlp_norm = RmsNorm(config.width, config.norm_eps)

    def forward(self, x: torch.Tensor, tables: torch.Tensor, pasts: list[LayerPast] | None) -> torch.Tensor:
        x = x + self.attn(self.sa_norm(x), tables, pasts)
        return x + self.mlp(self.mlp_norm(x))


class LlamaStack(nn.Module):
    """Embeddings (B,S,D) in, hidden states after the final norm (B,S,D) out.

    Without pasts every row starts at nothing and padding belongs at its end, where no earlier position sees it. With
    pasts (one list per layer, one LayerPast per row) each row goes on from its own past, which grows in place.
    """

    def __init__(self, config: StackConfig) -> None:
        super().__init__()
        self.config = config
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.layers))
        self.norm = RmsNorm(config.width, config.norm_eps)
        self._tables: torch.Tensor | None = None  # no buffer: it stays float32 when the weights are cast

    def forward(
        self, x: torch.Tensor, positions: torch.Tensor, pasts: list[list[LayerPast]] | None = None
    ) -> torch.Tensor:
        """positions (B,S) below max_positions."""
        tables = self._rotary_tables(x.device)[:, positions][:, :, :, None]  # (2,B,S,1,C)
        for i, layer in enumerate(self.layers):
            x = layer(x, tables, None if pasts is None else pasts[i])
        return self.norm(x)

    def _rotary_tables(self, device: torch.device) -> torch.Tensor:
        if self._tables is None or self._tables.device != device:
            config = self.config
            inverse = inverse_frequencies(config.head_width, config.rope_base, config.rope_scaling)
            self._tables = rotary_tables(config.max_positions, inverse).to(device)
        return self._tables
