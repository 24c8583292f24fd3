"""Load a Mimi codec into numpy, from a file in Kyutai's layout (ours is one) or a GGUF file. Needs no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from ..mimi.torchless.codec import TorchlessMimi
from ..mimi.torchless.tensors import Tensors
from . import kyutai
from .arrays import load_arrays
from .checkpoint import open_checkpoint
from .mimi import own_config


def load_torchless_mimi(path: str | Path) -> TorchlessMimi:
    """The codec in a .safetensors or GGUF file. Raises WeightsNotFound, WeightsDamaged, LayoutMismatch or InputError."""
    checkpoint = open_checkpoint(path)
    if checkpoint.parts is not None:
        part = checkpoint.parts.sound_codec()
        return TorchlessMimi(part.config, Tensors(part.arrays))
    named: dict[str, Any] = kyutai.canonical(cast("Any", load_arrays(checkpoint)))  # it only looks at names
    shapes = {name: tuple(array.shape) for name, array in named.items()}
    config = own_config(dict(checkpoint.metadata)) or kyutai.infer_config(shapes)
    return TorchlessMimi(config, Tensors(named, lambda name: kyutai.file_name(name, config)))
