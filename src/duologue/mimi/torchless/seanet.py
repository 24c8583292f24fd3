"""The convolutional pair between sound and latents in numpy; mimi/seanet.py is its torch twin."""

from __future__ import annotations

from ..config import SeanetConfig
from .layers import Conv, State, Upsampling, elu
from .tensors import Floats, Tensors


class Residual:
    """x + narrow(wide(x)): a look back of a few columns, added to the input."""

    def __init__(self, tensors: Tensors, width: int, config: SeanetConfig, dilation: int) -> None:
        inner = width // config.compress
        self.look = Conv(tensors.within("look"), width, inner, config.residual_kernel, dilation=dilation)
        self.mix = Conv(tensors.within("mix"), inner, width, 1)

    def init_state(self) -> Floats | None:
        """The state before the first piece."""
        return self.look.init_state()

    def step(self, x: Floats, state: Floats | None) -> tuple[Floats, Floats]:
        """The next piece."""
        y, after = self.look.step(elu(x), state)
        return x + self.mix.step(elu(y), None)[0], after


Layer = Conv | Upsampling | Residual


class Chain:
    """Layers under their numbers in the file; None is an ELU."""

    def __init__(self, layers: list[Layer | None]) -> None:
        self.layers = layers

    def init_state(self) -> State:
        """The state before the first piece."""
        return {str(i): layer.init_state() for i, layer in enumerate(self.layers) if layer is not None}

    def step(self, x: Floats, state: State) -> tuple[Floats, State]:
        """The next piece (S,inputs)."""
        after: State = {}
        for i, layer in enumerate(self.layers):
            if layer is None:
                x = elu(x)
            else:
                x, after[str(i)] = layer.step(x, state[str(i)])
        return x, after


def build_encoder(tensors: Tensors, width: int, config: SeanetConfig) -> Chain:
    """Sound (N,1) to latents (N/hop,width)."""
    channels = config.filters
    layers: list[Layer | None] = []

    def place() -> Tensors:
        return tensors.within(f"model.{len(layers)}")

    layers.append(Conv(place(), 1, channels, config.kernel))
    for ratio in reversed(config.ratios):
        for n in range(config.residual_layers):
            layers.append(Residual(place(), channels, config, config.dilation_base**n))
        layers.append(None)
        layers.append(Conv(place(), channels, 2 * channels, 2 * ratio, stride=ratio))
        channels *= 2
    layers.append(None)
    layers.append(Conv(place(), channels, width, config.last_kernel))
    return Chain(layers)


def build_decoder(tensors: Tensors, width: int, config: SeanetConfig) -> Chain:
    """Latents (S,width) to sound (S*hop,1)."""
    channels = config.filters * 2 ** len(config.ratios)
    layers: list[Layer | None] = []

    def place() -> Tensors:
        return tensors.within(f"model.{len(layers)}")

    layers.append(Conv(place(), width, channels, config.kernel))
    for ratio in config.ratios:
        layers.append(None)
        layers.append(Upsampling(place(), channels, channels // 2, ratio))
        channels //= 2
        for n in range(config.residual_layers):
            layers.append(Residual(place(), channels, config, config.dilation_base**n))
    layers.append(None)
    layers.append(Conv(place(), channels, 1, config.last_kernel))
    return Chain(layers)
