"""What several GGUF dialects share: whole numbers in keys, arrays by names, codecs in transformers' form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..csm.config import CsmConfig
from ..errors import LayoutMismatch
from ..mimi.config import MimiConfig
from . import transformers_csm
from .gguf_file import GgufFile
from .mimi_names import infer_config, side_by_side, to_ours
from .model_parts import CodecPart
from .stored_array import take_rows

LAYER_LEAVES = {  # theirs -> ours, inside a layer of CrispASR and codec.cpp
    "attn_norm.weight": "sa_norm.scale",
    "ffn_norm.weight": "mlp_norm.scale",
    "ffn_gate.weight": "mlp.w1.weight",
    "ffn_down.weight": "mlp.w2.weight",
    "ffn_up.weight": "mlp.w3.weight",
}


def whole(keys: Mapping[str, Any], name: str) -> int:
    """A whole number in a file's metadata. Raises LayoutMismatch if it isn't there."""
    value = keys.get(name)
    if type(value) is not int:
        raise LayoutMismatch(f"The file lacks {name}, or it is no whole number.")
    return value


def named_arrays(file: GgufFile, names: Mapping[str, str]) -> dict[str, Any]:
    """Our arrays by the file's names. Raises LayoutMismatch naming what is missing."""
    if missing := set(names.values()) - file.tensors.keys():
        raise LayoutMismatch.of_keys(file.path.name, missing=missing)
    return {ours: file.tensors[theirs].array() for ours, theirs in names.items()}


def pairs_side_by_side(arrays: dict[str, Any], config: CsmConfig, stacks: tuple[str, ...]) -> dict[str, Any]:
    """Rotary rows of the named stacks from transformers' order into ours."""
    turned = {}
    for name, array in arrays.items():
        heads = transformers_csm.rotary_heads(name, config) if name.startswith(stacks) else None
        turned[name] = array if heads is None else side_by_side(array, heads)
    return turned


def three_of(stem: str, fused: Any) -> dict[str, Any]:
    """Queries, keys and values from one matrix, under transformers' names."""
    width = fused.shape[0] // 3
    rows = {part: take_rows(fused, slice(i * width, (i + 1) * width)) for i, part in enumerate("qkv")}
    return {f"{stem}.self_attn.{part}_proj.weight": values for part, values in rows.items()}


def codec_part(theirs: Mapping[str, Any], heads: int, where: str) -> CodecPart:
    """A codec from tensors under transformers' names, rotary rows in halves."""
    ours = to_ours(theirs, heads, where, halves=True)
    config: MimiConfig = infer_config({name: tuple(array.shape) for name, array in ours.items()})
    return CodecPart(replace(config, transformer=replace(config.transformer, heads=heads)), ours)
