"""Mimi in the layout of the transformers library: a folder with config.json and 350 tensors. Knows no other layout.

Its attention keeps queries, keys and values apart and rotates halves instead of neighbours, so the rows of queries and
keys are stored in another order inside each head; all other values are ours under other names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..errors import InputError, LayoutMismatch
from ..mimi.config import MimiConfig, QuantizerConfig, SeanetConfig, TransformerConfig

if TYPE_CHECKING:
    from torch import Tensor

_LAYER = {
    "norm1": "input_layernorm",
    "norm2": "post_attention_layernorm",
    "out": "self_attn.o_proj",
    "expand": "mlp.fc1",
    "contract": "mlp.fc2",
}
_RVQ = r"quantizer.\1_residual_vector_quantizer."
_RULES = (
    (r"(en|de)coder\.model\.(\d+)\.look\.", r"\1coder.layers.\2.block.1.conv."),
    (r"(en|de)coder\.model\.(\d+)\.mix\.", r"\1coder.layers.\2.block.3.conv."),
    (r"(en|de)coder\.model\.(\d+)\.", r"\1coder.layers.\2.conv."),
    (r"(down|up)sample\.", r"\1sample.conv."),
    (r"quantizer\.(\w+)\.codebooks\.(\d+)\.embedding_sum", _RVQ + r"layers.\2.codebook.embed_sum"),
    (r"quantizer\.(\w+)\.codebooks\.(\d+)\.", _RVQ + r"layers.\2.codebook."),
    (r"quantizer\.(\w+)\.project_(in|out)\.", _RVQ + r"\2put_proj."),
    (r"((?:en|de)coder_transformer\.layers\.\d+)\.scale1", r"\1.self_attn_layer_scale.scale"),
    (r"((?:en|de)coder_transformer\.layers\.\d+)\.scale2", r"\1.mlp_layer_scale.scale"),
)
_QKV = re.compile(r"((?:en|de)coder_transformer\.layers\.\d+)\.qkv\.weight")
_PLAIN = re.compile(r"((?:en|de)coder_transformer\.layers\.\d+)\.(norm1|norm2|out|expand|contract)\.(\w+)")

# What this codec always does; a config that asks for something else can't be honoured.
_FIXED: dict[str, Any] = {
    "audio_channels": 1,
    "use_causal_conv": True,
    "use_conv_shortcut": False,
    "trim_right_ratio": 1.0,
    "pad_mode": "constant",
    "hidden_act": "gelu",
    "attention_bias": False,
}


def file_names(ours: str) -> list[str]:
    """The file's name or, for fused queries, keys and values, three names of one of our tensors."""
    if match := _QKV.fullmatch(ours):
        return [f"{match[1]}.self_attn.{kind}_proj.weight" for kind in "qkv"]
    if match := _PLAIN.fullmatch(ours):
        return [f"{match[1]}.{_LAYER[match[2]]}.{match[3]}"]
    for pattern, theirs in _RULES:
        if match := re.match(pattern, ours):
            return [match.expand(theirs) + ours[match.end() :]]
    raise ValueError(f"{ours} has no name in this layout")


def from_file(tensors: Mapping[str, Tensor], names: list[str], config: MimiConfig) -> dict[str, Tensor]:
    """Our tensors `names` from the file's. Raises LayoutMismatch if any is missing, unexpected or misshapen."""
    import torch

    wanted = {ours: file_names(ours) for ours in names}
    known = {theirs for group in wanted.values() for theirs in group}
    if known != tensors.keys():
        raise LayoutMismatch.of_keys("the file", known - tensors.keys(), tensors.keys() - known)
    ours = {}
    for name, group in wanted.items():
        if len(group) == 1:
            ours[name] = tensors[group[0]]
            continue
        for theirs in group:
            if tensors[theirs].shape != (config.width, config.width):
                raise LayoutMismatch(
                    f"{theirs} is {tuple(tensors[theirs].shape)}; the config wants {(config.width, config.width)}."
                )
        queries, keys, values = (tensors[theirs] for theirs in group)
        heads = config.transformer.heads
        ours[name] = torch.cat((_neighbours(queries, heads), _neighbours(keys, heads), values))
    return ours


def to_file(ours: Mapping[str, Tensor], config: MimiConfig) -> dict[str, Tensor]:
    """The file's tensors from ours."""
    theirs = {}
    for name, tensor in ours.items():
        group = file_names(name)
        if len(group) == 1:
            theirs[group[0]] = tensor.contiguous()
            continue
        queries, keys, values = tensor.chunk(3)
        heads = config.transformer.heads
        for target, part in zip(group, (_halves(queries, heads), _halves(keys, heads), values), strict=True):
            theirs[target] = part.contiguous()
    return theirs


def _halves(rows: Tensor, heads: int) -> Tensor:
    """Rows in pairs (2i, 2i+1) inside each head -> first halves, then second halves of the pairs."""
    return rows.unflatten(0, (heads, -1, 2)).transpose(1, 2).flatten(0, 2)


def _neighbours(rows: Tensor, heads: int) -> Tensor:
    """The way back from `_halves`."""
    return rows.unflatten(0, (heads, 2, -1)).transpose(1, 2).flatten(0, 2)


def read_config(values: Mapping[str, Any]) -> MimiConfig:
    """Our config from a config.json of model type "mimi". Raises InputError naming a field that can't be honoured."""
    _refuse_departures(values)
    config = MimiConfig(
        width=_whole(values, "hidden_size", 512),
        seanet=SeanetConfig(
            filters=_whole(values, "num_filters", 64),
            ratios=_ratios(values.get("upsampling_ratios") or [8, 6, 5, 4]),
            kernel=_whole(values, "kernel_size", 7),
            residual_kernel=_whole(values, "residual_kernel_size", 3),
            last_kernel=_whole(values, "last_kernel_size", 3),
            residual_layers=_whole(values, "num_residual_layers", 1),
            dilation_base=_whole(values, "dilation_growth_rate", 2),
            compress=_whole(values, "compress", 2),
        ),
        transformer=TransformerConfig(
            layers=_whole(values, "num_hidden_layers", 8),
            heads=_whole(values, "num_attention_heads", 8),
            hidden=_whole(values, "intermediate_size", 2_048),
            context=_whole(values, "sliding_window", 250),
            rope_base=_rope_base(values),
            norm_eps=_real(values, "norm_eps", 1e-5),
            initial_scale=_real(values, "layer_scale_initial_scale", 0.01),
        ),
        quantizer=QuantizerConfig(
            codebooks=_whole(values, "num_quantizers", 32),  # the published file leaves it out
            entries=_whole(values, "codebook_size", 2_048),
            width=_whole(values, "vector_quantization_hidden_dimension", 256),
            semantic=_whole(values, "num_semantic_quantizers", 1),
        ),
        rate_hz=_whole(values, "sampling_rate", 24_000),
    )
    frame_rate = values.get("frame_rate")
    if frame_rate is not None and frame_rate != config.rate_hz / config.frame_samples:
        raise InputError(f"frame_rate {frame_rate!r} doesn't follow from the ratios.", field="frame_rate")
    return config


def write_config(config: MimiConfig) -> dict[str, Any]:
    """The config.json of a codec with a SEANet front end; InputError for any other, which this layout can't hold."""
    seanet, transformer, quantizer = config.seanet, config.transformer, config.quantizer
    if config.frontend != "seanet" or seanet is None:
        raise InputError(f"transformers has no {config.frontend} front end.", field="frontend")
    return {
        "architectures": ["MimiModel"],
        "model_type": "mimi",
        "dtype": "float32",
        **_FIXED,
        "sampling_rate": config.rate_hz,
        "frame_rate": config.rate_hz / config.frame_samples,
        "hidden_size": config.width,
        "num_filters": seanet.filters,
        "upsampling_ratios": list(seanet.ratios),
        "kernel_size": seanet.kernel,
        "residual_kernel_size": seanet.residual_kernel,
        "last_kernel_size": seanet.last_kernel,
        "num_residual_layers": seanet.residual_layers,
        "dilation_growth_rate": seanet.dilation_base,
        "compress": seanet.compress,
        "upsample_groups": config.width,
        "num_hidden_layers": transformer.layers,
        "num_attention_heads": transformer.heads,
        "num_key_value_heads": transformer.heads,
        "head_dim": config.width // transformer.heads,
        "intermediate_size": transformer.hidden,
        "sliding_window": transformer.context,
        "rope_theta": transformer.rope_base,
        "norm_eps": transformer.norm_eps,
        "layer_scale_initial_scale": transformer.initial_scale,
        "num_quantizers": quantizer.codebooks,
        "num_semantic_quantizers": quantizer.semantic,
        "codebook_size": quantizer.entries,
        "codebook_dim": quantizer.width,
        "vector_quantization_hidden_dimension": quantizer.width,
    }


def _refuse_departures(values: Mapping[str, Any]) -> None:
    fixed = dict(_FIXED)
    if "model_type" in values:
        fixed["model_type"] = "mimi"
    width, heads = _whole(values, "hidden_size", 512), _whole(values, "num_attention_heads", 8)
    fixed |= {"upsample_groups": width, "num_key_value_heads": heads, "head_dim": width // max(1, heads)}
    fixed["codebook_dim"] = _whole(values, "vector_quantization_hidden_dimension", 256)
    for name, wanted in fixed.items():
        seen = values.get(name)
        if seen is not None and seen != wanted:
            raise InputError(f"This codec has {name} {wanted!r}; config.json asks for {seen!r}.", field=name)
    rope = values.get("rope_parameters") or values.get("rope_scaling") or {}
    if isinstance(rope, Mapping) and rope.get("rope_type", "default") != "default":
        raise InputError("This codec knows plain rotary positions only.", field="rope_parameters")


def _rope_base(values: Mapping[str, Any]) -> float:
    rope = values.get("rope_parameters")
    return _real(rope if isinstance(rope, Mapping) else values, "rope_theta", 10_000.0)


def _ratios(value: Any) -> tuple[int, ...]:
    if not isinstance(value, list) or not all(type(item) is int for item in value):
        raise InputError(
            f"upsampling_ratios should be a list of whole numbers, not {value!r}.", field="upsampling_ratios"
        )
    return tuple(value)


def _whole(values: Mapping[str, Any], name: str, default: int) -> int:
    value = values.get(name, default)
    if type(value) is not int:
        raise InputError(f"{name} should be a whole number, not {value!r}.", field=name)
    return value


def _real(values: Mapping[str, Any], name: str, default: float) -> float:
    value = values.get(name, default)
    if type(value) not in (int, float) or not 0 < value < 1e12:
        raise InputError(f"{name} should be a positive number, not {value!r}.", field=name)
    return float(value)
