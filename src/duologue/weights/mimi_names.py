"""Mimi's tensors by the names of transformers, from files of several makers, into ours. Needs no torch.

mimi_transformers.py goes the same way for whole checkpoints in torch; this is for files that hold parts of one, in
types of their own, with finished codebooks in place of their sums.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..errors import LayoutMismatch
from ..mimi.config import MimiConfig
from . import kyutai
from .layout import Shape, neighbours
from .stored_array import StoredArray, as_floats, join_rows, take_rows

_RULES = tuple(
    (re.compile(pattern), ours)
    for pattern, ours in (
        (r"(en|de)coder\.layers\.(\d+)\.block\.1\.conv\.", r"\1coder.model.\2.look."),
        (r"(en|de)coder\.layers\.(\d+)\.block\.3\.conv\.", r"\1coder.model.\2.mix."),
        (r"(en|de)coder\.layers\.(\d+)\.conv\.", r"\1coder.model.\2."),
        (r"(down|up)sample\.conv\.", r"\1sample."),
        (r"quantizer\.(\w+)_residual_vector_quantizer\.layers\.(\d+)\.codebook\.", r"quantizer.\1.codebooks.\2."),
        (r"quantizer\.(\w+)_residual_vector_quantizer\.(in|out)put_proj\.", r"quantizer.\1.project_\2."),
    )
)
_LAYER = re.compile(r"((?:en|de)coder_transformer\.layers\.\d+)\.(.+)")
_LEAVES = {
    "input_layernorm.weight": "norm1.weight",
    "input_layernorm.bias": "norm1.bias",
    "post_attention_layernorm.weight": "norm2.weight",
    "post_attention_layernorm.bias": "norm2.bias",
    "self_attn.o_proj.weight": "out.weight",
    "mlp.fc1.weight": "expand.weight",
    "mlp.fc2.weight": "contract.weight",
    "self_attn_layer_scale.scale": "scale1",
    "mlp_layer_scale.scale": "scale2",
}
_QKV = tuple(f"self_attn.{part}_proj.weight" for part in "qkv")
FINISHED = "embedding"  # of a codebook whose sum was divided by its usage


def our_name(theirs: str) -> str | None:
    """Our name of a tensor that transformers would call `theirs`; None for a name unknown here."""
    if match := _LAYER.fullmatch(theirs):
        leaf = _LEAVES.get(match[2])
        return f"{match[1]}.{leaf}" if leaf else None
    for pattern, ours in _RULES:
        if match := pattern.match(theirs):
            leaf = theirs[match.end() :]
            return match.expand(ours) + {"embed_sum": "embedding_sum", "embed": FINISHED}.get(leaf, leaf)
    return None


def to_ours(theirs: Mapping[str, Any], heads: int | None, where: str, *, halves: bool) -> dict[str, Any]:
    """Our arrays. `halves`: rotary rows of queries and keys lie as transformers has them, not side by side.

    `heads` None counts 64 channels a head. Raises LayoutMismatch for tensors of unknown name, or halves of a group.
    """
    ours: dict[str, Any] = {}
    unknown = []
    for name, values in theirs.items():
        if name.endswith(_QKV):
            continue
        renamed = our_name(name)
        if renamed is None:
            unknown.append(name)
        else:
            ours[renamed] = _in_shape(renamed, values)
    if unknown:
        raise LayoutMismatch.of_keys(where, unexpected=unknown)
    stems = {name[: -len(_QKV[0]) - 1] for name in theirs if name.endswith(_QKV)}
    for stem in stems:
        ours[f"{stem}.qkv.weight"] = _joined(theirs, stem, heads, where, halves)
    _finish_codebooks(ours)
    return ours


def _joined(theirs: Mapping[str, Any], stem: str, heads: int | None, where: str, halves: bool) -> Any:
    names = [f"{stem}.{leaf}" for leaf in _QKV]
    if missing := [name for name in names if name not in theirs]:
        raise LayoutMismatch.of_keys(where, missing=missing)
    parts = [theirs[name] for name in names]
    count = heads or max(1, parts[0].shape[0] // kyutai.HEAD_WIDTH)
    if halves:
        parts[:2] = [side_by_side(part, count) for part in parts[:2]]
    return join_rows(parts)


def side_by_side(rows: Any, heads: int) -> Any:
    """Rows with rotary halves -> rows with pairs side by side, for arrays of any kind."""
    if rows.shape[0] % (2 * heads):
        raise LayoutMismatch(f"{rows.shape[0]} rows can't be shared by {heads} rotary heads.")
    order = neighbours(np.arange(rows.shape[0], dtype=np.int64)[:, None], heads)[:, 0]
    return take_rows(rows, order)


def _in_shape(ours: str, values: Any) -> Any:
    """Undo what some makers do to shapes: columns for biases, 1×1 convolutions as plain matrices."""
    if ours.endswith(".bias") and values.ndim == 2:
        return as_floats(values).reshape(-1)
    if ".project_" in ours and values.ndim == 2:
        return (as_floats(values) if isinstance(values, StoredArray) else values)[..., None]
    return values


def _finish_codebooks(ours: dict[str, Any]) -> None:
    """A finished codebook is a sum of one use each."""
    for name in [name for name in ours if name.endswith(f".{FINISHED}")]:
        stem, table = name.removesuffix(FINISHED), ours.pop(name)
        if f"{stem}embedding_sum" in ours:
            continue
        ours[f"{stem}embedding_sum"] = table
        ours[f"{stem}cluster_usage"] = np.ones(table.shape[0], np.float32)
        ours[f"{stem}initialized"] = np.ones(1, np.float32)


def infer_config(shapes: Mapping[str, Shape]) -> MimiConfig:
    """A SEANet codec's sizes from the shapes of our tensors. Raises WeightsDamaged if those that tell are missing."""
    numbers = [int(match[1]) for name in shapes if (match := re.fullmatch(r"decoder\.model\.(\d+)\.weight", name))]
    ends = {min(numbers, default=0), max(numbers, default=0)}
    renamed = {}
    for name, shape in shapes.items():
        for pattern, released in _SHAPES:
            name = pattern.sub(released, name)
        if (match := re.fullmatch(r"decoder\.model\.(\d+)\.weight", name)) and int(match[1]) not in ends:
            name = f"decoder.model.{match[1]}.convtr.convtr.weight"
        renamed[re.sub(r"^((?:en|de)coder\.model\.\d+)\.weight$", r"\1.conv.conv.weight", name)] = shape
    return kyutai.infer_config(renamed)


_SHAPES = tuple(
    (re.compile(pattern), released)
    for pattern, released in (
        (r"^((?:en|de)coder\.model\.\d+)\.look\.weight$", r"\1.block.1.conv.conv.weight"),
        (r"^upsample\.weight$", "upsample.convtr.convtr.convtr.weight"),
        (r"^encoder_transformer\.layers\.(\d+)\.expand\.", r"encoder_transformer.transformer.layers.\1.linear1."),
        (r"^quantizer\.semantic\.codebooks\.(\d+)\.", r"quantizer.rvq_first.vq.layers.\1._codebook."),
        (r"^quantizer\.acoustic\.codebooks\.(\d+)\.", r"quantizer.rvq_rest.vq.layers.\1._codebook."),
    )
)
