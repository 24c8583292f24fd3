"""The teacher's decoder and generator in torch, bfloat16 in the matrix units: what its front has planned becomes sound.

StyleTTS 2's decoder with the iSTFT generator of Kokoro-82M, from dequantized weights. Sequences are (T, D).
Source: github.com/yl4579/StyleTTS2 (Modules/istftnet.py) and the ONNX graph of Kokoro-82M. Knows nothing of files.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from .teacher_layers import (
    Convolution,
    Moments,
    Upsampling,
    doubled,
    leaky,
    moments_of,
    overlap_add,
    snake,
    strided,
)

DILATIONS = (1, 3, 5)
BLOCK_SLOW, BLOCK_MIDDLE, BLOCK_FAST = 128, 512, 1024  # frames at 40 or 80, 800 and 4800 Hz
BINS, WINDOW, HOP = 11, 20, 5
ROOT_HALF = 0.5**0.5


def has_matrix_units() -> bool:
    """Has this CPU matrix units for bfloat16?"""
    return bool(torch.cpu._is_amx_tile_supported())


class Sound:
    """Speak what the front has planned; the same samples in every run on one kind of CPU."""

    def __init__(self, weights: Mapping[str, np.ndarray], dtype: torch.dtype = torch.bfloat16) -> None:
        w = {name: torch.from_numpy(np.array(array)) for name, array in weights.items()}
        self._residual_of_content = Convolution(w["asr_res.0.weight"], w["asr_res.0.bias"], 1, BLOCK_SLOW, dtype)
        self._blocks = [DecoderBlock(w, name, dtype) for name in ("encode", *(f"decode.{i}" for i in range(4)))]
        self._generator = Generator(w, dtype)

    @torch.inference_mode()
    def __call__(
        self, content: np.ndarray, pitch: np.ndarray, energy: np.ndarray, source: np.ndarray, style: np.ndarray
    ) -> np.ndarray:
        """Content (1, 512, T), pitch and energy (1, 1, T), source (1, 22, 120 T + 1), style (1, 128) -> (600 T,)."""
        curves = torch.from_numpy(np.concatenate([pitch[0], energy[0]])).T  # (T, 2)
        spoken, look = torch.from_numpy(content[0]).T, torch.from_numpy(style[0])
        residual = self._residual_of_content.of(spoken)  # (T, 64)
        x = self._blocks[0](torch.cat([spoken, curves], 1), look)
        for block in self._blocks[1:]:
            x = block(torch.cat([x, residual, curves], 1), look)
        return self._generator(x, torch.from_numpy(source[0]).T.contiguous(), look).numpy()


class DecoderBlock:
    """A residual block of the decoder, (T, in) -> (T, out); the last one doubles the frames."""

    def __init__(self, w: Mapping[str, Tensor], name: str, dtype: torch.dtype) -> None:
        self._convolutions = [
            Convolution(w[f"{name}.conv{i}.weight"], w[f"{name}.conv{i}.bias"], 1, BLOCK_SLOW, dtype) for i in (1, 2)
        ]
        self._shortcut = Convolution(w[f"{name}.conv1x1.weight"], None, 1, BLOCK_SLOW, dtype)
        self._styles = [Style(w, f"{name}.norm{i}") for i in (1, 2)]
        self._pool = (w[f"{name}.pool.weight"], w[f"{name}.pool.bias"]) if f"{name}.pool.weight" in w else None

    def __call__(self, x: Tensor, look: Tensor) -> Tensor:
        y = leaky(x, moments_of(x, BLOCK_SLOW).affine(self._styles[0](look)))
        if self._pool:
            x, y = x.repeat_interleave(2, 0), doubled(y, *self._pool)
        y = self._convolutions[0].of(y)
        y = self._convolutions[1].of(leaky(y, moments_of(y, BLOCK_SLOW).affine(self._styles[1](look))))
        return (y + self._shortcut.of(x)) * ROOT_HALF


class Style:
    """What a voice's look (128,) makes of one normalisation: scales and offsets, (2 D,)."""

    def __init__(self, w: Mapping[str, Tensor], name: str) -> None:
        self._weight, self._bias = w[f"{name}.fc.weight"], w[f"{name}.fc.bias"]

    def __call__(self, look: Tensor) -> Tensor:
        return F.linear(look, self._weight, self._bias)


class ResidualBlock:
    """Three pairs of dilated and plain convolutions with snakes before them, (T, D) -> (T, D) float32."""

    def __init__(self, w: Mapping[str, Tensor], name: str, block: int, dtype: torch.dtype) -> None:
        self._steps = []
        self._block, self._dtype = block, dtype
        for number, dilation in enumerate(DILATIONS):
            for half, spread in ((1, dilation), (2, 1)):
                layer = f"{name}.convs{half}.{number}"
                convolution = Convolution(w[f"{layer}.weight"], w[f"{layer}.bias"], spread, block, dtype)
                style = Style(w, f"{name}.adain{half}.{number}")
                self._steps.append((style, w[f"{name}.alpha{half}.{number}"], convolution))

    def __call__(self, x: Tensor, look: Tensor) -> Tensor:
        x = x.clone()
        y = torch.empty(x.shape, dtype=self._dtype)
        moments = moments_of(x, self._block)
        for number, (style, alpha, convolution) in enumerate(self._steps):
            affine, moments = moments.affine(style(look)), Moments()
            for start, rows in convolution.blocks(len(x), snake(y if number % 2 else x, affine, alpha)):
                part = rows.float()
                if number % 2:
                    part = x[start : start + len(rows)].add_(part)
                else:
                    y[start : start + len(rows)] = rows
                moments.add(part)
        return x


class Generator:
    """Features at 80 Hz and the harmonic source -> magnitudes and phases at 4800 Hz -> samples."""

    def __init__(self, w: Mapping[str, Tensor], dtype: torch.dtype) -> None:
        self._ups = [Upsampling(w[f"generator.ups.{i}.weight"], w[f"generator.ups.{i}.bias"], dtype) for i in (0, 1)]
        self._source = [(w[f"generator.noise_convs.{i}.weight"], w[f"generator.noise_convs.{i}.bias"]) for i in (0, 1)]
        blocks = (BLOCK_MIDDLE, BLOCK_FAST)
        self._of_source = [ResidualBlock(w, f"generator.noise_res.{i}", blocks[i], dtype) for i in (0, 1)]
        self._blocks = [ResidualBlock(w, f"generator.resblocks.{i}", blocks[i // 3], dtype) for i in range(6)]
        last = w["generator.conv_post.weight"], w["generator.conv_post.bias"]
        self._last = Convolution(*last, dilation=1, block=BLOCK_FAST, dtype=torch.float32)
        self._basis = w["generator.istft.stft.weight"][:, 0]  # (22, 20)
        self._window_sum = w["window_sum"]

    def __call__(self, x: Tensor, source: Tensor, look: Tensor) -> Tensor:
        """(T, 512), source (60 T + 1, 22), look (128,) -> samples (300 T,)."""
        for stage in (0, 1):
            x = self._ups[stage](F.leaky_relu(x, 0.1))
            if stage == 1:
                x = torch.cat([x[1:2], x])  # a reflected frame in front
            harmonics = strided(source, *self._source[stage], stride=(6, 1)[stage])
            x = x + self._of_source[stage](harmonics, look)
            first, second, third = (block(x, look) for block in self._blocks[3 * stage : 3 * stage + 3])
            x = first.add_(second).add_(third).div_(3)
        return self._samples(F.leaky_relu(x, 0.01))

    def _samples(self, x: Tensor) -> Tensor:
        x = self._last.of(x)  # (T, 22): logarithms of magnitudes, then what a sine makes phases
        magnitude, phase = x[:, :BINS].exp(), x[:, BINS:].sin()
        waves = torch.cat([magnitude * phase.cos(), magnitude * phase.sin()], 1) @ self._basis  # (T, 20)
        samples = overlap_add(waves, HOP)
        samples[:WINDOW] /= self._window_sum  # compatibility: the exported graph divides the first window only
        return samples[WINDOW // 2 : -WINDOW // 2] * (WINDOW / HOP)
