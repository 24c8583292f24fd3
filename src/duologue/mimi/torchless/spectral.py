"""The spectral pair between sound and latents in numpy; mimi/spectral.py, its torch twin, explains the method.

Where kernels are compiled, native_spectral.py does the same on them.
"""

from __future__ import annotations

import numpy as np

from ..spectral_config import SpectralConfig
from .layers import Conv, LayerNorm, Linear, State, Upsampling, gelu
from .spectral_sound import HopFeatures, HopSound, feature_count
from .tensors import Floats, Tensors

HOPS_PER_LATENT = 4


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


class SpectralEncoder:
    """Samples (N,), N a multiple of 960, to latents (N/960,D)."""

    def __init__(self, tensors: Tensors, config: SpectralConfig, latent_dim: int) -> None:
        self.features = HopFeatures(config)
        self.read = Linear(tensors.within("read"), feature_count(config), config.dim)
        self.blocks = _blocks(tensors, config, config.encoder_blocks)
        self.down = Conv(tensors.within("down"), config.dim, latent_dim, 2 * HOPS_PER_LATENT, stride=HOPS_PER_LATENT)

    def init_state(self) -> State:
        """Silence before the first sample."""
        return {
            "samples": self.features.init_state(),
            "blocks": [block.init_state() for block in self.blocks],
            "down": self.down.init_state(),
        }

    def step(self, samples: Floats, state: State) -> tuple[Floats, State]:
        """The next samples to latents."""
        features, heard = self.features.step(samples, state["samples"])
        x, blocks = _through(self.blocks, self.read(features), state["blocks"])
        latents, down = self.down.step(x, state["down"])
        return latents, {"samples": heard, "blocks": blocks, "down": down}


class SpectralDecoder:
    """Latents (S,D) at 25 Hz to samples (960*S,): pulses and hiss, shaped by two filters per hop."""

    def __init__(self, tensors: Tensors, config: SpectralConfig, latent_dim: int) -> None:
        self.up = Upsampling(tensors.within("up"), latent_dim, config.dim, HOPS_PER_LATENT, bias=False)
        self.up_bias = tensors.take("up_bias", config.dim)
        self.blocks = _blocks(tensors, config, config.decoder_blocks)
        self.norm = LayerNorm(tensors.within("norm"), config.dim)
        self.source = Linear(tensors.within("source"), config.dim, 2)
        self.filters = Linear(tensors.within("filters"), config.dim, 3 * (config.window // 2 + 1))
        self.sound = HopSound(config)

    def init_state(self) -> State:
        """Silence before the first frame."""
        return {
            "up": self.up.init_state(),
            "blocks": [block.init_state() for block in self.blocks],
            "sound": self.sound.init_state(),
        }

    def step(self, latents: Floats, state: State) -> tuple[Floats, State]:
        """The next latents to sound."""
        x, up = self.up.step(latents, state["up"])
        x, blocks = _through(self.blocks, x + self.up_bias, state["blocks"])
        x = self.norm(x)
        said = np.concatenate((self.source(x), self.filters(x)), axis=1)
        wav, sound = self.sound.step(said, state["sound"])
        return wav, {"up": up, "blocks": blocks, "sound": sound}
