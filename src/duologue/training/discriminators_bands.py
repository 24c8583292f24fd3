"""Judges of made speech that cost little: a log spectrum's bands as the channels of convolutions along time.

Two-dimensional judges (discriminators.py) look at every bin with the same small window and cost several times as much
as the codec that they judge. Here each layer is one matrix product a frame, so whole crops can be judged: a view fine
in pitch, which sees whether harmonics are as sharp as real ones, one fine in time, and one shorter than a period of the
voice that sees phases too, so the shape of each pulse. Know no codec.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..timebase import RATE_HZ
from .discriminators import Judged
from .losses_spectral import mel_bands

_SLOPE = 0.1
_FLOOR = 1e-3
_KERNEL = 3


@dataclass(frozen=True)
class View:
    """A spectrum: window and hop in samples; mel bands, or without them all bins below `top_hz`.

    `phases`: real and imaginary parts, each compressed by the square root of the magnitude, instead of log magnitudes.
    """

    window: int
    hop: int
    mel: int | None = None
    top_hz: int = 6_000
    phases: bool = False


VIEWS = (View(1024, 240), View(512, 120, mel=80), View(256, 64, top_hz=12_000, phases=True))


class BandDiscriminator(nn.Module):
    """wav (B, N) to scores (B, 1, frames) and the activations of every layer."""

    hann: Tensor
    bands: Tensor

    def __init__(self, view: View, channels: int, layers: int = 4) -> None:
        super().__init__()
        self.view = view
        self.register_buffer("hann", torch.hann_window(view.window), persistent=False)
        if view.mel is None:
            read = torch.eye(view.window // 2 + 1)[:, 1 : view.top_hz * view.window // RATE_HZ]
        else:
            read = mel_bands(view.window, view.mel)
            read = read / read.sum(0)
        self.register_buffer("bands", read.contiguous(), persistent=False)
        sizes = (read.shape[1] * (1 + view.phases), *[channels] * layers)
        normed = nn.utils.parametrizations.weight_norm
        self.layers = nn.ModuleList(
            normed(nn.Conv1d(a, b, _KERNEL, stride=2 if place == layers - 1 else 1))
            for place, (a, b) in enumerate(itertools.pairwise(sizes))
        )
        self.last = normed(nn.Conv1d(channels, 1, _KERNEL))

    def forward(self, wav: Tensor) -> Judged:
        x = self._spectrum(wav)
        inner = []
        for layer in self.layers:
            x = F.leaky_relu(layer(x), _SLOPE)
            inner.append(x)
        return self.last(x), inner

    def _spectrum(self, wav: Tensor) -> Tensor:
        """(B, N) to (B, bands, frames), in fp32 whatever autocast says."""
        view = self.view
        with torch.autocast(wav.device.type, enabled=False):
            spectrum = torch.stft(wav, view.window, view.hop, view.window, self.hann, center=False, return_complex=True)
            power = spectrum.real**2 + spectrum.imag**2
            if view.phases:
                compressed = torch.view_as_real(spectrum) / (power + 1e-6).pow(0.25)[..., None]
                return torch.cat([compressed[:, 1:-1, :, 0], compressed[:, 1:-1, :, 1]], dim=1)
            magnitude = torch.sqrt(power + 1e-8).transpose(1, 2) / math.sqrt(0.375 * view.window)
            return ((torch.log(magnitude @ self.bands + _FLOOR) + 5) / 2).transpose(1, 2)


class BandDiscriminators(nn.Module):
    """All views."""

    def __init__(self, channels: int = 128) -> None:
        super().__init__()
        self.scales = nn.ModuleList(BandDiscriminator(view, channels) for view in VIEWS)

    def forward(self, wav: Tensor) -> list[Judged]:
        return [scale(wav) for scale in self.scales]
