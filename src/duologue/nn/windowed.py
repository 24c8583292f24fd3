"""A transformer in which each step sees itself and a fixed number of steps before it. Knows nothing of speech.

Pre-norm with LayerNorm and GELU, a learned scale on each branch, rotary positions, no biases in the products and no
final norm. It runs whole or piece by piece with the same result for any cut: the state keeps the keys and values of
the last `context - 1` steps and each piece attends over those and itself. Time and memory grow linearly with length.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from . import rope
from .conv import State

BLOCK_STEPS = 512  # longer input is cut into blocks of this many steps, so that no mask grows with the square of it


class WindowedTransformer(nn.Module):
    """Map (B,D,S) -> (B,D,S), causally."""

    def __init__(
        self,
        width: int,
        *,
        layers: int,
        heads: int,
        hidden: int,
        context: int,
        rope_base: float = 10_000.0,
        norm_eps: float = 1e-5,
        initial_scale: float = 0.01,
    ) -> None:
        """`hidden` is the inner width of the feed-forward; a step attends to `context` steps, itself included."""
        super().__init__()
        self.heads, self.head_width, self.context, self.rope_base = heads, width // heads, context, rope_base
        self.layers = nn.ModuleList(
            _Layer(width, heads, hidden, context, norm_eps, initial_scale) for _ in range(layers)
        )

    def init_state(self, batch: int) -> State:
        """The state before the first step; `position` counts the steps each row has seen."""
        weight = next(self.parameters())
        empty = weight.new_zeros(batch, self.heads, 0, self.head_width)
        layers = {str(index): {"keys": empty, "values": empty} for index in range(len(self.layers))}
        return {"position": torch.zeros(batch, dtype=torch.int64, device=weight.device), "layers": layers}

    def forward(self, x: Tensor) -> Tensor:
        """Run over whole clips."""
        return self.step(x, self.init_state(x.shape[0]))[0]

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Run one piece of any number of steps; returns its output and the state after it."""
        outputs = []
        for block in x.transpose(1, 2).split(BLOCK_STEPS, dim=1):  # each (B,S,D)
            y, state = self._block(block, state)
            outputs.append(y)
        return torch.cat(outputs, dim=1).transpose(1, 2), state

    def _block(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        steps, position = x.shape[1], state["position"]
        places = position[:, None] + torch.arange(steps, device=x.device)  # (B,S)
        frequencies = rope.inverse_wavelengths(self.head_width, self.rope_base, x.device)
        wide = torch.promote_types(x.dtype, torch.float32)
        cosines, sines = (part[:, None] for part in rope.rotation(places, frequencies, wide))  # (B,1,S,pairs)
        mask = self._mask(position, steps, past=state["layers"]["0"]["keys"].shape[2])
        layers: State = {}
        for index, layer in enumerate(self.layers):
            x, layers[str(index)] = layer(x, state["layers"][str(index)], cosines, sines, mask)
        return x, {"position": position + steps, "layers": layers}

    def _mask(self, position: Tensor, steps: int, past: int) -> Tensor:
        """Which keys (the `past` kept ones, then the new ones) each new step may see: (B,1,steps,past+steps)."""
        query = torch.arange(steps, device=position.device)[:, None]
        key = torch.arange(-past, steps, device=position.device)
        near = (key <= query) & (query - key < self.context)
        real = key >= -position[:, None]  # a row that joined late has kept less
        return (near & real[:, None])[:, None]


class _Layer(nn.Module):
    def __init__(self, width: int, heads: int, hidden: int, context: int, norm_eps: float, scale: float) -> None:
        super().__init__()
        self.heads, self.kept = heads, context - 1
        self.norm1 = nn.LayerNorm(width, eps=norm_eps)
        self.norm2 = nn.LayerNorm(width, eps=norm_eps)
        self.qkv = nn.Linear(width, 3 * width, bias=False)  # rows: queries, keys, values; each head by head
        self.out = nn.Linear(width, width, bias=False)
        self.expand = nn.Linear(width, hidden, bias=False)
        self.contract = nn.Linear(hidden, width, bias=False)
        self.scale1 = nn.Parameter(torch.full((width,), scale))
        self.scale2 = nn.Parameter(torch.full((width,), scale))

    def forward(self, x: Tensor, state: State, cosines: Tensor, sines: Tensor, mask: Tensor) -> tuple[Tensor, State]:
        attended, state = self._attend(self.norm1(x), state, cosines, sines, mask)
        x = x + self.scale1 * attended
        return x + self.scale2 * self.contract(F.gelu(self.expand(self.norm2(x)))), state

    def _attend(self, x: Tensor, state: State, cosines: Tensor, sines: Tensor, mask: Tensor) -> tuple[Tensor, State]:
        queries, keys, values = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)  # (B,H,S,D/H)
        keys = torch.cat((state["keys"], rope.rotate(keys, cosines, sines)), dim=2)
        values = torch.cat((state["values"], values), dim=2)
        attended = F.scaled_dot_product_attention(rope.rotate(queries, cosines, sines), keys, values, attn_mask=mask)
        start = max(0, keys.shape[2] - self.kept)
        return self.out(attended.transpose(1, 2).flatten(2)), {
            "keys": keys[:, :, start:],
            "values": values[:, :, start:],
        }
