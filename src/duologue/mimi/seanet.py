"""The convolutional pair between sound and latents. Knows neither codes nor time beyond its own strides.

Layers are numbered as in Kyutai's files, activations included. Source: SEANet as used in EnCodec and Mimi
(arXiv 2410.00037, section 3.3).
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from ..nn.conv import CausalConv, State, UpsamplingConv
from .config import SeanetConfig


class Residual(nn.Module):
    """x + narrow(wide(x)): a look back of a few columns, added to the input."""

    def __init__(self, width: int, config: SeanetConfig, dilation: int) -> None:
        super().__init__()
        inner = width // config.compress
        self.look = CausalConv(width, inner, config.residual_kernel, dilation=dilation)
        self.mix = CausalConv(inner, width, 1)

    def init_state(self, batch: int) -> State:
        """The state before the first piece; the second convolution needs none."""
        return self.look.init_state(batch)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Run one piece."""
        y, state = self.look.step(F.elu(x), state)
        return x + self.mix(F.elu(y)), state


_REMEMBERING = CausalConv | UpsamplingConv | Residual


class Chain(nn.Module):
    """Layers one after another, each with its own state; layers without state are plain functions."""

    def __init__(self, layers: list[nn.Module]) -> None:
        super().__init__()
        self.model = nn.ModuleList(layers)

    def init_state(self, batch: int) -> State:
        """The state before the first piece."""
        layers = enumerate(self.model)
        return {str(i): layer.init_state(batch) for i, layer in layers if isinstance(layer, _REMEMBERING)}

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Run over whole clips."""
        return self.step(x, self.init_state(x.shape[0]), lengths)[0]

    def step(self, x: Tensor, state: State, lengths: Tensor | None = None) -> tuple[Tensor, State]:
        """Run one piece; `lengths` (B,) says how much of each row is sound, in columns of x."""
        after: State = {}
        for index, layer in enumerate(self.model):
            if isinstance(layer, CausalConv):
                x, after[str(index)] = layer.step(x, state[str(index)], lengths)
                lengths = None if lengths is None else -(-lengths // layer.stride)
            elif isinstance(layer, UpsamplingConv | Residual):
                x, after[str(index)] = layer.step(x, state[str(index)])
            else:
                x = layer(x)
        return x, after


def build_encoder(width: int, config: SeanetConfig) -> Chain:
    """Sound (B,1,N) -> latents (B,width,N/hop)."""
    channels = config.filters
    layers: list[nn.Module] = [CausalConv(1, channels, config.kernel)]
    for ratio in reversed(config.ratios):
        layers += _residuals(channels, config)
        layers += [nn.ELU(), CausalConv(channels, 2 * channels, 2 * ratio, stride=ratio)]
        channels *= 2
    return Chain([*layers, nn.ELU(), CausalConv(channels, width, config.last_kernel)])


def build_decoder(width: int, config: SeanetConfig) -> Chain:
    """Latents (B,width,S) -> sound (B,1,S*hop), neither bounded nor clipped."""
    channels = config.filters * 2 ** len(config.ratios)
    layers: list[nn.Module] = [CausalConv(width, channels, config.kernel)]
    for ratio in config.ratios:
        layers += [nn.ELU(), UpsamplingConv(channels, channels // 2, ratio)]
        channels //= 2
        layers += _residuals(channels, config)
    return Chain([*layers, nn.ELU(), CausalConv(channels, 1, config.last_kernel)])


def _residuals(channels: int, config: SeanetConfig) -> list[nn.Module]:
    return [Residual(channels, config, config.dilation_base**n) for n in range(config.residual_layers)]
