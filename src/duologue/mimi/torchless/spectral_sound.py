"""The spectral pair's outer side in numpy: samples to what each hop sees, pitch and filters to samples.

Everything that is no network; mimi/spectral.py, the torch twin, explains the method. A piece of any size gives the bits
of the whole: each hop's numbers come from that hop and what it remembers, in the same order however hops are grouped.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from ...timebase import RATE_HZ
from ..hiss import HISS_HOPS, hiss_samples
from ..spectral_config import SpectralConfig
from .layers import State
from .tensors import Floats

_LOG_FLOOR = 3e-4
_PITCH_CENTRE_HZ = 150.0
_SMALL_SINE = 1e-4


def feature_count(config: SpectralConfig) -> int:
    """Numbers that the encoder sees of each hop."""
    return config.window // 2 + 1 + config.max_lag - config.min_lag


def filter_count(config: SpectralConfig) -> int:
    """Numbers that the decoder says about each hop: pitch, voicing, and three filters."""
    return 2 + 3 * (config.window // 2 + 1)


def _hann(samples: int) -> Floats:
    """The periodic Hann window."""
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(samples) / samples)).astype(np.float32)


class HopFeatures:
    """Samples (N,), N a multiple of the hop, to features (N/hop, feature_count)."""

    def __init__(self, config: SpectralConfig) -> None:
        self.config = config
        self._short, self._long = _hann(config.window), _hann(config.pitch_window)
        power = np.abs(np.fft.rfft(self._long.astype(np.float64), 2 * config.pitch_window)) ** 2
        own = np.fft.irfft(power)[config.min_lag : config.max_lag]
        self._window_lags = (own / power.mean()).astype(np.float32)

    def init_state(self) -> Floats:
        """Silence before the first sample."""
        return np.zeros(self.config.pitch_window - self.config.hop, np.float32)

    def step(self, samples: Floats, before: Floats) -> tuple[Floats, Floats]:
        """The next samples' features, and the samples that the hops after them see again."""
        heard = np.concatenate((before, samples))
        return self._of(heard), heard[len(samples) :]

    def _of(self, samples: Floats) -> Floats:
        """What each hop sees: the log spectrum of its last 40 ms, the autocorrelation of its last 80 ms."""
        config = self.config
        frames = sliding_window_view(samples, config.pitch_window)[:: config.hop]  # (hops,pitch_window)
        short = np.fft.rfft(frames[:, -config.window :] * self._short)
        magnitude = np.sqrt(np.abs(short) ** 2 + 1e-8) / math.sqrt(0.375 * config.window)
        timbre = (np.log(magnitude + _LOG_FLOOR) + 5.5) / 2
        power = np.abs(np.fft.rfft(frames * self._long, 2 * config.pitch_window)) ** 2
        lags = np.fft.irfft(power)[:, config.min_lag : config.max_lag]
        energy = power.mean(-1, keepdims=True) + 1e-2 * config.pitch_window / 1920
        return np.concatenate((timbre, lags / self._window_lags / energy), axis=1).astype(np.float32)


class HopSound:
    """What the decoder says about each hop (hops, filter_count) to samples (hops*hop,): pulses and hiss, filtered."""

    def __init__(self, config: SpectralConfig) -> None:
        self.config = config
        self.bins, half = config.window // 2 + 1, config.window // 2
        self._rise = (np.arange(config.hop) / config.hop).astype(np.float32)
        noise = hiss_samples(config.hop)
        self._hiss_rise = np.fft.rfft(noise * self._rise, config.window).astype(np.complex64)
        self._hiss_fall = np.fft.rfft(noise * (1 - self._rise), config.window).astype(np.complex64)
        delay = np.arange(self.bins) * (-2 * math.pi * config.filter_delay / config.window)
        self._delay = np.exp(1j * delay).astype(np.complex64)
        self._tail = np.ones(config.window, np.float32)
        self._tail[half:] = np.cos(np.linspace(0, math.pi / 2, config.window - half)) ** 2

    def init_state(self) -> State:
        """Silence before the first hop, the phase at zero, the hiss at its first hop."""
        return {
            "pitch_hz": np.full(1, _PITCH_CENTRE_HZ, np.float32),
            "turns": 0.0,
            "hop": 0,
            "gains": (np.zeros(self.bins, np.complex64), np.zeros(self.bins, np.float32)),
            "overlap": np.zeros((self.config.window // self.config.hop - 1, self.config.hop), np.float32),
        }

    def step(self, said: Floats, state: State) -> tuple[Floats, State]:
        """The next hops' sound."""
        pitch, voicing = np.ascontiguousarray(said[:, :2].T)
        gains = self._gains(voicing, said[:, 2:])
        train, after = self._pulse_train(self._pitch_hz(pitch), state)
        spectrum = self._shape(train, gains, state)
        windows = np.fft.irfft(spectrum).astype(np.float32) * self._tail
        wav, overlap = self._overlap_add(windows, state["overlap"])
        last = (gains[0][-1], gains[1][-1])
        return wav, after | {"gains": last, "hop": (state["hop"] + len(said)) % HISS_HOPS, "overlap": overlap}

    def _pitch_hz(self, log_pitch: Floats) -> Floats:
        low, high = math.log(self.config.min_pitch_hz), math.log(self.config.max_pitch_hz)
        pitch: Floats = np.exp(np.clip(log_pitch + np.float32(math.log(_PITCH_CENTRE_HZ)), low, high))
        return pitch

    def _gains(self, voicing: Floats, filters: Floats) -> tuple[npt.NDArray[np.complex64], Floats]:
        """The pulse filter (hops,bins), complex, and the hiss filter's magnitude (hops,bins)."""
        gain, phase, noise = np.split(filters, 3, axis=1)
        voiced = 1 / (1 + np.exp(-np.clip(voicing, -80, 80)))[:, None]
        size = np.exp(np.minimum(gain - 3, 6)) * voiced
        response = np.empty(gain.shape, np.complex64)
        response.real, response.imag = size * np.cos(phase), size * np.sin(phase)
        return response, np.exp(np.minimum(noise - 5, 6))

    def _pulse_train(self, pitch_hz: Floats, state: State) -> tuple[Floats, State]:
        """Pitch at the hops' ends to samples (hops,hop); pitch glides linearly, the phase runs on."""
        start = np.concatenate((state["pitch_hz"], pitch_hz[:-1]))
        glide = start[:, None] + (pitch_hz - start)[:, None] * self._rise
        within = np.cumsum(glide, axis=1, dtype=np.float64) / RATE_HZ
        begins, turns = np.empty(len(within)), state["turns"]
        for hop, turned in enumerate(within[:, -1].tolist()):
            begins[hop] = turns
            turns = (turns + turned) % 1.0
        return _pulses(begins[:, None] + within, glide), {"pitch_hz": pitch_hz[-1:], "turns": turns}

    def _shape(self, train: Floats, gains: tuple[Any, Any], state: State) -> Any:
        """Cross-fade from the last hop's filters to this one's: each filters its share of the source."""
        number = (state["hop"] + np.arange(len(train))) % HISS_HOPS
        before = tuple(np.concatenate((old[None], new[:-1])) for old, new in zip(state["gains"], gains, strict=True))
        spectrum = np.zeros(1, np.complex64)
        for (response, level), share, noise in (
            (gains, self._rise, self._hiss_rise),
            (before, 1 - self._rise, self._hiss_fall),
        ):
            voiced = np.fft.rfft(train * share, self.config.window)
            spectrum = spectrum + voiced * response + noise[number] * level
        return spectrum * self._delay

    def _overlap_add(self, windows: Floats, overlap: Floats) -> tuple[Floats, Floats]:
        """Windows (hops,window), one hop apart, to samples (hops*hop,) and the unfinished rest; older windows first."""
        hops, hop = len(windows), self.config.hop
        parts = windows.reshape(hops, -1, hop)
        total = np.concatenate((overlap, np.zeros((hops, hop), np.float32)))
        for j in reversed(range(parts.shape[1])):
            total[j : j + hops] += parts[:, j]
        return total[:hops].reshape(-1), total[hops:]


def _pulses(turns: npt.NDArray[np.float64], pitch_hz: Floats) -> Floats:
    """Band-limited pulse train of unit power: all harmonics below 12 kHz in cosine phase, summed in closed form."""
    harmonics = np.floor(np.float32(0.5 * RATE_HZ) / pitch_hz)
    angle = np.float32(2 * math.pi) * (turns - np.round(turns)).astype(np.float32)
    sine = np.sin(np.float32(0.5) * angle)
    at_peak = np.abs(sine) < _SMALL_SINE
    ratio = np.sin((harmonics + np.float32(0.5)) * angle) / np.where(at_peak, np.float32(1), sine)
    dirichlet = np.where(at_peak, 2 * harmonics + 1, ratio)
    train: Floats = (dirichlet - 1) / np.sqrt(2 * harmonics)
    return train
