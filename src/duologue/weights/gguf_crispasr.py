"""CrispASR's GGUF of CSM: one file with speech model, codec and vocabulary, architecture "csm-tts".

Source: CrispStrobe/CrispASR, models/convert-csm-to-gguf.py. Matrices lie as in transformers, codebooks are finished.
The file doesn't say csm-1b's rotary scaling; it is taken for granted, as the weights were trained with it.
"""

from __future__ import annotations

import re
from typing import Any

from ..csm.config import CsmConfig, RopeScaling, StackConfig
from .dialect_parts import LAYER_LEAVES, codec_part, named_arrays, pairs_side_by_side, three_of, whole
from .gguf_file import GgufFile
from .gguf_keys import short_float
from .gguf_tokenizer import to_tokenizer_json
from .model_parts import CodecPart, CsmPart, ModelParts

ARCHITECTURE = "csm-tts"


def read_crispasr(file: GgufFile) -> ModelParts:
    """One file with speech model, codec and vocabulary; sizes in csm.* keys."""
    return ModelParts(
        layout="crispasr",
        files=(file.path,),
        csm=lambda: _csm(file),
        codec=lambda: _codec(file),
        tokenizer=lambda: to_tokenizer_json(file.metadata),
        card={"name": file.path.stem, "text": "llama"},
    )


def _csm(file: GgufFile) -> CsmPart:
    keys = file.metadata
    books, size = whole(keys, "csm.audio_num_codebooks"), whole(keys, "csm.audio_vocab_size")
    base, eps = (short_float(keys[f"csm.backbone.{name}"]) for name in ("rope_theta", "rms_norm_eps"))

    def stack(name: str, positions: int) -> StackConfig:
        sizes = ("n_layers", "d_model", "n_heads", "n_kv_heads", "head_dim", "ff_dim")
        layers, width, heads, kv_heads, head_width, hidden = (whole(keys, f"csm.{name}.{size}") for size in sizes)
        return StackConfig(layers, width, heads, kv_heads, head_width, hidden, positions, eps, base, RopeScaling())

    config = CsmConfig(
        backbone=stack("backbone", whole(keys, "csm.backbone.max_pos")),
        depth=stack("depth", books + 1),
        num_codebooks=books,
        codebook_size=size,
        text_vocab=whole(keys, "csm.text_vocab_size"),
        codec_entries=min(size, whole(keys, "csm.mimi.codebook_size")),
    )
    arrays = named_arrays(file, _names(config, file))
    return CsmPart(config, pairs_side_by_side(arrays, config, ("backbone.", "decoder.")))


def _names(config: CsmConfig, file: GgufFile) -> dict[str, str]:
    audio = "depth.token_embd.weight"  # transformers ties both copies; a file may hold one of them
    names = {
        "text_embeddings.weight": "backbone.text_embd.weight",
        "audio_embeddings.weight": audio if audio in file.tensors else "backbone.audio_embd.weight",
        "codebook0_head.weight": "backbone.codebook0_head.weight",
        "projection.weight": "depth.projection.weight",
        "audio_head": "depth.codebooks_head.weight",
        "backbone.norm.scale": "backbone.output_norm.weight",
        "decoder.norm.scale": "depth.output_norm.weight",
    }
    attention = {f"attn.{part}_proj.weight": f"attn_{part}.weight" for part in ("q", "k", "v", "output")}
    leaves = attention | {ours: theirs for theirs, ours in LAYER_LEAVES.items()}
    for ours, theirs, layers in (
        ("backbone", "backbone", config.backbone.layers),
        ("decoder", "depth", config.depth.layers),
    ):
        for layer in range(layers):
            names |= {
                f"{ours}.layers.{layer}.{leaf}": f"{theirs}.blk.{layer}.{their}" for leaf, their in leaves.items()
            }
    return names


_BOOK = r"quantizer.{}_residual_vector_quantizer.layers.\1.codebook.embed"
_CODEC = tuple(
    (re.compile(pattern), name)
    for pattern, name in (
        (r"(en|de)coder\.model\.(\d+)\.blk(\d+)\.", r"\1coder.layers.\2.block.\3.conv."),
        (r"(en|de)coder\.model\.(\d+)\.conv2\.", r"\1coder.layers.\2.conv."),
        (r"(down|up)sample\.conv3\.", r"\1sample.conv."),
        (r"(en|de)c_tfm\.layers\.(\d+)\.norm1\.", r"\1coder_transformer.layers.\2.input_layernorm."),
        (r"(en|de)c_tfm\.layers\.(\d+)\.norm2\.", r"\1coder_transformer.layers.\2.post_attention_layernorm."),
        (r"(en|de)c_tfm\.layers\.(\d+)\.ls1$", r"\1coder_transformer.layers.\2.self_attn_layer_scale.scale"),
        (r"(en|de)c_tfm\.layers\.(\d+)\.ls2$", r"\1coder_transformer.layers.\2.mlp_layer_scale.scale"),
        (r"(en|de)c_tfm\.layers\.(\d+)\.ffn_up_w$", r"\1coder_transformer.layers.\2.mlp.fc1.weight"),
        (r"(en|de)c_tfm\.layers\.(\d+)\.ffn_down_w$", r"\1coder_transformer.layers.\2.mlp.fc2.weight"),
        (r"(en|de)c_tfm\.layers\.(\d+)\.attn\.out_w$", r"\1coder_transformer.layers.\2.self_attn.o_proj.weight"),
        (r"(en|de)c_tfm\.layers\.(\d+)\.attn\.", r"\1coder_transformer.layers.\2.attn."),
        (r"quantizer\.rvq_first\.vq\.layers\.(\d+)\._codebook\.embedding$", _BOOK.format("semantic")),
        (r"quantizer\.rvq_rest\.vq\.layers\.(\d+)\._codebook\.embedding$", _BOOK.format("acoustic")),
        (r"quantizer\.rvq_first\.", "quantizer.semantic_residual_vector_quantizer."),
        (r"quantizer\.rvq_rest\.", "quantizer.acoustic_residual_vector_quantizer."),
    )
)


def _codec(file: GgufFile) -> CodecPart:
    keys = file.metadata
    theirs: dict[str, Any] = {}
    for name, tensor in file.tensors.items():
        if not name.startswith("mimi."):
            continue
        name = name.removeprefix("mimi.")
        for pattern, renamed in _CODEC:
            if match := pattern.match(name):
                name = match.expand(renamed) + name[match.end() :]
                break
        if name.endswith(".attn.qkv_w"):
            theirs |= three_of(name.removesuffix(".attn.qkv_w"), tensor.array())
        else:
            theirs[name] = tensor.array()
    return codec_part(theirs, whole(keys, "csm.mimi.n_heads"), file.path.name)
