"""Causal convolutions that run whole or piece by piece with the same result. Knows nothing of speech or rates.

A layer's state is what it must remember of the past: the last input columns of a convolution, the overhanging output
columns of an upsampling one. `step` takes a piece and the state before it and returns its output and the state after
it; the state handed in stays as it was, so a caller may keep it and go on from there again. `forward` is one `step`
from the initial state.

Input whose length is not a multiple of the stride ends the stream: its last window is completed on the right by the
layer's own padding, and the state after it means nothing.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

State = dict[str, Any]  # tensors whose first dimension is the batch, or again such dicts

# Up to this many output columns a matrix product beats torch's own convolution, which re-packs the weights each call.
FEW_COLUMNS = 32


class CausalConv(nn.Module):
    """Convolution (B,Cin,S) -> (B,Cout,ceil(S/stride)) that sees the present and the past only.

    The past before the first sample is zeros, or with padding="replicate" the first column of the first piece.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        *,
        stride: int = 1,
        dilation: int = 1,
        bias: bool = True,
        padding: Literal["zeros", "replicate"] = "zeros",
    ) -> None:
        super().__init__()
        self.inputs, self.stride, self.dilation, self.padding = inputs, stride, dilation, padding
        self.past = (kernel - 1) * dilation + 1 - stride  # columns remembered
        if self.past < 0:
            raise ValueError(f"A kernel of {kernel} leaves gaps at stride {stride}.")
        self.weight = nn.Parameter(torch.empty(outputs, inputs, kernel))
        self.bias = nn.Parameter(torch.empty(outputs)) if bias else None
        _initialise(self.weight, self.bias, fan_in=inputs * kernel)

    def init_state(self, batch: int) -> State:
        """The state before the first column."""
        state: State = {"past": self.weight.new_zeros(batch, self.inputs, self.past)}
        if self.padding == "replicate":
            state["started"] = torch.zeros(batch, dtype=torch.bool, device=self.weight.device)
        return state

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Run over whole clips; see `step` for `lengths`."""
        return self.step(x, self.init_state(x.shape[0]), lengths)[0]

    def step(self, x: Tensor, state: State, lengths: Tensor | None = None) -> tuple[Tensor, State]:
        """Run one piece. `lengths` (B,) are the columns of each row that belong to it; what follows is padding."""
        if lengths is not None and self.stride > 1:
            x = self._end_rows(x, lengths)
        past = state["past"]
        if self.padding == "replicate":
            past = torch.where(state["started"][:, None, None], past, x[..., :1])
        y = torch.cat((past, x), dim=-1)
        after: State = {"past": y[..., y.shape[-1] - self.past :]}
        if self.padding == "replicate":
            after["started"] = torch.ones_like(state["started"])
        return self._convolve(self._complete(y, -x.shape[-1] % self.stride)), after

    def _complete(self, y: Tensor, missing: int) -> Tensor:
        if not missing:
            return y
        return F.pad(y, (0, missing), mode="replicate") if self.padding == "replicate" else F.pad(y, (0, missing))

    def _end_rows(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Overwrite what follows each row's end with what the padding rule would put there."""
        inside = torch.arange(x.shape[-1], device=x.device) < lengths[:, None]  # (B,S)
        fill = x.new_zeros(())
        if self.padding == "replicate":
            last = (lengths - 1).clamp(0, x.shape[-1] - 1)[:, None, None].expand(-1, x.shape[1], 1)
            fill = x.gather(-1, last)
        return torch.where(inside[:, None], x, fill)

    def _convolve(self, y: Tensor) -> Tensor:
        kernel = self.weight.shape[-1]
        columns = (y.shape[-1] - (kernel - 1) * self.dilation - 1) // self.stride + 1
        if columns > FEW_COLUMNS or self.dilation > 1:
            return F.conv1d(y, self.weight, self.bias, self.stride, dilation=self.dilation)
        windows = y.unfold(-1, kernel, self.stride).transpose(1, 2).flatten(2)  # (B,columns,Cin*kernel)
        return F.linear(windows, self.weight.flatten(1), self.bias).transpose(1, 2)


class UpsamplingConv(nn.Module):
    """Transposed convolution (B,Cin,S) -> (B,Cout,S*stride) with a kernel of two strides.

    Each input column paints two strides of output: its own, and on top of the next column's. What the last column
    paints beyond the end is the state (without the bias, which is added once, on the way out).
    """

    def __init__(self, inputs: int, outputs: int, stride: int, *, depthwise: bool = False, bias: bool = True) -> None:
        super().__init__()
        if depthwise and inputs != outputs:
            raise ValueError("A depthwise layer has as many outputs as inputs.")
        self.outputs, self.stride, self.depthwise = outputs, stride, depthwise
        self.weight = nn.Parameter(torch.empty(inputs, 1 if depthwise else outputs, 2 * stride))
        self.bias = nn.Parameter(torch.empty(outputs)) if bias else None
        _initialise(self.weight, self.bias, fan_in=2 * (1 if depthwise else inputs))

    def init_state(self, batch: int) -> State:
        """The state before the first column: nothing overhangs."""
        return {"overhang": self.weight.new_zeros(batch, self.outputs, self.stride)}

    def forward(self, x: Tensor) -> Tensor:
        """Run over whole clips; the overhang of the last column is dropped."""
        return self.step(x, self.init_state(x.shape[0]))[0]

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Run one piece of at least one column."""
        if x.shape[-1] > FEW_COLUMNS:
            y, overhang = self._paint(x, state["overhang"])
        else:
            y, overhang = self._multiply(x, state["overhang"])
        return y if self.bias is None else y + self.bias[:, None], {"overhang": overhang}

    def _paint(self, x: Tensor, overhang: Tensor) -> tuple[Tensor, Tensor]:
        y = F.conv_transpose1d(x, self.weight, None, self.stride, groups=x.shape[1] if self.depthwise else 1)
        head = y[..., : self.stride] + overhang
        return torch.cat((head, y[..., self.stride : -self.stride]), dim=-1), y[..., -self.stride :]

    def _multiply(self, x: Tensor, overhang: Tensor) -> tuple[Tensor, Tensor]:
        """The same as one matrix product and one addition: several times faster for a few columns."""
        if self.depthwise:
            painted = x[..., None] * self.weight  # (B,C,S,2*stride)
        else:
            painted = (x.transpose(1, 2) @ self.weight.flatten(1)).unflatten(-1, (self.outputs, -1)).transpose(1, 2)
        own, over = painted.split(self.stride, dim=-1)
        y = own + torch.cat((overhang[:, :, None], over[:, :, :-1]), dim=2)
        return y.flatten(2), over[:, :, -1]


def _initialise(weight: Tensor, bias: Tensor | None, fan_in: int) -> None:
    bound = 1 / math.sqrt(fan_in)
    nn.init.uniform_(weight, -bound, bound)
    if bias is not None:
        nn.init.uniform_(bias, -bound, bound)
