"""Networks that learn to tell made speech from real by its spectrogram, and the losses of the game. Know no codec.

Two spectrograms (fine in pitch, fine in time) each get a small stack of 2-D convolutions strided along frequency, as
in UnivNet (arXiv 2106.07889), with channel counts that bf16 convolutions like (multiples of 16).
"""

from __future__ import annotations

import itertools
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SCALES = ((1024, 240), (256, 60))  # window, hop
_SLOPE = 0.1
_FLOOR = 1e-3

Judged = tuple[Tensor, list[Tensor]]  # scores, inner activations


class SpectrogramDiscriminator(nn.Module):
    """wav (B, N) to scores (B, 1, frames, bands) and the activations of every layer."""

    hann: Tensor

    def __init__(self, window: int, hop: int, channels: int) -> None:
        super().__init__()
        self.window, self.hop = window, hop
        self.register_buffer("hann", torch.hann_window(window), persistent=False)
        sizes = (1, channels, channels, channels, channels)
        self.layers = nn.ModuleList(
            nn.utils.parametrizations.weight_norm(nn.Conv2d(a, b, (3, 9), (1, 2), (1, 4)))
            for a, b in itertools.pairwise(sizes)
        )
        self.last = nn.utils.parametrizations.weight_norm(nn.Conv2d(channels, 1, 3, padding=1))

    def forward(self, wav: Tensor) -> Judged:
        x = self._spectrogram(wav)
        inner = []
        for layer in self.layers:
            x = F.leaky_relu(layer(x), _SLOPE)
            inner.append(x)
        return self.last(x), inner

    def _spectrogram(self, wav: Tensor) -> Tensor:
        with torch.autocast(wav.device.type, enabled=False):
            spectrum = torch.stft(wav, self.window, self.hop, self.window, self.hann, center=False, return_complex=True)
            power = spectrum.real**2 + spectrum.imag**2
            magnitude = torch.sqrt(power + 1e-8) / math.sqrt(0.375 * self.window)
            return ((torch.log(magnitude + _FLOOR) + 5) / 2).transpose(1, 2)[:, None]  # (B, 1, frames, bins)


class Discriminators(nn.Module):
    """All scales."""

    def __init__(self, channels: int = 32) -> None:
        super().__init__()
        self.scales = nn.ModuleList(SpectrogramDiscriminator(window, hop, channels) for window, hop in SCALES)

    def forward(self, wav: Tensor) -> list[Judged]:
        return [scale(wav) for scale in self.scales]


def judge_loss(real: list[Judged], made: list[Judged]) -> Tensor:
    """What the discriminators minimise (least squares: 1 for real, 0 for made)."""
    against = [scores.float().square().mean() for scores, _ in made]
    return fooling_loss(real) + torch.stack(against).mean()


def fooling_loss(made: list[Judged]) -> Tensor:
    """What the maker minimises: its sound scored as real."""
    return torch.stack([(1 - scores.float()).square().mean() for scores, _ in made]).mean()


def feature_distance(real: list[Judged], made: list[Judged]) -> Tensor:
    """L1 between inner activations, each relative to the real one's mean size."""
    terms = []
    for (_, theirs), (_, ours) in zip(real, made, strict=True):
        for a, b in zip(theirs, ours, strict=True):
            a = a.detach().float()
            terms.append((a - b.float()).abs().mean() / a.abs().mean().clamp(min=1e-4))
    return torch.stack(terms).mean()
