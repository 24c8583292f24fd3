"""How far one sound is from another: log spectra at several scales, ear-like and linear. Knows no model.

The linear term counts each harmonic below 5 kHz; the mel term counts timbre and timing. Both also count the chance of
hiss, which no codec can repeat; the envelope term averages power over neighbours first and so sees the shape beneath.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..timebase import RATE_HZ

SCALES = ((2048, 120), (1024, 80), (512, 60), (256, 36), (128, 20), (64, 10))  # window, mel bands
_LINEAR_WINDOWS = (2048, 1024)
_LINEAR_HZ = 5_000
_ENVELOPE_WINDOWS = (1024, 512)
_ENVELOPE_POOL = (5, 3)  # frames, mel bands
_FLOOR = 3e-4
_METRIC_FLOOR = 1e-5


def mel_bands(window: int, bands: int) -> Tensor:
    """Triangular filters of equal spacing in mel (O'Shaughnessy), (window // 2 + 1, bands); none is empty."""
    top = 2595 * math.log10(1 + RATE_HZ / 2 / 700)
    edges = 700 * (10 ** (torch.linspace(0, top, bands + 2, dtype=torch.float64) / 2595) - 1)
    hertz = torch.linspace(0, RATE_HZ / 2, window // 2 + 1, dtype=torch.float64)[:, None]
    rising = (hertz - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - hertz) / (edges[2:] - edges[1:-1])
    filters = torch.minimum(rising, falling).clamp(min=0)
    for band in torch.where(filters.sum(0) == 0)[0]:
        filters[min(int(band) + 1, len(filters) - 1), band] = 1
    return filters.float()


class SpectralDistance(nn.Module):
    """Mean absolute differences of log spectra, by name: mel, linear, envelope."""

    def __init__(self) -> None:
        super().__init__()
        for window, bands in SCALES:
            filters = mel_bands(window, bands)
            self.register_buffer(f"mel{window}", filters / filters.sum(0), persistent=False)
            self.register_buffer(f"hann{window}", torch.hann_window(window), persistent=False)

    def forward(self, made: Tensor, real: Tensor) -> dict[str, Tensor]:
        """Compare sounds (B, N)."""
        mel, linear, envelope = (made.new_zeros(()) for _ in range(3))
        for window, _ in SCALES:
            ours = self._magnitude(made, window)
            with torch.no_grad():
                theirs = self._magnitude(real, window)
            filters = self.get_buffer(f"mel{window}")
            mel = mel + _log_difference(ours @ filters, theirs @ filters)
            if window in _LINEAR_WINDOWS:
                bins = _LINEAR_HZ * window // RATE_HZ
                linear = linear + _log_difference(ours[..., :bins], theirs[..., :bins])
            if window in _ENVELOPE_WINDOWS:
                envelope = envelope + _log_difference(_pool(ours @ filters), _pool(theirs @ filters))
        return {
            "mel": mel / len(SCALES),
            "linear": linear / len(_LINEAR_WINDOWS),
            "envelope": envelope / len(_ENVELOPE_WINDOWS),
        }

    def _magnitude(self, wav: Tensor, window: int) -> Tensor:
        spectrum = torch.stft(wav, window, window // 4, window, self.get_buffer(f"hann{window}"), return_complex=True)
        power = spectrum.real**2 + spectrum.imag**2
        return torch.sqrt(power + 1e-8).transpose(1, 2) / math.sqrt(0.375 * window)  # (B, frames, bins)


def _pool(mel: Tensor) -> Tensor:
    """Root mean power over neighbouring frames and bands of (B, frames, bands)."""
    return torch.sqrt(F.avg_pool2d(mel.square()[:, None], _ENVELOPE_POOL, stride=(2, 1)) + 1e-10)


def _log_difference(made: Tensor, real: Tensor) -> Tensor:
    return (torch.log(made + _FLOOR) - torch.log(real + _FLOOR)).abs().mean()


class MelMetric(nn.Module):
    """The reported figure: L1 of natural-log mel spectra (80 bands, window 1024, hop 256) where there is sound.

    Frames more than 60 dB below the loudest of the real clip don't count: the synthetic corpus has digital silence.
    """

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mel", mel_bands(1024, 80), persistent=False)
        self.register_buffer("hann", torch.hann_window(1024), persistent=False)

    def forward(self, made: Tensor, real: Tensor) -> Tensor:
        """Compare sounds (B, N); one number."""
        ours, theirs = self._mel(made), self._mel(real)
        level = theirs.mean(-1)  # (B, frames)
        heard = level > 1e-3 * level.max(-1, keepdim=True).values
        difference = (ours.clamp(min=_METRIC_FLOOR).log() - theirs.clamp(min=_METRIC_FLOOR).log()).abs().mean(-1)
        return (difference * heard).sum() / heard.sum().clamp(min=1)

    def _mel(self, wav: Tensor) -> Tensor:
        spectrum = torch.stft(wav, 1024, 256, 1024, self.get_buffer("hann"), return_complex=True).abs()
        return spectrum.transpose(1, 2) @ self.get_buffer("mel")
