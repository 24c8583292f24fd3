"""CSM for MLX, as csm-mlx and mlx-audio save it: safetensors under mlx-lm's names, plain or rounded in groups.

Source: Blaizzy/mlx-audio, tts/models/sesame/sesame.py; mlx's `quantize`: level · scale + bias, levels of 2, 4 or 8 bits
side by side in 32-bit words, the lowest first. Rotary pairs lie side by side, as in Sesame's files. Other forms of
rounding (3, 5, 6 bits, mxfp4, nvfp4) are refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..csm.config import CsmConfig
from ..errors import LayoutMismatch
from . import sesame, transformers_csm_config
from .model_parts import CsmPart, ModelParts
from .stored_array import as_floats

SIGN = "backbone.layers.0.self_attn.q_proj.weight"
PREFIX = "model."
BITS = (2, 4, 8)
_LEAVES = {
    "self_attn.q_proj": "attn.q_proj",
    "self_attn.k_proj": "attn.k_proj",
    "self_attn.v_proj": "attn.v_proj",
    "self_attn.o_proj": "attn.output_proj",
    "mlp.gate_proj": "mlp.w1",
    "mlp.down_proj": "mlp.w2",
    "mlp.up_proj": "mlp.w3",
    "input_layernorm.weight": "sa_norm.scale",
    "post_attention_layernorm.weight": "mlp_norm.scale",
}


class GroupedArray:
    """A matrix in MLX's rounded form that becomes float32 where it is looked at."""

    dtype = np.dtype(np.float32)
    ndim = 2

    def __init__(self, words: npt.NDArray[np.uint32], scales: Any, biases: Any, bits: int) -> None:
        self._words, self._scales, self._biases, self._bits = words, scales, biases, bits
        self.shape = (words.shape[0], words.shape[1] * 32 // bits)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> npt.NDArray[np.float32]:
        words = np.asarray(self._words[rows])
        shifts = np.arange(0, 32, self._bits, dtype=np.uint32)
        levels = (words[..., None] >> shifts) & np.uint32(2**self._bits - 1)
        scales, biases = as_floats(self._scales[rows])[..., None], as_floats(self._biases[rows])[..., None]
        grouped = levels.reshape(*scales.shape[:-1], -1).astype(np.float32)
        values: npt.NDArray[np.float32] = (grouped * scales + biases).reshape(*words.shape[:-1], self.shape[1])
        return values

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        values = self[:]
        return values if dtype is None else values.astype(dtype, copy=False)


def is_mlx(names: Mapping[str, Any]) -> bool:
    """Whether these are the tensors of a CSM for MLX."""
    return SIGN in names or PREFIX + SIGN in names


def read_mlx(files: tuple[Path, ...], arrays: Mapping[str, Any], config: Mapping[str, Any] | None) -> ModelParts:
    """The speech model in such files."""
    return ModelParts(
        layout="mlx",
        files=files,
        csm=lambda: _csm(arrays, config or {}, str(files[0])),
        card={"name": files[0].parent.name or files[0].stem, "text": "llama"},
        codec_elsewhere=True,
    )


def _csm(arrays: Mapping[str, Any], values: Mapping[str, Any], where: str) -> CsmPart:
    ours: dict[str, Any] = {}
    for name, array in arrays.items():
        stem = name.removeprefix(PREFIX)
        if stem.endswith((".scales", ".biases")):
            continue
        base = name.removesuffix(".weight")
        if f"{base}.scales" in arrays:
            array = _grouped(array, arrays, base, values, where)
        ours[_our_name(stem)] = array
    kept = sesame.without_masks(ours)
    return CsmPart(_config(kept, values), kept)


def _our_name(theirs: str) -> str:
    for mlx, own in _LEAVES.items():
        if f".{mlx}" in theirs:
            return theirs.replace(mlx, own)
    return {"backbone.norm.weight": "backbone.norm.scale", "decoder.norm.weight": "decoder.norm.scale"}.get(
        theirs, theirs
    )


def _grouped(words: Any, arrays: Mapping[str, Any], base: str, values: Mapping[str, Any], where: str) -> GroupedArray:
    settings = values.get("quantization") or values.get("quantization_config") or {}
    settings = settings if isinstance(settings, Mapping) else {}
    own = settings.get(base.removeprefix(PREFIX), settings)
    bits, mode = (own.get(key, settings.get(key)) if isinstance(own, Mapping) else None for key in ("bits", "mode"))
    if bits not in BITS or mode not in (None, "affine") or f"{base}.biases" not in arrays:
        raise LayoutMismatch(
            f"{base} in {where} is rounded to {bits!r} bits ({mode or 'affine'}); read are {BITS}, affine.",
            hint="Its config.json should lie beside it; else take a 4-bit, 8-bit or plain copy.",
        )
    scales, biases = arrays[f"{base}.scales"], arrays[f"{base}.biases"]
    fitting = words.dtype == np.uint32 and words.ndim == scales.ndim == 2 and scales.shape == biases.shape
    if not fitting or words.shape[0] != scales.shape[0] or words.shape[1] * 32 // bits % max(1, scales.shape[1]):
        raise LayoutMismatch(f"{base} in {where} has scales {scales.shape} that don't fit its words {words.shape}.")
    return GroupedArray(words, scales, biases, bits)


def _config(arrays: Mapping[str, Any], values: Mapping[str, Any]) -> CsmConfig:
    if "depth_decoder_config" in values:
        return transformers_csm_config.read_config(values)
    if "backbone_flavor" in values or sesame.EXTENSION in values:
        return sesame.read_config(values)
    return sesame.infer_config({name: tuple(array.shape) for name, array in arrays.items()})
