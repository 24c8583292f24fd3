"""Mimi as the converter of llama.cpp's pull request 12648 writes it: one GGUF file without any hyper-parameter.

Names are those of transformers with `_residual_vector_quantizer` cut to `_rvq`; codebooks are finished, convolutions
always F16, their biases columns, rotary rows side by side. Source: ngxson/llama.cpp, convert_mimi_to_gguf.py.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from .gguf_file import GgufFile, NewTensor, write_gguf
from .mimi_names import infer_config, to_ours
from .mimi_transformers import file_names
from .model_parts import CodecPart, ModelParts
from .quantized_types import checked_type, fits
from .stored_array import as_floats, in_type, take_rows

ARCHITECTURE = "if you see this, you are using the wrong file"
LAYOUT = "llama-mimi"
LONG, SHORT = "_residual_vector_quantizer", "_rvq"


def read_llama_mimi(file: GgufFile) -> ModelParts:
    """The codec in such a file; its sizes are told by shapes, heads have 64 channels and a context of 250 steps."""
    return ModelParts(layout=LAYOUT, files=(file.path,), codec=lambda: _codec(file))


def _codec(file: GgufFile) -> CodecPart:
    theirs = {}
    for name, tensor in file.tensors.items():
        whole = name.replace(SHORT, LONG)
        theirs[f"{whole}.embed" if whole.endswith(".codebook") else whole] = tensor.array()
    ours = to_ours(theirs, None, file.path.name, halves=False)
    return CodecPart(infer_config({name: tuple(array.shape) for name, array in ours.items()}), ours)


def write_llama_mimi(part: CodecPart, target: Path, out_type: str = "F16") -> Path:
    """Write the file. Raises InputError for a codec whose front end Mimi doesn't have, or another head width."""
    config = part.config
    if config.frontend != "seanet":
        raise InputError(f"llama.cpp's Mimi has no {config.frontend} front end.", field="frontend")
    chosen = checked_type(out_type)
    tensors: dict[str, NewTensor] = {}
    for ours, array in part.arrays.items():
        if ours.endswith((".cluster_usage", ".initialized")):
            continue
        if ours.endswith(".embedding_sum"):
            usage = as_floats(part.arrays[ours.replace("embedding_sum", "cluster_usage")])
            name = file_names(ours)[0].removesuffix(".embed_sum")
            tensors[name.replace(LONG, SHORT)] = _codebook(array, usage, config.transformer.norm_eps, chosen)
        elif ours.endswith("qkv.weight"):
            width = array.shape[0] // 3
            for number, name in enumerate(file_names(ours)):
                rows = take_rows(array, slice(number * width, (number + 1) * width))
                tensors[name] = _plain(name, rows, chosen)
        else:
            name = file_names(ours)[0]
            tensors[name.replace(LONG, SHORT)] = _plain(name, array, chosen)
    return write_gguf(target, ARCHITECTURE, {}, tensors)


def _codebook(sums: Any, usage: np.ndarray, least: float, chosen: str) -> NewTensor:
    kind = chosen if fits(chosen, sums.shape) else "F16"

    def make() -> np.ndarray:
        return in_type(as_floats(sums) / np.maximum(usage, np.float32(least))[:, None], kind)

    return NewTensor(kind, tuple(sums.shape), make)


def _plain(name: str, array: Any, chosen: str) -> NewTensor:
    """A tensor by the converter's rules for its name."""
    shape = tuple(array.shape)
    if name.endswith(".conv.bias"):
        return NewTensor("F32", (*shape, 1), _values(array, "F32"))
    if ".conv.weight" in name:
        return NewTensor("F16", shape, _values(array, "F16"))
    if name.endswith("put_proj.weight"):
        shape = shape[:2]
    kind = "F32" if len(shape) == 1 else chosen if fits(chosen, shape) else "F16"
    return NewTensor(kind, shape, _values(array, kind, shape))


def _values(array: Any, kind: str, shape: tuple[int, ...] | None = None) -> Callable[[], np.ndarray]:
    """Its bytes, made later; a 1×1 convolution becomes a matrix first."""
    if shape is not None and shape != tuple(array.shape):
        return lambda: in_type(as_floats(array).reshape(shape), kind)
    return lambda: in_type(array, kind)
