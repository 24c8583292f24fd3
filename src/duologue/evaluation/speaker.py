"""Whose voice is it? Speaker embeddings and their similarity, by Resemblyzer's GE2E network (Apache-2.0).

Only the network's weights are taken from the package; its front end (librosa, webrtcvad) is replaced by 40 Slaney mel
bands here. Same voice: cosine 0.80 to 0.92; different voices: 0.4 to 0.7.
"""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from ..errors import BackendUnavailable
from ..timebase import RATE_HZ
from .asr import ASR_RATE_HZ, Samples, trim

MELS, FFT, HOP = 40, 400, 160  # 25 ms windows, 10 ms apart, at 16 kHz
PARTIAL, PARTIAL_STEP = 160, 77  # frames of one partial embedding: 1.6 s, about half overlapping
LEVEL_DBFS = -30.0  # quieter speech is raised to this
Embedding = npt.NDArray[np.float32]


class SpeakerNetwork(nn.Module):
    """Three LSTM layers and a projection: mel frames (B,T,40) to unit embeddings (B,256)."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(MELS, 256, 3, batch_first=True)
        self.linear = nn.Linear(256, 256)

    def forward(self, mels: torch.Tensor) -> torch.Tensor:
        _, (hidden, _) = self.lstm(mels)
        raw = self.linear(hidden[-1]).relu()
        return nn.functional.normalize(raw, dim=1)


@functools.cache
def load_network() -> SpeakerNetwork:
    """The pretrained network, from the installed package."""
    spec = importlib.util.find_spec("resemblyzer")
    if spec is None or not spec.submodule_search_locations:
        raise BackendUnavailable("Resemblyzer is not installed.", hint="pip install --no-deps resemblyzer==0.1.4")
    path = Path(spec.submodule_search_locations[0]) / "pretrained.pt"
    # The package's own checkpoint of 2019, read as plain tensors: nothing in it can run code.
    weights = torch.load(path, map_location="cpu", weights_only=True)["model_state"]
    network = SpeakerNetwork().eval()
    network.load_state_dict({name: value for name, value in weights.items() if not name.startswith("similarity")})
    return network


def embed(clip: Samples, rate_hz: int = RATE_HZ) -> Embedding:
    """Unit embedding (256,) of a clip's voice; zeros for a clip without sound."""
    speech = trim(clip, rate_hz)
    if not len(speech):
        return np.zeros(256, np.float32)
    level = 10 * np.log10(np.mean(speech**2) + 1e-12)
    if level < LEVEL_DBFS:
        speech = speech * 10 ** ((LEVEL_DBFS - level) / 20)
    mels = _mels(torch.from_numpy(speech))  # (T, 40)
    if len(mels) < PARTIAL:
        mels = nn.functional.pad(mels, (0, 0, 0, PARTIAL - len(mels)))
    partials = mels.unfold(0, PARTIAL, PARTIAL_STEP).transpose(1, 2)  # (P, 160, 40)
    with torch.inference_mode():
        mean = load_network()(partials).mean(0)
        return np.asarray(nn.functional.normalize(mean, dim=0).numpy(), np.float32)


def _mels(speech: torch.Tensor) -> torch.Tensor:
    spectrum = torch.stft(
        speech, FFT, HOP, window=torch.hann_window(FFT), center=True, pad_mode="constant", return_complex=True
    )
    return (torch.from_numpy(slaney_bands(ASR_RATE_HZ, FFT, MELS)) @ spectrum.abs().square()).T


@functools.cache
def slaney_bands(rate_hz: int, fft: int, bands: int) -> npt.NDArray[np.float32]:
    """Triangular mel filters (bands, fft/2+1) of unit area, on Slaney's scale: linear to 1 kHz, then logarithmic."""
    break_mel, log_step = 15.0, np.log(6.4) / 27

    def to_hz(mel: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.where(mel < break_mel, 200 * mel / 3, 1000 * np.exp(log_step * (mel - break_mel)))

    top = break_mel + np.log(rate_hz / 2000) / log_step
    edges = to_hz(np.linspace(0, top, bands + 2))
    frequencies = np.linspace(0, rate_hz / 2, fft // 2 + 1)
    rising = (frequencies - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - frequencies) / (edges[2:] - edges[1:-1])[:, None]
    triangles = np.maximum(0, np.minimum(rising, falling))
    return np.asarray(triangles * (2 / (edges[2:] - edges[:-2]))[:, None], np.float32)


def similarity(a: Embedding, b: Embedding) -> float:
    """Cosine of two embeddings: 1 for the same sound."""
    norms = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / norms if norms else 0.0


def nearest(clip: Embedding, voices: Mapping[str, Embedding]) -> tuple[str, float]:
    """The most similar of several voices, and its lead over the second."""
    ranked = sorted(((similarity(clip, voice), name) for name, voice in voices.items()), reverse=True)
    lead = ranked[0][0] - ranked[1][0] if len(ranked) > 1 else ranked[0][0]
    return ranked[0][1], lead
