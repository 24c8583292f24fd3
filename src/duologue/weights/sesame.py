"""CSM in Sesame's own layout, which is also the house's: 187 tensors for csm-1b, rotary pairs side by side.

Knows names, shapes and config.json; no numbers are changed here. Source: SesameAILabs/csm and its published files.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ..configuration import from_dict, to_dict
from ..csm.config import CSM_1B, CsmConfig, RopeScaling, StackConfig
from ..errors import InputError, LayoutMismatch
from .layout import Shape

# The stacks that Sesame's config.json calls by name.
BACKBONES = {"llama-1B": CSM_1B.backbone}
DEPTHS = {"llama-100M": CSM_1B.depth}
_MASKS = ("backbone_causal_mask", "decoder_causal_mask")  # saved by accident once caches were set up
_KEYS = {"audio_num_codebooks", "audio_vocab_size", "backbone_flavor", "decoder_flavor", "text_vocab_size"}
EXTENSION = "duologue"  # our key in config.json, for sizes that have no name


def csm_shapes(config: CsmConfig) -> dict[str, Shape]:
    """Name and shape of every tensor of a CSM in the house's layout."""
    width, size, books = config.backbone.width, config.codebook_size, config.num_codebooks
    shapes: dict[str, Shape] = {
        "text_embeddings.weight": (config.text_vocab, width),
        "audio_embeddings.weight": (books * size, width),
        "projection.weight": (config.depth.width, width),
        "codebook0_head.weight": (size, width),
        "audio_head": (books - 1, config.depth.width, size),
    }
    shapes.update(_stack_shapes("backbone", config.backbone))
    shapes.update(_stack_shapes("decoder", config.depth))
    if config.aligned is not None:
        for slot in range(config.aligned.window):
            shapes[f"aligned_embeddings.window.{slot}.weight"] = (config.text_vocab + 1, width)
        shapes["aligned_embeddings.timing.weight"] = (config.aligned.timings, width)
        shapes["advance_head.weight"] = (config.aligned.max_advance + 1, width)
    return shapes


def _stack_shapes(name: str, stack: StackConfig) -> dict[str, Shape]:
    inner, kv_inner = stack.heads * stack.head_width, stack.kv_heads * stack.head_width
    layer: dict[str, Shape] = {
        "attn.q_proj.weight": (inner, stack.width),
        "attn.k_proj.weight": (kv_inner, stack.width),
        "attn.v_proj.weight": (kv_inner, stack.width),
        "attn.output_proj.weight": (stack.width, inner),
        "mlp.w1.weight": (stack.hidden, stack.width),
        "mlp.w2.weight": (stack.width, stack.hidden),
        "mlp.w3.weight": (stack.hidden, stack.width),
        "sa_norm.scale": (stack.width,),
        "mlp_norm.scale": (stack.width,),
    }
    shapes = {f"{name}.layers.{i}.{leaf}": shape for i in range(stack.layers) for leaf, shape in layer.items()}
    return {**shapes, f"{name}.norm.scale": (stack.width,)}


def without_masks(tensors: Mapping[str, Any]) -> dict[str, Any]:
    """The tensors without the causal masks that some files carry."""
    return {name: tensor for name, tensor in tensors.items() if name not in _MASKS}


def read_config(values: Mapping[str, Any]) -> CsmConfig:
    """Sizes from Sesame's config.json. Raises InputError naming a key that is missing or unknown."""
    if EXTENSION in values:
        return from_dict(CsmConfig, values[EXTENSION], "config.json")
    if missing := sorted(_KEYS - values.keys()):
        raise InputError(f"config.json lacks {', '.join(missing)}.", field=missing[0])
    size = values["audio_vocab_size"]
    known = {
        "backbone": _flavor(BACKBONES, values["backbone_flavor"], "backbone_flavor"),
        "depth": _flavor(DEPTHS, values["decoder_flavor"], "decoder_flavor"),
        "num_codebooks": values["audio_num_codebooks"],
        "codebook_size": size,
        "text_vocab": values["text_vocab_size"],
        "codec_entries": min(size, CSM_1B.codec_entries) if isinstance(size, int) else size,
    }
    return from_dict(CsmConfig, known, "config.json")


def _flavor(known: Mapping[str, StackConfig], name: Any, key: str) -> dict[str, Any]:
    if not isinstance(name, str) or name not in known:
        raise InputError(f"{key} is {name!r}; known here: {', '.join(known)}.", field=key)
    return to_dict(known[name])


def write_config(config: CsmConfig) -> dict[str, Any]:
    """Sesame's config.json. Sizes without a name of theirs go under a key of ours."""
    backbone = next((name for name, stack in BACKBONES.items() if stack == config.backbone), "custom")
    depth = next((name for name, stack in DEPTHS.items() if stack == config.depth), "custom")
    values: dict[str, Any] = {
        "audio_num_codebooks": config.num_codebooks,
        "audio_vocab_size": config.codebook_size,
        "backbone_flavor": backbone,
        "decoder_flavor": depth,
        "text_vocab_size": config.text_vocab,
    }
    if "custom" in (backbone, depth) or read_config(values) != config:
        values[EXTENSION] = to_dict(config)
    return values


def infer_config(shapes: Mapping[str, Shape]) -> CsmConfig:
    """Sizes from tensors alone, for a file without config.json: widths, layers and counts are in the shapes, and heads
    of 64 (backbone) and 128 channels (depth) with csm-1b's rotary scaling are taken for granted.

    Raises LayoutMismatch if the tensors that tell sizes are missing.
    """
    try:
        books = shapes["audio_head"][0] + 1
        size = shapes["codebook0_head.weight"][0]
        return CsmConfig(
            backbone=_infer_stack(shapes, "backbone", head_width=64, positions=CSM_1B.backbone.max_positions),
            depth=_infer_stack(shapes, "decoder", head_width=128, positions=books + 1),
            num_codebooks=books,
            codebook_size=size,
            text_vocab=shapes["text_embeddings.weight"][0],
            codec_entries=min(size, CSM_1B.codec_entries),
        )
    except (KeyError, IndexError, ValueError, InputError) as error:
        raise LayoutMismatch(
            f"The sizes of this CSM can't be told from its tensors ({error}).", hint="Put its config.json beside it."
        ) from error


def _infer_stack(shapes: Mapping[str, Shape], name: str, head_width: int, positions: int) -> StackConfig:
    layers = {int(match[1]) for key in shapes if (match := re.match(rf"{name}\.layers\.(\d+)\.", key))}
    hidden, width = shapes[f"{name}.layers.0.mlp.w1.weight"]
    return StackConfig(
        layers=len(layers),
        width=width,
        heads=shapes[f"{name}.layers.0.attn.q_proj.weight"][0] // head_width,
        kv_heads=shapes[f"{name}.layers.0.attn.k_proj.weight"][0] // head_width,
        head_width=head_width,
        hidden=hidden,
        max_positions=positions,
        rope_scaling=RopeScaling(),
    )
