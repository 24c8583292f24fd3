"""A Llama-style stack: pre-norm attention with grouped heads, rotary positions, SwiGLU. Knows nothing of speech.

Parameter names and the interleaved rotary layout are those of Sesame's files (torchtune's names). Letters: B batch,
S positions, D width, H heads, G key/value heads, C head width.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from .llama_config import StackConfig
from .llama_past import Past, attend_causally
from .llama_rope import inverse_frequencies, rotary_tables, rotate


class RmsNorm(nn.Module):
    """Scale to unit mean square, in float32, then by a learned factor in the input's dtype."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.dtype == torch.float32:
            return F.rms_norm(x, self.scale.shape, self.scale, self.eps)
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

    def forward(self, x: torch.Tensor, tables: torch.Tensor, past: Past | None) -> torch.Tensor:
        """x (B,S,D), tables (2,B,S,1,C); with a past it goes on from there and the past grows."""
        config = self.config
        q = self.q_proj(x).unflatten(-1, (config.heads, config.head_width))  # (B,S,H,C)
        k = self.k_proj(x).unflatten(-1, (config.kv_heads, config.head_width))  # (B,S,G,C)
        v = self.v_proj(x).unflatten(-1, (config.kv_heads, config.head_width))
        turned = rotate(torch.cat([q, k], dim=2), tables[0], tables[1])
        q, k = turned.split([config.heads, config.kv_heads], dim=2)
        attend = attend_causally if past is None else past.attend
        out = attend(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2))  # (B,H,S,C)
        return self.output_proj(out.transpose(1, 2).flatten(2))


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

    def forward(self, x: torch.Tensor, tables: torch.Tensor, past: Past | None) -> torch.Tensor:
        x = x + self.attn(self.sa_norm(x), tables, past)
        return x + self.mlp(self.mlp_norm(x))


class LlamaStack(nn.Module):
    """Embeddings (B,S,D) in, hidden states after the final norm (B,S,D) out.

    Without pasts every row starts at nothing and padding belongs at its end, where no earlier position sees it. With
    pasts (one per layer) the rows go on from there, and the pasts grow in place.
    """

    def __init__(self, config: StackConfig) -> None:
        super().__init__()
        self.config = config
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.layers))
        self.norm = RmsNorm(config.width, config.norm_eps)
        self._tables: torch.Tensor | None = None  # no buffer: it stays float32 when the weights are cast

    def forward(self, x: torch.Tensor, positions: torch.Tensor, pasts: Sequence[Past] | None = None) -> torch.Tensor:
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
