"""CSM for MLX, as csm-mlx and mlx-audio save it: safetensors under mlx-lm's names, plain or rounded in groups.

Source: Blaizzy/mlx-audio, tts/models/sesame/sesame.py, and mlx's `quantize` (mlx_rounding.py). Rotary pairs lie side by
side, as in Sesame's files.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..csm.config import CsmConfig
from . import sesame, transformers_csm_config
from .mlx_rounding import GroupedArray, grouped_array
from .model_parts import CsmPart, ModelParts

SIGN = "backbone.layers.0.self_attn.q_proj.weight"
PREFIX = "model."
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
    chosen = [own.get(key, settings.get(key)) if isinstance(own, Mapping) else None for key in ("bits", "mode")]
    return grouped_array(base, words, arrays[f"{base}.scales"], arrays.get(f"{base}.biases"), chosen, where)


def _config(arrays: Mapping[str, Any], values: Mapping[str, Any]) -> CsmConfig:
    if "depth_decoder_config" in values:
        return transformers_csm_config.read_config(values)
    if "backbone_flavor" in values or sesame.EXTENSION in values:
        return sesame.read_config(values)
    return sesame.infer_config({name: tuple(array.shape) for name, array in arrays.items()})
