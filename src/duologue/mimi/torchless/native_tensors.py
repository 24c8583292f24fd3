"""A codec's tensors in the order and the forms in which native/codec.cpp is built. Knows no arithmetic.

A convolution is a matrix over windows of time-major sound: (outputs, kernel * inputs). A transposed convolution of two
strides is one too, over a step and the one before it, with `stride` steps of output in its rows. Attention's heads are
padded to 16 rows, and rotary pairs brought apart, (i, i + half), in queries and keys alike, so scores stay the same.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..config import RESAMPLING, MimiConfig
from ..spectral_config import SpectralConfig
from .quantizer import centroids
from .spectral import HOPS_PER_LATENT
from .spectral_sound import feature_count
from .tensors import Floats, Tensors

_LANES = 16


def all_centroids(tensors: Tensors, config: MimiConfig) -> Floats:
    """(codebooks, entries, C): the semantic books, then the acoustic ones."""
    size, inner = config.quantizer, tensors.within("quantizer")
    out = np.empty((size.codebooks, size.entries, size.width), np.float32)
    for part, first, end in (("semantic", 0, size.semantic), ("acoustic", size.semantic, size.codebooks)):
        for i in range(end - first):
            out[first + i] = centroids(inner.within(f"{part}.codebooks.{i}"), size)
    return out


def decoder_tensors(tensors: Tensors, config: MimiConfig, books: Floats) -> Iterator[Floats]:
    """Everything between codes and sound."""
    yield books
    yield _projections(tensors, config, "project_out", axis=1)
    yield tensors.take("upsample.weight", config.width, 1, 2 * RESAMPLING)[:, 0].T
    yield from _transformer(tensors.within("decoder_transformer"), config)
    front = spectral_decoder if config.frontend == "spectral" else _decoder_chain
    yield from front(tensors.within("decoder"), config)


def encoder_tensors(tensors: Tensors, config: MimiConfig, books: Floats) -> Iterator[Floats]:
    """Everything between sound and codes."""
    front = spectral_encoder if config.frontend == "spectral" else _encoder_chain
    yield from front(tensors.within("encoder"), config)
    yield from _transformer(tensors.within("encoder_transformer"), config)
    weight = tensors.take("downsample.weight", config.width, config.width, 2 * RESAMPLING)
    yield _windowed(weight)
    yield books
    yield _projections(tensors, config, "project_in", axis=0)


def _projections(tensors: Tensors, config: MimiConfig, name: str, axis: int) -> Floats:
    """Both quantizers' projections as one matrix, over (or to) semantic and acoustic vectors side by side."""
    shape = (config.quantizer.width, config.width, 1) if axis == 0 else (config.width, config.quantizer.width, 1)
    parts = [tensors.take(f"quantizer.{part}.{name}.weight", *shape)[..., 0] for part in ("semantic", "acoustic")]
    return np.concatenate(parts, axis=axis)


def _transformer(tensors: Tensors, config: MimiConfig) -> Iterator[Floats]:
    width, hidden, heads = config.width, config.transformer.hidden, config.transformer.heads
    for i in range(config.transformer.layers):
        layer = tensors.within(f"layers.{i}")
        yield layer.take("norm1.weight", width)
        yield layer.take("norm1.bias", width)
        yield _heads_apart(layer.take("qkv.weight", 3 * width, width), heads)
        columns = layer.take("out.weight", width, width).reshape(width, heads, -1)
        yield _pad_heads(columns, 2).reshape(width, -1)
        yield layer.take("scale1", width)
        yield layer.take("norm2.weight", width)
        yield layer.take("norm2.bias", width)
        yield layer.take("expand.weight", hidden, width)
        yield layer.take("contract.weight", width, hidden)
        yield layer.take("scale2", width)


def _heads_apart(qkv: Floats, heads: int) -> Floats:
    width = qkv.shape[1]
    parts = qkv.reshape(3, heads, -1, width).copy()
    pairs = parts[:2].reshape(2, heads, -1, 2, width).swapaxes(2, 3)
    parts[:2] = pairs.reshape(parts[:2].shape)
    return np.concatenate([_pad_heads(part, 1).reshape(-1, width) for part in parts])


def _pad_heads(values: Floats, axis: int) -> Floats:
    padding = [(0, 0)] * values.ndim
    padding[axis] = (0, -values.shape[axis] % _LANES)
    return np.pad(values, padding)


def _encoder_chain(tensors: Tensors, config: MimiConfig) -> Iterator[Floats]:
    size = config.seanet
    assert size is not None
    channels, layer = size.filters, 1
    yield from _conv(tensors.within("model.0"), 1, channels, size.kernel)
    for ratio in reversed(size.ratios):
        for _ in range(size.residual_layers):
            yield from _residual(tensors.within(f"model.{layer}"), config, channels)
            layer += 1
        yield from _conv(tensors.within(f"model.{layer + 1}"), channels, 2 * channels, 2 * ratio)
        channels, layer = 2 * channels, layer + 2
    yield from _conv(tensors.within(f"model.{layer + 1}"), channels, config.width, size.last_kernel)


def _decoder_chain(tensors: Tensors, config: MimiConfig) -> Iterator[Floats]:
    size = config.seanet
    assert size is not None
    channels, layer = size.filters * 2 ** len(size.ratios), 1
    yield from _conv(tensors.within("model.0"), config.width, channels, size.kernel)
    for ratio in size.ratios:
        yield from _upsampling(tensors.within(f"model.{layer + 1}"), channels, channels // 2, ratio)
        channels, layer = channels // 2, layer + 2
        for _ in range(size.residual_layers):
            yield from _residual(tensors.within(f"model.{layer}"), config, channels)
            layer += 1
    yield from _conv(tensors.within(f"model.{layer + 1}"), channels, 1, size.last_kernel)


def _residual(tensors: Tensors, config: MimiConfig, channels: int) -> Iterator[Floats]:
    assert config.seanet is not None
    inner = channels // config.seanet.compress
    yield from _conv(tensors.within("look"), channels, inner, config.seanet.residual_kernel)
    yield from _conv(tensors.within("mix"), inner, channels, 1)


def spectral_decoder(tensors: Tensors, config: MimiConfig) -> Iterator[Floats]:
    """Between the transformer and what is said about each hop: pitch and voicing, then the filters."""
    size = config.spectral
    assert size is not None
    yield _upsampled(tensors.take("up.weight", config.width, size.dim, 2 * HOPS_PER_LATENT))
    yield np.tile(tensors.take("up_bias", size.dim), HOPS_PER_LATENT)
    yield from _blocks(tensors, size, size.decoder_blocks)
    yield tensors.take("norm.weight", size.dim)
    yield tensors.take("norm.bias", size.dim)
    bins = size.window // 2 + 1
    for name in ("weight", "bias"):
        shape = (size.dim,) if name == "weight" else ()
        parts = tensors.take(f"source.{name}", 2, *shape), tensors.take(f"filters.{name}", 3 * bins, *shape)
        yield np.concatenate(parts)


def spectral_encoder(tensors: Tensors, config: MimiConfig) -> Iterator[Floats]:
    """Between a hop's features and the transformer."""
    size = config.spectral
    assert size is not None
    yield tensors.take("read.weight", size.dim, feature_count(size))
    yield tensors.take("read.bias", size.dim)
    yield from _blocks(tensors, size, size.encoder_blocks)
    yield from _conv(tensors.within("down"), size.dim, config.width, 2 * HOPS_PER_LATENT)


def _blocks(tensors: Tensors, size: SpectralConfig, count: int) -> Iterator[Floats]:
    dim, hidden = size.dim, size.expansion * size.dim
    for i in range(count):
        block = tensors.within(f"blocks.{i}")
        yield block.take("depthwise.weight", dim, 1, size.kernel)[:, 0].T
        yield block.take("depthwise.bias", dim)
        yield block.take("norm.weight", dim)
        yield block.take("norm.bias", dim)
        yield block.take("widen.weight", hidden, dim)
        yield block.take("widen.bias", hidden)
        yield block.take("narrow.weight", dim, hidden)
        yield block.take("narrow.bias", dim)
        yield block.take("scale", dim)


def _conv(tensors: Tensors, inputs: int, outputs: int, kernel: int) -> Iterator[Floats]:
    yield _windowed(tensors.take("weight", outputs, inputs, kernel))
    yield tensors.take("bias", outputs)


def _windowed(weight: Floats) -> Floats:
    """(outputs, inputs, kernel) -> (outputs, kernel * inputs)."""
    return weight.transpose(0, 2, 1).reshape(len(weight), -1)


def _upsampling(tensors: Tensors, inputs: int, outputs: int, stride: int) -> Iterator[Floats]:
    yield _upsampled(tensors.take("weight", inputs, outputs, 2 * stride))
    yield np.tile(tensors.take("bias", outputs), stride)


def _upsampled(weight: Floats) -> Floats:
    """(inputs, outputs, 2 * stride) -> (stride * outputs, 2 * inputs)."""
    inputs, outputs, stride = weight.shape[0], weight.shape[1], weight.shape[2] // 2
    own, over = weight[..., :stride], weight[..., stride:]  # of the step itself, and of the one before it
    return np.stack((over, own), axis=0).transpose(3, 2, 0, 1).reshape(stride * outputs, 2 * inputs)


def check_tensors(tensors: Tensors, config: MimiConfig) -> set[str]:
    """The names of all tensors of such a codec; raises LayoutMismatch if any is missing or misshapen. Reads none."""
    taken: set[str] = set()
    dry = tensors.dry(taken)
    books = all_centroids(dry, config)
    for order in (decoder_tensors, encoder_tensors):
        for _ in order(dry, config, books):
            pass
    size, inner = config.quantizer, dry.within("quantizer")
    for part, count in (("semantic", size.semantic), ("acoustic", size.codebooks - size.semantic)):
        for i in range(count):
            inner.take(f"{part}.codebooks.{i}.initialized", 1)
    return taken
