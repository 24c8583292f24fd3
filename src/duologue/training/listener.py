"""A listener that learns to read phones from real speech, and how differently made speech looks to it.

Spectral distances weigh a long vowel more than the few milliseconds that tell "mud" from "bud". The inner layers of a
reader of phones weigh what distinguishes words: the distance of these activations, real against made, is a loss for the
decoder. Trained beside it on the teacher's exact durations; it never learns from made speech. Knows no codec.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .codec_data import PHONES
from .losses_spectral import mel_bands

_WINDOW, _HOP, _BANDS = 512, 240, 80
_HOPS_PER_PHONE = 4  # a label for each half frame
_FLOOR = 1e-3


class Listener(nn.Module):
    """wav (B, N) to phone scores (B, phones, N / 960) and the activations of every layer (B, width, N / 240)."""

    hann: Tensor
    bands: Tensor

    def __init__(self, width: int = 192, layers: int = 5, kernel: int = 5) -> None:
        super().__init__()
        filters = mel_bands(_WINDOW, _BANDS)
        self.register_buffer("bands", filters / filters.sum(0), persistent=False)
        self.register_buffer("hann", torch.hann_window(_WINDOW), persistent=False)
        self.read = nn.Conv1d(_BANDS, width, 3, padding=1)
        self.layers = nn.ModuleList(nn.Conv1d(width, width, kernel, padding=kernel // 2) for _ in range(layers))
        self.norms = nn.ModuleList(nn.GroupNorm(8, width) for _ in range(layers))
        self.down = nn.Conv1d(width, width, _HOPS_PER_PHONE, _HOPS_PER_PHONE)
        self.name = nn.Conv1d(width, len(PHONES), 1)

    def forward(self, wav: Tensor) -> tuple[Tensor, list[Tensor]]:
        x = self.read(self._spectrum(wav))
        inner = []
        for norm, layer in zip(self.norms, self.layers, strict=True):
            x = x + F.gelu(layer(norm(x)))
            inner.append(x)
        return self.name(F.gelu(self.down(x))), inner

    def _spectrum(self, wav: Tensor) -> Tensor:
        """(B, N) to (B, bands, N / hop), in fp32 whatever autocast says."""
        with torch.autocast(wav.device.type, enabled=False):
            side = (_WINDOW - _HOP) // 2
            padded = F.pad(wav, (side, side))
            spectrum = torch.stft(padded, _WINDOW, _HOP, _WINDOW, self.hann, center=False, return_complex=True)
            magnitude = torch.sqrt(spectrum.real**2 + spectrum.imag**2 + 1e-8) / math.sqrt(0.375 * _WINDOW)
            return ((torch.log(magnitude.transpose(1, 2) @ self.bands + _FLOOR) + 5) / 2).transpose(1, 2)


def reading_loss(scores: Tensor, phones: Tensor) -> Tensor:
    """Cross-entropy of phone scores (B, phones, 2T) with labels (B, T, 2)."""
    return F.cross_entropy(scores.float(), phones.flatten(1))


def reading_right(scores: Tensor, phones: Tensor) -> Tensor:
    """The share of labels that the scores name."""
    return (scores.argmax(1) == phones.flatten(1)).float().mean()


def hearing_distance(real: list[Tensor], made: list[Tensor]) -> Tensor:
    """Mean difference of the activations of all layers, each relative to the size of the real ones."""
    parts = []
    for theirs, ours in zip(real, made, strict=True):
        theirs = theirs.detach().float()
        parts.append((theirs - ours.float()).abs().mean() / theirs.abs().mean())
    return torch.stack(parts).mean()
