"""Load a Mimi codec without torch: from a file in Kyutai's layout (ours is one), a GGUF file, or transformers' tensors.

It runs on the engine's kernels; where none are compiled, in numpy.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from ..errors import BackendUnavailable, LayoutMismatch
from ..mimi.config import MimiConfig
from ..mimi.torchless.codec import TorchlessMimi
from ..mimi.torchless.native import NativeMimi, WeightKind
from ..mimi.torchless.native_spectral import NativeSpectral
from ..mimi.torchless.native_tensors import check_tensors
from ..mimi.torchless.tensors import Tensors
from ..native import binding
from . import kyutai, mimi_transformers
from .arrays import load_arrays
from .checkpoint import open_checkpoint
from .layout import neighbours
from .mimi import own_config, read_json
from .model_parts import CodecPart

Arrays = Mapping[str, npt.NDArray[Any]]
AnyMimi = TorchlessMimi | NativeMimi | NativeSpectral
_AND = " and "


def load_torchless_mimi(path: str | Path, decoder_weights: WeightKind = "float16", threads: int = 1) -> AnyMimi:
    """The codec in a .safetensors or .gguf file, or in a folder of transformers' layout.

    `decoder_weights` and `threads` are for the kernels.

    Raises WeightsNotFound, WeightsDamaged, LayoutMismatch or InputError.
    """
    path = Path(path)
    if path.is_dir():
        arrays = load_arrays(open_checkpoint(path / "model.safetensors"))
        return torchless_from_transformers(arrays, read_json(path / "config.json"), decoder_weights, threads)
    checkpoint = open_checkpoint(path)
    if checkpoint.parts is not None:
        return torchless_of_part(checkpoint.parts.sound_codec(), decoder_weights, threads)
    named: dict[str, Any] = kyutai.canonical(cast("Any", load_arrays(checkpoint)))  # either kind of array
    shapes = {name: tuple(array.shape) for name, array in named.items()}
    config = own_config(dict(checkpoint.metadata)) or kyutai.infer_config(shapes)
    tensors = Tensors(named, lambda name: kyutai.file_name(name, config))
    if not _has_kernels():
        return TorchlessMimi(config, tensors)
    known = {kyutai.file_name(ours, config) for ours in check_tensors(tensors, config)}
    return _native(config, tensors, named.keys() - known, decoder_weights, threads)


def torchless_of_part(part: CodecPart, decoder_weights: WeightKind, threads: int) -> AnyMimi:
    """The codec whose arrays are under our own names already, as in a GGUF file."""
    tensors = Tensors(part.arrays)
    if not _has_kernels():
        return TorchlessMimi(part.config, tensors)
    return _native(
        part.config, tensors, part.arrays.keys() - set(check_tensors(tensors, part.config)), decoder_weights, threads
    )


def torchless_from_transformers(
    arrays: Arrays, values: Mapping[str, Any], decoder_weights: WeightKind = "float16", threads: int = 1
) -> AnyMimi:
    """The codec from transformers' tensors and its config.json."""
    config = mimi_transformers.read_config(values)
    tensors = Tensors(_Fused(arrays, config), lambda name: _AND.join(mimi_transformers.file_names(name)))
    if not _has_kernels():
        return TorchlessMimi(config, tensors)
    known = {theirs for ours in check_tensors(tensors, config) for theirs in mimi_transformers.file_names(ours)}
    return _native(config, tensors, arrays.keys() - known, decoder_weights, threads)


def _native(
    config: MimiConfig, tensors: Tensors, unexpected: set[str], decoder_weights: WeightKind, threads: int
) -> NativeMimi | NativeSpectral:
    if unexpected:
        raise LayoutMismatch.of_keys("the codec's file", unexpected=unexpected)
    form = NativeSpectral if config.frontend == "spectral" else NativeMimi
    return form(config, tensors, decoder_weights=decoder_weights, threads=threads)


def _has_kernels() -> bool:
    try:
        binding.library()
    except BackendUnavailable:  # numpy is slower and says the same
        return False
    return True


class _Fused(Mapping[str, "npt.NDArray[Any]"]):
    """Transformers' tensors; queries, keys and values, asked for as "q and k and v", are brought together."""

    def __init__(self, theirs: Arrays, config: MimiConfig) -> None:
        self._theirs, self._config = theirs, config

    def __getitem__(self, names: str) -> npt.NDArray[Any]:
        group = names.split(_AND)
        if len(group) == 1:
            return self._theirs[names]
        wanted = (self._config.width, self._config.width)
        for name in group:
            if self._theirs[name].shape != wanted:
                raise LayoutMismatch(f"{name} is {self._theirs[name].shape}; the config wants {wanted}.")
        queries, keys, values = (self._theirs[name] for name in group)
        heads = self._config.transformer.heads
        return np.concatenate((neighbours(queries, heads), neighbours(keys, heads), values))

    def __contains__(self, names: object) -> bool:
        return all(name in self._theirs for name in str(names).split(_AND))

    def __iter__(self) -> Iterator[str]:
        return iter(self._theirs)

    def __len__(self) -> int:
        return len(self._theirs)
