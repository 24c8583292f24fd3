"""codec.cpp's GGUF of CSM: the codec with the depth decoder in one file, the backbone as a plain Llama in another.

Sources: mybigday/codec.cpp, scripts/converters/{csm,mimi}.py, lm_adaptor/csm.py, extract_csm_backbone.py; the backbone
goes through llama.cpp's converter, which lays rotary pairs side by side. The depth decoder keeps transformers' halves.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..csm.config import CsmConfig, RopeScaling, StackConfig
from ..errors import LayoutMismatch, WeightsNotFound
from .dialect_parts import LAYER_LEAVES, codec_part, named_arrays, pairs_side_by_side, whole
from .gguf_file import GgufFile, open_gguf
from .gguf_keys import short_float
from .gguf_llama_csm import names_in
from .gguf_tokenizer import to_tokenizer_json
from .model_parts import CodecPart, CsmPart, ModelParts
from .stored_array import as_floats, join_rows, swap_axes

ARCHITECTURE, HOST_ARCHITECTURE = "mimi", "llama"
DEPTH = "codec.lm.residual.depth_"
_CODEC = tuple(
    (re.compile(pattern), name)
    for pattern, name in (
        (r"^(en|de)c\.l(\d+)\.", r"\1coder.layers.\2."),
        (r"^([ed])tr\.l(\d+)\.", r"\1_transformer.layers.\2."),
        (r"^q\.a\.", "quantizer.acoustic_residual_vector_quantizer."),
        (r"^q\.s\.", "quantizer.semantic_residual_vector_quantizer."),
        (r"^dn\.cv\.", "downsample.conv."),
        (r"^up\.cv\.", "upsample.conv."),
        (r"\.inln\.", ".input_layernorm."),
        (r"\.paln\.", ".post_attention_layernorm."),
        (r"\.attn\.", ".self_attn."),
        (r"\.sa_ls\.", ".self_attn_layer_scale."),
        (r"\.mlp_ls\.", ".mlp_layer_scale."),
        (r"\.cb\.", ".codebook."),
        (r"\.es$", ".embed_sum"),
        (r"\.cu$", ".cluster_usage"),
        (r"\.init$", ".initialized"),
        (r"\.ip\.", ".input_proj."),
        (r"\.op\.", ".output_proj."),
        (r"\.w$", ".weight"),
        (r"\.b$", ".bias"),
        (r"^e_transformer", "encoder_transformer"),
        (r"^d_transformer", "decoder_transformer"),
    )
)
# Second copies under older names, and kernels that only that program wants.
_COPIES = re.compile(r"^(dec\.transformer\.blocks\.|up\.r\d|dec\.(in|out)_proj\.|mimi\.(en|de)code\.kernel|lm\.)")


def read_codec_cpp(file: GgufFile) -> ModelParts:
    """The codec, and the speech model if the backbone's file lies beside it."""
    is_csm = file.metadata.get("codec.lm.kind") == "residual_depth_ar"
    return ModelParts(
        layout="codec-cpp",
        files=(file.path,),
        csm=(lambda: _csm(_beside(file.path, HOST_ARCHITECTURE), file)) if is_csm else None,
        codec=lambda: _codec(file),
        card={"name": file.path.stem, "text": "llama"},
    )


def read_host(file: GgufFile) -> ModelParts:
    """A plain Llama; it is a CSM's backbone only if codec.cpp's file lies beside it."""
    other = _beside(file.path, ARCHITECTURE)
    return ModelParts(
        layout="codec-cpp",
        files=(file.path, other.path),
        csm=lambda: _csm(file, other),
        codec=lambda: _codec(other),
        tokenizer=lambda: to_tokenizer_json(file.metadata),
        card={"name": file.path.stem, "text": "llama"},
    )


def _beside(path: Path, architecture: str) -> GgufFile:
    files = (open_gguf(other) for other in sorted(path.parent.glob("*.gguf")) if other != path)
    found = [file for file in files if file.architecture == architecture]
    if architecture == ARCHITECTURE:
        found = [file for file in found if "codec.lm.kind" in file.metadata]
    if len(found) != 1:
        kind = "codec" if architecture == ARCHITECTURE else "backbone"
        raise WeightsNotFound(
            f"{path.name} is half of a pair, and beside it lie {len(found)} files that could be its {kind}.",
            hint=f"Put exactly one GGUF file with codec.cpp's {kind} into that folder.",
        )
    return found[0]


def _csm(host: GgufFile, other: GgufFile) -> CsmPart:
    keys = other.metadata
    if (
        keys.get("codec.lm.kind") != "residual_depth_ar"
        or keys.get(f"{DEPTH}has_qk_norm")
        or not keys.get(f"{DEPTH}has_in_proj")
    ):
        raise LayoutMismatch(f"{other.path.name} holds another kind of depth decoder than a CSM's.")
    books, sizes = whole(keys, "codec.lm.n_codebook"), keys["codec.lm.codebook_sizes"]
    if not isinstance(sizes, list) or len(sizes) != books or len(set(sizes)) != 1:
        raise LayoutMismatch(f"{other.path.name} has codebooks of several sizes.")
    backbone = _host_stack(host)
    config = CsmConfig(
        backbone=backbone,
        depth=_depth_stack(keys, books),
        num_codebooks=books,
        codebook_size=int(sizes[0]),
        text_vocab=host.tensors["token_embd.weight"].shape[0] if "token_embd.weight" in host.tensors else 0,
        codec_entries=min(int(sizes[0]), whole(keys, "codec.codebook_size")),
    )
    names = names_in("backbone", backbone)
    del names["codebook0_head.weight"]
    arrays = named_arrays(host, names)
    depth = pairs_side_by_side(named_arrays(other, _depth_names(config)), config, ("decoder.",))
    tables = named_arrays(other, {str(i): f"lm.audio_embd_{i}.weight" for i in range(books)})
    heads = named_arrays(other, {str(i): f"lm.depth.heads_{i}.weight" for i in range(books - 1)})
    arrays |= depth
    arrays["audio_embeddings.weight"] = join_rows([tables[str(i)] for i in range(books)])
    pages = [as_floats(heads[str(i)])[None] for i in range(books - 1)]
    arrays["audio_head"] = swap_axes(np.concatenate(pages))
    return CsmPart(config, arrays)


def _host_stack(host: GgufFile) -> StackConfig:
    keys = host.metadata
    heads, width = whole(keys, "llama.attention.head_count"), whole(keys, "llama.embedding_length")
    head_width = (
        keys.get("llama.attention.key_length") or keys.get("llama.rope.dimension_count") or width // max(1, heads)
    )
    return StackConfig(
        layers=whole(keys, "llama.block_count"),
        width=width,
        heads=heads,
        kv_heads=whole(keys, "llama.attention.head_count_kv"),
        head_width=int(head_width),
        hidden=whole(keys, "llama.feed_forward_length"),
        max_positions=whole(keys, "llama.context_length"),
        norm_eps=short_float(keys.get("llama.attention.layer_norm_rms_epsilon", 1e-5)),
        rope_base=short_float(keys.get("llama.rope.freq_base", 500_000.0)),
        rope_scaling=RopeScaling() if "rope_freqs.weight" in host.tensors else None,
    )


def _depth_stack(keys: Mapping[str, Any], books: int) -> StackConfig:
    sizes = ("layers", "hidden", "n_heads", "n_kv_heads", "head_dim", "intermediate")
    layers, width, heads, kv_heads, head_width, hidden = (whole(keys, DEPTH + size) for size in sizes)
    scaling = None
    if f"{DEPTH}rope_scaling_factor" in keys:
        parts = ("factor", "low_freq", "high_freq")
        factor, low, high = (short_float(keys[f"{DEPTH}rope_scaling_{part}"]) for part in parts)
        scaling = RopeScaling(factor, low, high, whole(keys, f"{DEPTH}rope_scaling_orig_max_pos"))
    eps, base = short_float(keys[f"{DEPTH}rms_norm_eps"]), short_float(keys[f"{DEPTH}rope_theta"])
    return StackConfig(layers, width, heads, kv_heads, head_width, hidden, books + 1, eps, base, scaling)


def _depth_names(config: CsmConfig) -> dict[str, str]:
    names = {
        "codebook0_head.weight": "lm.c0_head.weight",
        "projection.weight": "lm.depth.in_proj.weight",
        "decoder.norm.scale": "lm.depth.output_norm.weight",
    }
    attention = {"q": "q", "k": "k", "v": "v", "output": "o"}
    leaves = {f"attn.{ours}_proj.weight": f"{theirs}.weight" for ours, theirs in attention.items()}
    leaves |= {ours: theirs for theirs, ours in LAYER_LEAVES.items()}
    for layer in range(config.depth.layers):
        names |= {f"decoder.layers.{layer}.{ours}": f"lm.depth.blk_{layer}.{theirs}" for ours, theirs in leaves.items()}
    return names


def _codec(file: GgufFile) -> CodecPart:
    theirs = {}
    for name, tensor in file.tensors.items():
        if _COPIES.match(name):
            continue
        for pattern, renamed in _CODEC:
            name = pattern.sub(renamed, name)
        theirs[name] = tensor.array()
    return codec_part(theirs, whole(file.metadata, "codec.num_attention_heads"), file.path.name)
