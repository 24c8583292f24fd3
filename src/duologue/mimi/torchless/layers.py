"""Layers that run piece by piece, in numpy: convolutions, norms, activations, the windowed transformer.

Everything is one stream, time first: x (S,D) float32. A layer's state is an array or a dict of arrays, replaced and
never written to, so that a copy of the dict is a fork. The torch twins are nn/conv.py and nn/windowed.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import as_strided

from ..config import TransformerConfig
from .products import Product
from .tensors import Floats, Tensors

State = dict[str, Any]
Past = tuple[Floats, Floats]  # keys and values (H,P,C)
NO_BIAS = np.float32(0)
_ERF = (0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429)  # Abramowitz & Stegun 7.1.26, error 1.5e-7


def gelu(x: Floats) -> Floats:
    """x times the normal distribution function of x."""
    z = np.abs(x) * np.float32(0.5**0.5)
    t = 1 / (1 + np.float32(0.3275911) * z)
    series = t * np.float32(_ERF[4])
    for coefficient in _ERF[3::-1]:
        series = (series + np.float32(coefficient)) * t
    below = 0.5 * series * np.exp(-z * z)  # the share of the distribution beyond |x|
    out: Floats = x * np.where(x > 0, 1 - below, below)
    return out


def elu(x: Floats) -> Floats:
    """x above zero, exp(x) - 1 below."""
    return np.where(x > 0, x, np.expm1(np.minimum(x, 0)))


class LayerNorm:
    """Each step to zero mean and unit variance, then a learned scale and shift."""

    def __init__(self, tensors: Tensors, width: int, eps: float = 1e-5) -> None:
        self.weight, self.bias = tensors.take("weight", width), tensors.take("bias", width)
        self.eps = np.float32(eps)

    def __call__(self, x: Floats) -> Floats:
        centred = x - x.mean(-1, keepdims=True)
        variance = np.square(centred).mean(-1, keepdims=True)
        out: Floats = centred * (1 / np.sqrt(variance + self.eps)) * self.weight + self.bias
        return out


class Linear:
    """x (S,inputs) to (S,outputs)."""

    def __init__(self, tensors: Tensors, inputs: int, outputs: int, bias: bool = True) -> None:
        self.product = Product(tensors.take("weight", outputs, inputs).T)
        self.bias = tensors.take("bias", outputs) if bias else NO_BIAS

    def __call__(self, x: Floats) -> Floats:
        out: Floats = self.product(x) + self.bias
        return out


class Conv:
    """Causal convolution (S,inputs) -> (S/stride,outputs); S a multiple of the stride.

    The past before the first step is zeros, or with `replicate` the first step itself.
    """

    def __init__(
        self,
        tensors: Tensors,
        inputs: int,
        outputs: int,
        kernel: int,
        *,
        stride: int = 1,
        dilation: int = 1,
        bias: bool = True,
        replicate: bool = False,
    ) -> None:
        weight = tensors.take("weight", outputs, inputs, kernel)
        self.product = Product(weight.transpose(2, 1, 0).reshape(kernel * inputs, outputs))
        self.bias = tensors.take("bias", outputs) if bias else NO_BIAS
        self.kernel, self.stride, self.dilation, self.replicate = kernel, stride, dilation, replicate
        self.inputs, self.past = inputs, (kernel - 1) * dilation + 1 - stride

    def init_state(self) -> Floats | None:
        """The state before the first step."""
        return None if self.replicate else np.zeros((self.past, self.inputs), np.float32)

    def step(self, x: Floats, state: Floats | None) -> tuple[Floats, Floats]:
        """The next piece, and the state after it."""
        past = np.repeat(x[:1], self.past, axis=0) if state is None else state
        y = np.ascontiguousarray(np.concatenate((past, x)))
        columns = (len(y) - (self.kernel - 1) * self.dilation - 1) // self.stride + 1
        out = self.product(self._windows(y, columns)) + self.bias
        return out, y[len(y) - self.past :]

    def _windows(self, y: Floats, columns: int) -> Floats:
        """(columns, kernel * inputs): undilated windows are runs of memory that overlap."""
        if self.dilation == 1:
            shape, strides = (columns, self.kernel * self.inputs), (self.stride * y.strides[0], y.strides[1])
            return np.ascontiguousarray(as_strided(y, shape, strides, writeable=False))
        taps = [y[i * self.dilation :: self.stride][:columns] for i in range(self.kernel)]
        return np.concatenate(taps, axis=1)


class Upsampling:
    """Transposed convolution (S,inputs) -> (S*stride,outputs) with a kernel of two strides."""

    def __init__(self, tensors: Tensors, inputs: int, outputs: int, stride: int, *, bias: bool = True) -> None:
        weight = tensors.take("weight", inputs, outputs, 2 * stride)
        self.product = Product(weight.transpose(0, 2, 1).reshape(inputs, 2 * stride * outputs))
        self.bias = tensors.take("bias", outputs) if bias else NO_BIAS
        self.outputs, self.stride = outputs, stride

    def init_state(self) -> Floats:
        """Nothing overhangs."""
        return np.zeros((self.stride, self.outputs), np.float32)

    def step(self, x: Floats, state: Floats) -> tuple[Floats, Floats]:
        """The next piece; the state is what the last step paints beyond it."""
        painted = self.product(x).reshape(len(x), 2 * self.stride, self.outputs)
        return lay_over(painted, state, self.bias)


class DepthwiseUpsampling:
    """The same with each channel on its own and no bias."""

    def __init__(self, tensors: Tensors, width: int, stride: int) -> None:
        self.weight = np.ascontiguousarray(tensors.take("weight", width, 1, 2 * stride)[:, 0].T)  # (2*stride,D)
        self.stride = stride

    def init_state(self) -> Floats:
        """Nothing overhangs."""
        return np.zeros((self.stride, self.weight.shape[1]), np.float32)

    def step(self, x: Floats, state: Floats) -> tuple[Floats, Floats]:
        """The next piece."""
        return lay_over(x[:, None] * self.weight, state)


def lay_over(painted: Floats, overhang: Floats, bias: Floats | np.float32 = NO_BIAS) -> tuple[Floats, Floats]:
    """Two strides painted by each step (S,2*stride,D) -> their sum (S*stride,D), and what hangs over the end."""
    stride = painted.shape[1] // 2
    own, over = painted[:, :stride], painted[:, stride:]
    y = own + np.concatenate((overhang[None], over[:-1])) + bias
    return y.reshape(-1, painted.shape[2]), over[-1]


class Transformer:
    """Pre-norm attention over the last `context` steps, GELU, a learned scale on each branch."""

    def __init__(self, tensors: Tensors, width: int, config: TransformerConfig) -> None:
        self.config, self.width, self.head_width = config, width, width // config.heads
        self.layers = [_Layer(tensors.within(f"layers.{i}"), width, config) for i in range(config.layers)]
        pairs = np.arange(0, self.head_width, 2, dtype=np.float64) / self.head_width
        self._frequencies = config.rope_base**-pairs

    def init_state(self) -> State:
        """Nothing has been seen."""
        empty = np.zeros((self.config.heads, 0, self.head_width), np.float32)
        return {"position": 0, "layers": [(empty, empty)] * self.config.layers}

    def step(self, x: Floats, state: State) -> tuple[Floats, State]:
        """The next steps (S,D); a piece should be short, attention within it is dense."""
        angles = np.arange(state["position"], state["position"] + len(x))[:, None] * self._frequencies
        turns = np.exp(1j * angles).astype(np.complex64)  # (S,pairs)
        mask = self._mask(len(x), state["layers"][0][0].shape[1])
        layers = []
        for layer, past in zip(self.layers, state["layers"], strict=True):
            x, after = layer.step(x, past, turns, mask)
            layers.append(after)
        return x, {"position": state["position"] + len(x), "layers": layers}

    def _mask(self, steps: int, past: int) -> npt.NDArray[np.bool_]:
        """Which of the kept and new keys each step may see (S,past+S)."""
        away = np.arange(steps)[:, None] - np.arange(-past, steps)
        return (away >= 0) & (away < self.config.context)


class _Layer:
    def __init__(self, tensors: Tensors, width: int, config: TransformerConfig) -> None:
        self.heads, self.kept = config.heads, config.context - 1
        self.norm1 = LayerNorm(tensors.within("norm1"), width, config.norm_eps)
        self.norm2 = LayerNorm(tensors.within("norm2"), width, config.norm_eps)
        self.qkv = Linear(tensors.within("qkv"), width, 3 * width, bias=False)
        self.out = Linear(tensors.within("out"), width, width, bias=False)
        self.expand = Linear(tensors.within("expand"), width, config.hidden, bias=False)
        self.contract = Linear(tensors.within("contract"), config.hidden, width, bias=False)
        self.scale1, self.scale2 = tensors.take("scale1", width), tensors.take("scale2", width)

    def step(
        self, x: Floats, past: tuple[Floats, Floats], turns: Any, mask: Any
    ) -> tuple[Floats, tuple[Floats, Floats]]:
        attended, after = self._attend(self.norm1(x), past, turns, mask)
        x = x + self.scale1 * attended
        return x + self.scale2 * self.contract(gelu(self.expand(self.norm2(x)))), after

    def _attend(self, x: Floats, past: Past, turns: Any, mask: Any) -> tuple[Floats, Past]:
        heads = self.qkv(x).reshape(len(x), 3, self.heads, -1).transpose(1, 2, 0, 3)  # (3,H,S,C)
        queries, keys = (_rotate(part, turns) for part in heads[:2])
        keys, values = (np.concatenate(pair, axis=1) for pair in ((past[0], keys), (past[1], heads[2])))
        scores = queries @ keys.swapaxes(1, 2) * np.float32(queries.shape[-1] ** -0.5)  # (H,S,L)
        scores = np.where(mask, scores, np.float32(-np.inf))
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        attended = (weights @ values) / weights.sum(-1, keepdims=True)  # (H,S,C)
        start = max(0, keys.shape[1] - self.kept)
        joined = np.ascontiguousarray(attended.transpose(1, 0, 2)).reshape(len(x), -1)
        return self.out(joined), (keys[:, start:], values[:, start:])


def _rotate(x: Floats, turns: Any) -> Floats:
    """Turn pairs (2i, 2i + 1) of x (H,S,C): as complex numbers, a product."""
    turned = np.ascontiguousarray(x).view(np.complex64) * turns
    return turned.view(np.float32)
