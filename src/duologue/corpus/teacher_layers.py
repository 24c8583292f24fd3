"""Layers of the teacher's sound in torch: sequences are (T, D), channels last, as the matrix units like them.

Convolutions multiply in bfloat16 and go over the sequence in blocks of one size: what surrounds them stays in the
cache, and oneDNN prepares one kernel a layer and not one for every length. Statistics, sines and sums stay in float32.
Knows nothing of Kokoro's order of layers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

EPSILON = 1e-5

Fill = Callable[[int, int, Tensor], None]  # (first, last, into): write these frames of the input into (last - first, D)


def can_pack(dtype: torch.dtype) -> bool:
    """Can oneDNN lay out weights beforehand and multiply in this type on this CPU?"""
    known = torch.backends.mkldnn.is_available()
    return known and (dtype == torch.float32 or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported()))


class Convolution:
    """A convolution of stride 1 that keeps the length. weight (out, in, K), bias (out,) or None."""

    def __init__(self, weight: Tensor, bias: Tensor | None, dilation: int, block: int, dtype: torch.dtype) -> None:
        self._outputs, self._inputs, kernel = weight.shape
        self._margin = (kernel - 1) // 2 * dilation
        self._dilation, self._block, self._dtype = dilation, block, dtype
        self._rows = block + 2 * self._margin
        self._bias = None if bias is None else bias.to(dtype)
        self._weight = weight.to(dtype)[:, :, None].contiguous(memory_format=torch.channels_last)  # (out, in, 1, K)
        self._packed = can_pack(dtype)
        if self._packed:
            self._weight = torch._C._nn.mkldnn_reorder_conv2d_weight(  # type: ignore[call-arg]  # its stub is older
                self._weight.to_mkldnn(), [0, 0], [1, 1], [1, dilation], 1, [1, self._inputs, 1, self._rows]
            )

    def blocks(self, frames: int, fill: Fill) -> Iterator[tuple[int, Tensor]]:
        """Yield (start, rows (n, out)) until all T = `frames` are there; `fill` makes the input piece by piece."""
        room = torch.empty(self._rows, self._inputs, dtype=self._dtype)
        for start in range(0, frames, self._block):
            origin = start - self._margin
            first, last = max(origin, 0), min(origin + self._rows, frames)
            room[: first - origin] = 0
            fill(first, last, room[first - origin : last - origin])
            room[last - origin :] = 0
            yield start, self._multiply(room)[: frames - start]

    def of(self, sequence: Tensor) -> Tensor:
        """(T, in) -> (T, out) float32."""

        def fill(first: int, last: int, into: Tensor) -> None:
            into.copy_(sequence[first:last])

        return torch.cat([rows.float() for _, rows in self.blocks(len(sequence), fill)])

    def _multiply(self, room: Tensor) -> Tensor:
        """(block + 2 margin, in) -> (block, out)."""
        image = room[None, None].permute(0, 3, 1, 2)  # (1, in, 1, rows): the same memory, channels last
        if self._packed:
            made = torch.ops.mkldnn._convolution_pointwise(
                image, self._weight, self._bias, [0, 0], [1, 1], [1, self._dilation], 1, "none", [], ""
            )
        else:
            made = F.conv2d(image, self._weight, self._bias, dilation=(1, self._dilation))
        return made.permute(0, 2, 3, 1)[0, 0]


@dataclass(frozen=True)
class Affine:
    """What instance normalisation and style make of a sequence: x gain + shift, both (D,) float32."""

    gain: Tensor
    shift: Tensor


class Moments:
    """Mean and variance over time, of pieces as they come; their sums are added up in float64."""

    def __init__(self) -> None:
        self._frames = 0
        self._sums: list[Tensor] = []
        self._squares: list[Tensor] = []
        self._centre: Tensor | None = None  # near the mean, so that nothing cancels in the squares

    def add(self, piece: Tensor) -> None:
        """(n, D) float32."""
        if self._centre is None:
            self._centre = piece.mean(0)
        piece = piece - self._centre
        ones = piece.new_ones(1, len(piece))
        self._frames += len(piece)
        self._sums.append(ones @ piece)
        self._squares.append(ones @ piece.square_())

    def affine(self, style: Tensor) -> Affine:
        """Adaptive instance normalisation by style (2 D,) = scale - 1, then offset."""
        assert self._centre is not None
        mean = torch.cat(self._sums).double().sum(0) / self._frames
        variance = torch.cat(self._squares).double().sum(0) / self._frames - mean * mean
        scale, offset = style.chunk(2)
        gain = (1 + scale) / torch.sqrt(variance.clamp_min(0).float() + EPSILON)
        return Affine(gain, offset - (mean.float() + self._centre) * gain)


def moments_of(sequence: Tensor, piece: int) -> Moments:
    """Those of (T, D) float32, added up in pieces of so many frames."""
    moments = Moments()
    for part in sequence.split(piece):
        moments.add(part)
    return moments


def snake(sequence: Tensor, affine: Affine, alpha: Tensor) -> Fill:
    """What writes y + sin²(alpha y) / alpha, y = x gain + shift, of (T, D) piece by piece."""
    fast, inverse = Affine(alpha * affine.gain, alpha * affine.shift), 1 / alpha

    def fill(first: int, last: int, into: Tensor) -> None:
        x = sequence[first:last].float()
        wave = torch.addcmul(fast.shift, x, fast.gain).sin_().square_()
        into.copy_(torch.addcmul(affine.shift, x, affine.gain).addcmul_(wave, inverse))

    return fill


def leaky(sequence: Tensor, affine: Affine) -> Tensor:
    """Leaky ReLU (0.2) of x gain + shift, (T, D)."""
    return F.leaky_relu(torch.addcmul(affine.shift, sequence, affine.gain), 0.2)


class Upsampling:
    """A transposed convolution with stride = K / 2 and padding K / 4: (T, in) -> (T K / 2, out) float32.

    weight (in, out, K); each frame makes K rows, of which the second half falls on the first of the next frame.
    """

    def __init__(self, weight: Tensor, bias: Tensor, dtype: torch.dtype) -> None:
        inner, self._width, kernel = weight.shape
        self._stride = kernel // 2
        self._matrix = weight.permute(0, 2, 1).reshape(inner, -1).to(dtype)  # (in, K out)
        self._bias = bias

    def __call__(self, sequence: Tensor) -> Tensor:
        frames = len(sequence)
        made = (sequence.to(self._matrix.dtype) @ self._matrix).view(frames, 2, self._stride, self._width).float()
        sums = self._bias.repeat(frames + 1, self._stride, 1)  # (T + 1, stride, out)
        sums[:frames] += made[:, 0]
        sums[1:] += made[:, 1]
        cut = self._stride // 2
        return sums.view(-1, self._width)[cut : cut + frames * self._stride]


def strided(sequence: Tensor, weight: Tensor, bias: Tensor, stride: int) -> Tensor:
    """A convolution in float32, padded by a quarter of K: (T, in), weight (out, in, K) -> (about T / stride, out)."""
    kernel = weight.shape[-1]
    edge = kernel // 4
    windows = F.pad(sequence, (0, 0, edge, edge)).unfold(0, kernel, stride)  # (T / stride, in, K)
    return F.linear(windows.flatten(1), weight.flatten(1), bias)


def doubled(sequence: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Twice as many frames by a transposed convolution of each channel: (T, D), weight (D, 1, 3) -> (2 T, D)."""
    before, here, after = weight[:, 0].unbind(1)
    following = F.pad(sequence[1:], (0, 0, 0, 1))
    return torch.stack([sequence * here, sequence * after + following * before], dim=1).flatten(0, 1) + bias


def overlap_add(pieces: Tensor, hop: int) -> Tensor:
    """Windows (T, W) laid over each other at every hop: ((T - 1) hop + W,)."""
    frames, window = pieces.shape
    sums = pieces.new_zeros(frames + window // hop - 1, hop)
    for number, part in enumerate(pieces.split(hop, dim=1)):
        sums[number : number + frames] += part
    return sums.flatten()
