"""The spectral pair between sound and latents in numpy; mimi/spectral.py, its torch twin, explains the method."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from ...timebase import RATE_HZ
from ..hiss import HISS_HOPS, hiss_samples
from ..spectral_config import SpectralConfig
from .layers import Conv, LayerNorm, Linear, State, Upsampling, gelu
from .tensors import Floats, Tensors

HOPS_PER_LATENT = 4
_LOG_FLOOR = 3e-4
_PITCH_CENTRE_HZ = 150.0
_SMALL_SINE = 1e-4


class ConvNextBlock:
    """Depthwise causal convolution, norm, inverted bottleneck, scaled residual."""

    def __init__(self, tensors: Tensors, dim: int, kernel: int, expansion: int) -> None:
        self.taps = np.ascontiguousarray(tensors.take("depthwise.weight", dim, 1, kernel)[:, 0].T)  # (kernel,D)
        self.bias = tensors.take("depthwise.bias", dim)
        self.norm = LayerNorm(tensors.within("norm"), dim)
        self.widen = Linear(tensors.within("widen"), dim, expansion * dim)
        self.narrow = Linear(tensors.within("narrow"), expansion * dim, dim)
        self.scale = tensors.take("scale", dim)

    def init_state(self) -> Floats:
        """Silence before the first hop."""
        return np.zeros((len(self.taps) - 1, self.taps.shape[1]), np.float32)

    def step(self, x: Floats, left: Floats) -> tuple[Floats, Floats]:
        """The next hops (S,D), and the inputs that the ones after them see."""
        padded = np.concatenate((left, x))
        looked = self.bias + sum(tap * padded[i : i + len(x)] for i, tap in enumerate(self.taps))
        hidden = self.scale * self.narrow(gelu(self.widen(self.norm(looked))))
        return x + hidden, padded[len(padded) - len(left) :]


def _blocks(tensors: Tensors, config: SpectralConfig, count: int) -> list[ConvNextBlock]:
    sizes = (config.dim, config.kernel, config.expansion)
    return [ConvNextBlock(tensors.within(f"blocks.{i}"), *sizes) for i in range(count)]


def _through(blocks: list[ConvNextBlock], x: Floats, states: list[Floats]) -> tuple[Floats, list[Floats]]:
    after = []
    for block, left in zip(blocks, states, strict=True):
        x, state = block.step(x, left)
        after.append(state)
    return x, after


def _hann(samples: int) -> Floats:
    """The periodic Hann window."""
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(samples) / samples)).astype(np.float32)


class SpectralEncoder:
    """Samples (N,), N a multiple of 960, to latents (N/960,D)."""

    def __init__(self, tensors: Tensors, config: SpectralConfig, latent_dim: int) -> None:
        self.config = config
        features = config.window // 2 + 1 + config.max_lag - config.min_lag
        self.read = Linear(tensors.within("read"), features, config.dim)
        self.blocks = _blocks(tensors, config, config.encoder_blocks)
        self.down = Conv(tensors.within("down"), config.dim, latent_dim, 2 * HOPS_PER_LATENT, stride=HOPS_PER_LATENT)
        self._short, self._long = _hann(config.window), _hann(config.pitch_window)
        power = np.abs(np.fft.rfft(self._long.astype(np.float64), 2 * config.pitch_window)) ** 2
        own = np.fft.irfft(power)[config.min_lag : config.max_lag]
        self._window_lags = (own / power.mean()).astype(np.float32)

    def init_state(self) -> State:
        """Silence before the first sample."""
        config = self.config
        return {
            "samples": np.zeros(config.pitch_window - config.hop, np.float32),
            "blocks": [block.init_state() for block in self.blocks],
            "down": self.down.init_state(),
        }

    def step(self, samples: Floats, state: State) -> tuple[Floats, State]:
        """The next samples to latents."""
        heard = np.concatenate((state["samples"], samples))
        x, blocks = _through(self.blocks, self.read(self.features(heard)), state["blocks"])
        latents, down = self.down.step(x, state["down"])
        return latents, {"samples": heard[len(samples) :], "blocks": blocks, "down": down}

    def features(self, samples: Floats) -> Floats:
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


class SpectralDecoder:
    """Latents (S,D) at 25 Hz to samples (960*S,): pulses and hiss, shaped by two filters per hop."""

    def __init__(self, tensors: Tensors, config: SpectralConfig, latent_dim: int) -> None:
        self.config = config
        self.bins = config.window // 2 + 1
        self.up = Upsampling(tensors.within("up"), latent_dim, config.dim, HOPS_PER_LATENT, bias=False)
        self.up_bias = tensors.take("up_bias", config.dim)
        self.blocks = _blocks(tensors, config, config.decoder_blocks)
        self.norm = LayerNorm(tensors.within("norm"), config.dim)
        self.source = Linear(tensors.within("source"), config.dim, 2)
        self.filters = Linear(tensors.within("filters"), config.dim, 3 * self.bins)
        self._make_tables()

    def _make_tables(self) -> None:
        config, half = self.config, self.config.window // 2
        self._rise = (np.arange(config.hop) / config.hop).astype(np.float32)
        noise = hiss_samples(config.hop)
        self._hiss_rise = np.fft.rfft(noise * self._rise, config.window).astype(np.complex64)
        self._hiss_fall = np.fft.rfft(noise * (1 - self._rise), config.window).astype(np.complex64)
        delay = np.arange(self.bins) * (-2 * math.pi * config.filter_delay / config.window)
        self._delay = np.exp(1j * delay).astype(np.complex64)
        self._tail = np.ones(config.window, np.float32)
        self._tail[half:] = np.cos(np.linspace(0, math.pi / 2, config.window - half)) ** 2

    def init_state(self) -> State:
        """Silence before the first frame, the phase at zero, the hiss at its first hop."""
        return {
            "up": self.up.init_state(),
            "blocks": [block.init_state() for block in self.blocks],
            "pitch_hz": np.full(1, _PITCH_CENTRE_HZ, np.float32),
            "turns": 0.0,
            "hop": 0,
            "gains": (np.zeros(self.bins, np.complex64), np.zeros(self.bins, np.float32)),
            "overlap": np.zeros((self.config.window // self.config.hop - 1, self.config.hop), np.float32),
        }

    def step(self, latents: Floats, state: State) -> tuple[Floats, State]:
        """The next latents to sound."""
        x, up = self.up.step(latents, state["up"])
        x, blocks = _through(self.blocks, x + self.up_bias, state["blocks"])
        x = self.norm(x)
        source = self.source(x)
        gains = self._gains(source[:, 1], self.filters(x))
        train, after = self._pulse_train(self._pitch_hz(source[:, 0]), state)
        spectrum = self._shape(train, gains, state)
        windows = np.fft.irfft(spectrum).astype(np.float32) * self._tail
        wav, overlap = self._overlap_add(windows, state["overlap"])
        last = (gains[0][-1], gains[1][-1])
        hop = (state["hop"] + len(x)) % HISS_HOPS
        return wav, after | {"up": up, "blocks": blocks, "gains": last, "hop": hop, "overlap": overlap}

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
        ends = state["turns"] + np.cumsum(within[:, -1])
        begins = np.concatenate(([state["turns"]], ends[:-1]))
        after = {"pitch_hz": pitch_hz[-1:], "turns": float(ends[-1] - np.floor(ends[-1]))}
        return _pulses(begins[:, None] + within, glide), after

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
        """Windows (hops,window), one hop apart, to samples (hops*hop,) and the unfinished rest."""
        hops, hop = len(windows), self.config.hop
        parts = windows.reshape(hops, -1, hop)
        total = np.concatenate((overlap, np.zeros((hops, hop), np.float32)))
        for j in range(parts.shape[1]):
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
