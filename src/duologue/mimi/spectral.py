"""The spectral pair: sound to 25 Hz latents by a log spectrum, latents to sound by shaping pulses and hiss.

It takes the place of SEANet around Mimi's transformers and quantizer when a codec must be small. The decoder is a
source-filter voice: it predicts pitch and voicing, makes the pulse train of that pitch (`pulses.py`) and gives every
10 ms hop one filter for the pulses and one for the hiss. Pitch is then right by construction; a plain inverse STFT must
learn harmonic phase and mostly fails to at this size. Knows nothing of codes, quantizers or training.

Everything is causal. `step` is the one implementation, `forward` is `step` from the zero state: streaming equals whole.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..nn.conv import State
from ..timebase import RATE_HZ
from .pulses import HISS_HOPS, hiss, pulses
from .spectral_config import SpectralConfig

HOPS_PER_LATENT = 4  # 100 Hz hops, 25 Hz latents
_LOG_FLOOR = 3e-4
_PITCH_CENTRE_HZ = 150.0


class ConvNextBlock(nn.Module):
    """Depthwise causal convolution, norm, inverted bottleneck, scaled residual: (B, D, T) -> (B, D, T)."""

    def __init__(self, dim: int, kernel: int, expansion: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv1d(dim, dim, kernel, groups=dim)
        self.norm = nn.LayerNorm(dim)
        self.widen = nn.Linear(dim, expansion * dim)
        self.narrow = nn.Linear(expansion * dim, dim)
        self.scale = nn.Parameter(torch.full((dim,), 0.2))

    def forward(self, x: Tensor, left: Tensor) -> tuple[Tensor, Tensor]:
        """Return the output and the last kernel-1 inputs, which are the next call's `left`."""
        padded = torch.cat([left.to(x.dtype), x], dim=-1)
        hidden = self.norm(self.depthwise(padded).transpose(1, 2))  # (B, T, D)
        hidden = self.scale * self.narrow(F.gelu(self.widen(hidden)))
        return x + hidden.transpose(1, 2), padded[..., -left.shape[-1] :]


class SpectralEncoder(nn.Module):
    """wav (B, 1, N), N a multiple of 960, to latents (B, D, N/960).

    Each 10 ms hop sees the log spectrum of its last 40 ms (timbre) and the autocorrelation of its last 80 ms (pitch).
    """

    short_window: Tensor
    long_window: Tensor
    window_lags: Tensor

    def __init__(self, config: SpectralConfig, latent_dim: int) -> None:
        super().__init__()
        self.config = config
        lags = config.max_lag - config.min_lag
        self.read = nn.Linear(config.window // 2 + 1 + lags, config.dim)
        self.blocks = nn.ModuleList(
            ConvNextBlock(config.dim, config.kernel, config.expansion) for _ in range(config.encoder_blocks)
        )
        self.down = nn.Conv1d(config.dim, latent_dim, 2 * HOPS_PER_LATENT, HOPS_PER_LATENT)
        self.register_buffer("short_window", torch.hann_window(config.window), persistent=False)
        self.register_buffer("long_window", torch.hann_window(config.pitch_window), persistent=False)
        spectrum = torch.fft.rfft(torch.hann_window(config.pitch_window), 2 * config.pitch_window).abs().square()
        own = torch.fft.irfft(spectrum)[config.min_lag : config.max_lag]
        self.register_buffer("window_lags", own / spectrum.mean(), persistent=False)

    def init_state(self, batch: int) -> State:
        """Silence before the first sample."""
        config = self.config
        device = self.read.weight.device
        state = {"samples": torch.zeros(batch, config.pitch_window - config.hop, device=device)}
        for i in range(len(self.blocks)):
            state[f"block{i}"] = torch.zeros(batch, config.dim, config.kernel - 1, device=device)
        state["down"] = torch.zeros(batch, config.dim, HOPS_PER_LATENT, device=device)
        return state

    def forward(self, wav: Tensor) -> Tensor:
        return self.step(wav, self.init_state(wav.shape[0]))[0]

    def step(self, wav: Tensor, state: State) -> tuple[Tensor, State]:
        """Encode the samples that follow those that gave `state`; return latents and the new state."""
        samples = torch.cat([state["samples"], wav[:, 0].float()], dim=-1)
        after = {"samples": samples[:, -state["samples"].shape[1] :]}
        x = self.read(self.features(samples)).transpose(1, 2)  # (B, D, hops)
        for i, block in enumerate(self.blocks):
            x, after[f"block{i}"] = block(x, state[f"block{i}"])
        x = torch.cat([state["down"].to(x.dtype), x], dim=-1)
        after["down"] = x[..., -HOPS_PER_LATENT:]
        return self.down(x), after

    def features(self, samples: Tensor) -> Tensor:
        """(B, pitch_window - hop + hops * hop) samples to (B, hops, features), in fp32 whatever autocast says."""
        config = self.config
        with torch.autocast(samples.device.type, enabled=False):
            frames = samples.unfold(1, config.pitch_window, config.hop)  # (B, hops, pitch_window)
            short = torch.fft.rfft(frames[..., -config.window :] * self.short_window)
            magnitude = torch.sqrt(short.real**2 + short.imag**2 + 1e-8) / math.sqrt(0.375 * config.window)
            timbre = (torch.log(magnitude + _LOG_FLOOR) + 5.5) / 2
            long = torch.fft.rfft(frames * self.long_window, 2 * config.pitch_window)
            power = long.real**2 + long.imag**2
            lags = torch.fft.irfft(power)[..., config.min_lag : config.max_lag]
            energy = power.mean(-1, keepdim=True) + 1e-2 * config.pitch_window / 1920
            return torch.cat([timbre, lags / self.window_lags / energy], dim=-1)


class SpectralDecoder(nn.Module):
    """latents (B, D, S) at 25 Hz to wav (B, 1, 960 * S): one pitch, one voicing and two filters per 240-sample hop."""

    rise: Tensor
    tail: Tensor
    delay_phase: Tensor
    hiss_rise: Tensor
    hiss_fall: Tensor

    def __init__(self, config: SpectralConfig, latent_dim: int) -> None:
        super().__init__()
        self.config = config
        bins = config.window // 2 + 1
        self.up = nn.ConvTranspose1d(latent_dim, config.dim, 2 * HOPS_PER_LATENT, HOPS_PER_LATENT, bias=False)
        self.up_bias = nn.Parameter(torch.zeros(config.dim))
        self.blocks = nn.ModuleList(
            ConvNextBlock(config.dim, config.kernel, config.expansion) for _ in range(config.decoder_blocks)
        )
        self.norm = nn.LayerNorm(config.dim)
        self.source = nn.Linear(config.dim, 2)  # log pitch, voicing
        self.filters = nn.Linear(config.dim, 3 * bins)  # pulse log gain and phase, hiss log gain
        with torch.no_grad():
            self.source.weight.mul_(0.3)
            self.filters.weight.mul_(0.3)
        self._register_tables(bins)

    def _register_tables(self, bins: int) -> None:
        config = self.config
        rise = torch.arange(config.hop, dtype=torch.float32) / config.hop
        noise = hiss(config.hop).to(rise.device)
        delay = torch.arange(bins, dtype=torch.float64) * (-2 * math.pi * config.filter_delay / config.window)
        tail = torch.ones(config.window)  # a filter's response fades out before the end of its window
        half = config.window // 2
        tail[half:] = torch.cos(torch.linspace(0, math.pi / 2, config.window - half)) ** 2
        self.register_buffer("rise", rise, persistent=False)
        self.register_buffer("tail", tail, persistent=False)
        self.register_buffer("delay_phase", delay.float(), persistent=False)
        self.register_buffer("hiss_rise", torch.fft.rfft(noise * rise, config.window), persistent=False)
        self.register_buffer("hiss_fall", torch.fft.rfft(noise * (1 - rise), config.window), persistent=False)

    def init_state(self, batch: int) -> State:
        """Silence before the first frame, the phase at zero, the hiss at its first hop."""
        config, device = self.config, self.up.weight.device
        state = {"up": torch.zeros(batch, config.dim, HOPS_PER_LATENT, device=device)}
        for i in range(len(self.blocks)):
            state[f"block{i}"] = torch.zeros(batch, config.dim, config.kernel - 1, device=device)
        bins = config.window // 2 + 1
        state["pitch_hz"] = torch.full((batch, 1), _PITCH_CENTRE_HZ, device=device)
        state["turns"] = torch.zeros(batch, 1, dtype=torch.float64, device=device)
        state["hop"] = torch.zeros(batch, dtype=torch.int64, device=device)
        state["gains"] = torch.zeros(batch, 3, bins, device=device)  # real, imaginary of the pulse filter; hiss
        state["overlap"] = torch.zeros(batch, config.window - config.hop, device=device)
        return state

    def forward(self, latents: Tensor) -> Tensor:
        return self.step(latents, self.init_state(latents.shape[0]))[0]

    def step(self, latents: Tensor, state: State) -> tuple[Tensor, State]:
        """Sound the latents that follow those that gave `state`; return wav and the new state."""
        x, after = self.trunk(latents, state)
        log_pitch, voicing, filters = self.heads(x)
        wav, tail = self.sound(self.pitch_hz(log_pitch), voicing, filters, state)
        return wav, after | tail

    def trunk(self, latents: Tensor, state: State) -> tuple[Tensor, State]:
        """(B, D, S) latents to (B, 4S, dim) hop vectors."""
        up = self.up(latents)
        head = up[..., :HOPS_PER_LATENT] + state["up"].to(up.dtype)
        after = {"up": up[..., -HOPS_PER_LATENT:]}
        x = torch.cat([head, up[..., HOPS_PER_LATENT:-HOPS_PER_LATENT]], dim=-1) + self.up_bias[:, None]
        for i, block in enumerate(self.blocks):
            x, after[f"block{i}"] = block(x, state[f"block{i}"])
        return x.transpose(1, 2), after

    def heads(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, hops, dim) to log pitch relative to 150 Hz, voicing logit (both (B, hops)) and raw filters, in fp32."""
        with torch.autocast(x.device.type, enabled=False):
            x = self.norm(x.float())
            source = self.source(x)
            return source[..., 0], source[..., 1], self.filters(x)

    def pitch_hz(self, log_pitch: Tensor) -> Tensor:
        """Pitch within the range that the pulse train is made for."""
        low, high = math.log(self.config.min_pitch_hz), math.log(self.config.max_pitch_hz)
        return torch.exp((log_pitch + math.log(_PITCH_CENTRE_HZ)).clamp(low, high))

    def sound(self, pitch_hz: Tensor, voicing: Tensor, filters: Tensor, state: State) -> tuple[Tensor, State]:
        """Make the sources, filter them, overlap and add. The sound gives pitch no gradient: phase would be chaotic."""
        with torch.autocast(filters.device.type, enabled=False):
            gains = self._gains(voicing, filters)
            before = torch.cat([state["gains"][:, None], gains[:, :-1]], dim=1)  # the filter that fades out in this hop
            train, after = self._pulse_train(pitch_hz.detach(), state)
            spectrum = self._shape(train, gains, before, state["hop"])
            hops = gains.shape[1]
            wav, after["overlap"] = self._overlap_add(torch.fft.irfft(spectrum) * self.tail, state["overlap"])
            after["gains"] = gains[:, -1]
            after["hop"] = (state["hop"] + hops) % HISS_HOPS
            return wav, after

    def _gains(self, voicing: Tensor, filters: Tensor) -> Tensor:
        """(B, hops, 3, bins): real and imaginary part of the pulse filter, magnitude of the hiss filter."""
        gain, phase, noise = filters.chunk(3, dim=-1)
        gain = torch.exp((gain - 3).clamp(max=6.0)) * torch.sigmoid(voicing)[..., None]
        noise = torch.exp((noise - 5).clamp(max=6.0))
        return torch.stack([gain * torch.cos(phase), gain * torch.sin(phase), noise], dim=-2)

    def _pulse_train(self, pitch_hz: Tensor, state: State) -> tuple[Tensor, State]:
        """(B, hops) pitch at the hops' ends to (B, hops, hop) samples; pitch glides linearly, the phase runs on."""
        start = torch.cat([state["pitch_hz"], pitch_hz[:, :-1]], dim=1)
        glide = start[..., None] + (pitch_hz - start)[..., None] * self.rise
        within = glide.double().cumsum(-1) / RATE_HZ  # (B, hops, hop) turns since the hop began
        ends = state["turns"] + within[..., -1].cumsum(-1)
        begins = torch.cat([state["turns"], ends[:, :-1]], dim=1)
        last = ends[:, -1:]
        return pulses(begins[..., None] + within, glide), {
            "pitch_hz": pitch_hz[:, -1:],
            "turns": last - torch.floor(last),
        }

    def _shape(self, train: Tensor, gains: Tensor, before: Tensor, hop: Tensor) -> Tensor:
        """Cross-fade from the last hop's filters to this one's, each on its share of the source: (B, hops, bins)."""
        n = self.config.window
        number = (hop[:, None] + torch.arange(gains.shape[1], device=gains.device)) % HISS_HOPS
        spectrum = torch.zeros(1, device=gains.device)
        for filters, share, noise in (
            (gains, self.rise, self.hiss_rise),
            (before, 1 - self.rise, self.hiss_fall),
        ):
            voiced = torch.fft.rfft(train * share, n)
            response = torch.complex(filters[..., 0, :], filters[..., 1, :])
            spectrum = spectrum + voiced * response + noise[number] * filters[..., 2, :]
        return spectrum * torch.polar(torch.ones_like(self.delay_phase), self.delay_phase)

    def _overlap_add(self, windows: Tensor, overlap: Tensor) -> tuple[Tensor, Tensor]:
        """Windows (B, hops, window), one hop apart, to (B, 1, hops * hop) samples and the unfinished rest."""
        batch, hops, n = windows.shape
        hop = self.config.hop
        parts = windows.view(batch, hops, n // hop, hop)
        total = F.pad(overlap.view(batch, -1, hop), (0, 0, 0, hops))  # (B, hops + window/hop - 1, hop)
        for j in range(n // hop):
            total = total + F.pad(parts[:, :, j], (0, 0, j, n // hop - 1 - j))
        return total[:, :hops].reshape(batch, 1, -1), total[:, hops:].reshape(batch, -1)
