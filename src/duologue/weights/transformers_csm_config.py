"""config.json and generation_config.json of a CSM as the transformers library writes them. Knows no tensors.

Versions 4 and 5 put the rotary settings under different keys, and both may state the same frequencies in other numbers:
only original_positions / low_factor and original_positions / high_factor matter.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..csm.config import CsmConfig, RopeScaling, StackConfig
from ..errors import InputError

MAX_WHOLE = 2**31
AUDIO_TOKEN = 128_002  # in transformers' prompts, the text id that stands for a frame; the next id for an EOS frame


def refuse_departures(config: CsmConfig, layout: str) -> None:
    """Raise InputError if a config asks for what the original model, and so a foreign layout, doesn't have."""
    if config.aligned is not None or config.eos != "zeros" or config.positions != "sequential":
        raise InputError(
            f"This model departs from the original CSM (aligned text, EOS or positions); {layout} can't express it.",
            hint="Keep it in the duologue layout.",
        )


def read_config(values: Mapping[str, Any]) -> CsmConfig:
    """Sizes from a config.json of model type "csm". Raises InputError naming what doesn't fit."""
    depth = values.get("depth_decoder_config") or {}
    if not isinstance(depth, Mapping):
        raise InputError("depth_decoder_config should be a table.", field="depth_decoder_config")
    codec = values.get("codec_config") or {}
    size = _whole(values, "vocab_size", 2051, other="codebook_size")
    books = _whole(values, "num_codebooks", 32)
    if _whole(depth, "num_codebooks", 32) != books or _whole(depth, "vocab_size", 2051, other="codebook_size") != size:
        raise InputError("The depth decoder has other codebooks than the backbone.", field="depth_decoder_config")
    if values.get("codebook_eos_token_id", 0) != 0:
        raise InputError("Only frames of zeros can end a turn here.", field="codebook_eos_token_id")
    entries = _whole(codec if isinstance(codec, Mapping) else {}, "codebook_size", 2048)
    backbone = _read_stack(values, layers=16, width=2048, heads=32, kv_heads=8, positions=2048)
    if _whole(depth, "backbone_hidden_size", 2048) != backbone.width:
        raise InputError("The depth decoder expects another backbone.", field="backbone_hidden_size")
    return CsmConfig(
        backbone=backbone,
        depth=_read_stack(depth, layers=4, width=1024, heads=8, kv_heads=2, positions=33),
        num_codebooks=books,
        codebook_size=size,
        text_vocab=_whole(values, "text_vocab_size", 128_256),
        codec_entries=min(entries, size),
    )


def _read_stack(
    values: Mapping[str, Any], layers: int, width: int, heads: int, kv_heads: int, positions: int
) -> StackConfig:
    if values.get("hidden_act", "silu") != "silu" or values.get("attention_bias") or values.get("mlp_bias"):
        raise InputError("Only SiLU stacks without biases are known here.", field="hidden_act")
    width, heads = _whole(values, "hidden_size", width), _whole(values, "num_attention_heads", heads)
    base, scaling = _read_rope(values)
    return StackConfig(
        layers=_whole(values, "num_hidden_layers", layers),
        width=width,
        heads=heads,
        kv_heads=_whole(values, "num_key_value_heads", kv_heads),
        head_width=_whole(values, "head_dim", max(1, width // max(1, heads))),
        hidden=_whole(values, "intermediate_size", 8192),
        max_positions=_whole(values, "max_position_embeddings", positions),
        norm_eps=_real(values, "rms_norm_eps", 1e-5),
        rope_base=base,
        rope_scaling=scaling,
    )


def _read_rope(values: Mapping[str, Any]) -> tuple[float, RopeScaling | None]:
    """Base and scaling, from rope_parameters (version 5) or rope_theta and rope_scaling (version 4)."""
    rope = values.get("rope_parameters") or values.get("rope_scaling") or {}
    if not isinstance(rope, Mapping):
        raise InputError("The rope settings should be a table.", field="rope_parameters")
    base = _real(rope, "rope_theta", _real(values, "rope_theta", 500_000.0))
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind == "default":
        return base, None
    if kind != "llama3":
        raise InputError(f"rope_type is {kind!r}; default and llama3 are known here.", field="rope_type")
    low, high = _real(rope, "low_freq_factor", 1.0), _real(rope, "high_freq_factor", 4.0)
    original = _whole(rope, "original_max_position_embeddings", 8192)
    if not 0 < low < high:
        raise InputError("The rope's factors should rise from above 0.", field="low_freq_factor")
    if (original / low).is_integer():  # only the ratios matter; the usual form has a low factor of 1
        original, high, low = int(original / low), high / low, 1.0
    return base, RopeScaling(_real(rope, "factor", 32.0), low, high, original)


def _write_rope(stack: StackConfig) -> dict[str, Any]:
    """The same frequencies with original positions below the stack's own, which is what transformers asks for."""
    if stack.rope_scaling is None:
        return {"rope_type": "default", "rope_theta": stack.rope_base}
    scaling, shrink = stack.rope_scaling, 1
    while scaling.original_positions // shrink > stack.max_positions // 2 and not (
        scaling.original_positions % (2 * shrink)
    ):
        shrink *= 2
    return {
        "rope_type": "llama3",
        "rope_theta": stack.rope_base,
        "factor": scaling.factor,
        "low_freq_factor": scaling.low_factor / shrink,
        "high_freq_factor": scaling.high_factor / shrink,
        "original_max_position_embeddings": scaling.original_positions // shrink,
    }


def write_config(config: CsmConfig, codec: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """config.json as transformers 5 writes it; `codec` is the codec's own config."""
    refuse_departures(config, "transformers")
    values: dict[str, Any] = {
        "architectures": ["CsmForConditionalGeneration"],
        "model_type": "csm",
        "num_codebooks": config.num_codebooks,
        "vocab_size": config.codebook_size,
        "text_vocab_size": config.text_vocab,
        "codebook_eos_token_id": 0,
        "codebook_pad_token_id": config.codebook_size - 1,
        "audio_token_id": min(AUDIO_TOKEN, config.text_vocab - 2),
        "audio_eos_token_id": min(AUDIO_TOKEN + 1, config.text_vocab - 1),
        "tie_codebooks_embeddings": True,
        **_write_stack(config.backbone),
        "depth_decoder_config": {
            "model_type": "csm_depth_decoder_model",
            "num_codebooks": config.num_codebooks,
            "vocab_size": config.codebook_size,
            "backbone_hidden_size": config.backbone.width,
            **_write_stack(config.depth),
        },
        "codec_config": dict(codec or {"codebook_size": config.codec_entries, "num_quantizers": config.num_codebooks}),
    }
    values["codec_config"].setdefault("model_type", "mimi")
    return values


def _write_stack(stack: StackConfig) -> dict[str, Any]:
    rope = _write_rope(stack)
    return {
        "num_hidden_layers": stack.layers,
        "hidden_size": stack.width,
        "num_attention_heads": stack.heads,
        "num_key_value_heads": stack.kv_heads,
        "head_dim": stack.head_width,
        "intermediate_size": stack.hidden,
        "max_position_embeddings": stack.max_positions,
        "rms_norm_eps": stack.norm_eps,
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "rope_parameters": rope,
    }


def generation_config(config: CsmConfig) -> dict[str, Any]:
    """generation_config.json with the released model's settings: sampling at 0.9 among 50 codes, 10 s at most."""
    stage = {"do_sample": True, "temperature": 0.9, "top_k": 50}
    depth = {**stage, "max_new_tokens": config.num_codebooks - 1, "min_new_tokens": config.num_codebooks - 1}
    return {"max_new_tokens": 125, **stage, **{f"depth_decoder_{key}": value for key, value in depth.items()}}


def _whole(values: Mapping[str, Any], key: str, default: int, other: str = "") -> int:
    value = values.get(key, values.get(other))
    if value is None:
        return default
    if type(value) is not int or not 1 <= value < MAX_WHOLE:
        raise InputError(f"{key} should be a whole number above 0, not {value!r}.", field=key)
    return value


def _real(values: Mapping[str, Any], key: str, default: float) -> float:
    value = values.get(key)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InputError(f"{key} should be a number, not {value!r}.", field=key)
    return float(value)
