"""Small models for GGUF tests, whose rows blocks of 32 divide; and other makers' files, written by their rules."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from duologue.csm.config import CsmConfig, RopeScaling, StackConfig
from duologue.mimi.codec import Mimi
from duologue.text.tokenizer import BEGIN, END
from duologue.weights.layout import halves
from duologue.weights.mimi_transformers import to_file, write_config
from duologue.weights.model_parts import CodecPart, CsmPart
from duologue.weights.transformers_csm import to_file as csm_to_file
from tests.csm.sizes import build
from tests.tiny import tiny_codec_config

CONFIG = CsmConfig(
    backbone=StackConfig(2, 64, 4, 2, 16, 96, 128, rope_scaling=RopeScaling()),
    depth=StackConfig(2, 32, 2, 1, 16, 64, 5, rope_scaling=RopeScaling()),
    num_codebooks=4,
    codebook_size=35,
    text_vocab=300,
    codec_entries=32,
)
CODEC_CONFIG = replace(
    tiny_codec_config(), width=64, transformer=replace(tiny_codec_config().transformer, heads=1, context=250)
)


def csm_part(config: CsmConfig = CONFIG, seed: int = 0) -> CsmPart:
    """A speech model of random float32 weights."""
    return CsmPart(config, {name: t.detach().numpy() for name, t in build(config, seed).state_dict().items()})


def codec_part() -> CodecPart:
    """A codec of random float32 weights, with codebooks that were used unequally."""
    torch.manual_seed(3)
    state = {name: tensor.detach().numpy().copy() for name, tensor in Mimi(CODEC_CONFIG).eval().state_dict().items()}
    rng = np.random.default_rng(3)
    for name, array in state.items():
        if name.endswith("cluster_usage"):
            array[:] = rng.uniform(0.05, 2.0, array.shape)
    return CodecPart(CODEC_CONFIG, state)


def tokenizer_json() -> bytes:
    """A byte-level tokenizer of Llama's form, of 300 tokens."""
    symbols = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = [("h", "e"), ("l", "l"), ("he", "ll"), ("hell", "o"), ("Ġ", "w"), ("o", "r"), ("Ġw", "or")]
    words = [*symbols, *("".join(pair) for pair in merges)]
    words += [f"unused{i}" for i in range(298 - len(words))]
    tokenizer = Tokenizer(models.BPE({word: i for i, word in enumerate(words)}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([BEGIN, END])
    return tokenizer.to_str().encode()


def hf_codec(part: CodecPart) -> dict[str, np.ndarray]:
    """The codec under transformers' names."""
    ours = {name: torch.from_numpy(array) for name, array in part.arrays.items()}
    return {name: tensor.numpy() for name, tensor in to_file(ours, part.config).items()}


def hf_csm(part: CsmPart) -> dict[str, np.ndarray]:
    """The speech model under transformers' names, rotary rows in halves."""
    return csm_to_file(part.arrays, part.config)


def write_file(path: Path, architecture: str, keys: dict[str, Any], tensors: dict[str, np.ndarray]) -> Path:
    """A GGUF file by the package's own writer: whole numbers in 32 bits, floats in 32."""
    writer = gguf.GGUFWriter(path, architecture)
    for key, value in keys.items():
        if isinstance(value, bool):
            writer.add_bool(key, value)
        elif isinstance(value, int):
            writer.add_uint32(key, value)
        elif isinstance(value, float):
            writer.add_float32(key, value)
        elif isinstance(value, str):
            writer.add_string(key, value)
        else:
            writer.add_array(key, value)
    for name, array in tensors.items():
        writer.add_tensor(name, np.ascontiguousarray(array))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _layers(hf: dict[str, np.ndarray], theirs: str, prefix: str, names: dict[str, str]) -> dict[str, np.ndarray]:
    found = {}
    for name, array in hf.items():
        if name.startswith(f"{theirs}.layers."):
            layer, leaf = name.removeprefix(f"{theirs}.layers.").split(".", 1)
            found[prefix.format(layer) + names[leaf]] = array
    return found


_LEAVES = {
    "input_layernorm.weight": "attn_norm.weight",
    "post_attention_layernorm.weight": "ffn_norm.weight",
    "mlp.gate_proj.weight": "ffn_gate.weight",
    "mlp.up_proj.weight": "ffn_up.weight",
    "mlp.down_proj.weight": "ffn_down.weight",
}


def write_crispasr(path: Path, csm: CsmPart, codec: CodecPart) -> Path:
    """As CrispASR's models/convert-csm-to-gguf.py writes it, in float32."""
    config, hf = csm.config, hf_csm(csm)
    keys: dict[str, Any] = {}
    for name, stack in (("backbone", config.backbone), ("depth", config.depth)):
        sizes = (stack.layers, stack.width, stack.heads, stack.kv_heads, stack.head_width, stack.hidden)
        words = ("n_layers", "d_model", "n_heads", "n_kv_heads", "head_dim", "ff_dim")
        keys |= {f"csm.{name}.{word}": size for word, size in zip(words, sizes, strict=True)}
    keys |= {
        "csm.backbone.max_pos": config.backbone.max_positions,
        "csm.backbone.rope_theta": 500_000.0,
        "csm.backbone.rms_norm_eps": 1e-5,
        "csm.text_vocab_size": config.text_vocab,
        "csm.audio_vocab_size": config.codebook_size,
        "csm.audio_num_codebooks": config.num_codebooks,
        "csm.mimi.n_heads": codec.config.transformer.heads,
        "csm.mimi.codebook_size": codec.config.quantizer.entries,
    }
    attention = {f"self_attn.{part}_proj.weight": f"attn_{part}.weight" for part in "qkv"}
    leaves = _LEAVES | attention | {"self_attn.o_proj.weight": "attn_output.weight"}
    tensors = {
        "backbone.text_embd.weight": hf["embed_text_tokens.weight"],
        "backbone.audio_embd.weight": hf["depth_decoder.model.embed_tokens.weight"],
        "backbone.codebook0_head.weight": hf["lm_head.weight"],
        "backbone.output_norm.weight": hf["backbone_model.norm.weight"],
        "depth.codebooks_head.weight": hf["depth_decoder.codebooks_head.weight"],
        "depth.projection.weight": hf["depth_decoder.model.inputs_embeds_projector.weight"],
        "depth.output_norm.weight": hf["depth_decoder.model.norm.weight"],
        **_layers(hf, "backbone_model", "backbone.blk.{}.", leaves),
        **_layers(hf, "depth_decoder.model", "depth.blk.{}.", leaves),
        **_crispasr_codec(hf_codec(codec)),
    }
    return write_file(path, "csm-tts", keys, tensors)


def _crispasr_codec(hf: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    fields = {
        "input_layernorm.weight": "norm1.weight", "input_layernorm.bias": "norm1.bias",
        "post_attention_layernorm.weight": "norm2.weight", "post_attention_layernorm.bias": "norm2.bias",
        "self_attn_layer_scale.scale": "ls1", "mlp_layer_scale.scale": "ls2",
        "mlp.fc1.weight": "ffn_up_w", "mlp.fc2.weight": "ffn_down_w", "self_attn.o_proj.weight": "attn.out_w",
    }  # fmt: skip
    found: dict[str, np.ndarray] = {}
    for name, array in hf.items():
        head, *rest = name.split(".")
        if head in ("encoder", "decoder"):
            block = rest[2] == "block"
            found[f"mimi.{head}.model.{rest[1]}.{f'blk{rest[3]}' if block else 'conv2'}.{rest[-1]}"] = array
        elif head in ("downsample", "upsample"):
            found[f"mimi.{head}.conv3.weight"] = array
        elif head.endswith("_transformer"):
            leaf = ".".join(rest[2:])
            if leaf in fields:
                found[f"mimi.{head[:3]}_tfm.layers.{rest[1]}.{fields[leaf]}"] = array
            elif "q_proj" in leaf:
                three = [hf[name.replace("q_proj", part)] for part in ("q_proj", "k_proj", "v_proj")]
                found[f"mimi.{head[:3]}_tfm.layers.{rest[1]}.attn.qkv_w"] = np.concatenate(three)
        else:
            group = "rvq_first" if "semantic" in name else "rvq_rest"
            if name.endswith("embed_sum"):
                usage = np.maximum(hf[name.replace("embed_sum", "cluster_usage")], 1e-5)
                found[f"mimi.quantizer.{group}.vq.layers.{rest[2]}._codebook.embedding"] = array / usage[:, None]
            elif name.endswith("proj.weight"):
                found[f"mimi.quantizer.{group}.{rest[-2]}.weight"] = array
    return found


def write_codec_cpp(folder: Path, csm: CsmPart, codec: CodecPart) -> tuple[Path, Path]:
    """The pair that codec.cpp wants: its own file, and a Llama as llama.cpp's converter writes it."""
    config, hf = csm.config, hf_csm(csm)
    stack, books, size = config.depth, config.num_codebooks, config.codebook_size
    scaling = stack.rope_scaling
    assert scaling is not None
    depth = "codec.lm.residual.depth_"
    keys: dict[str, Any] = {
        "codec.codebook_size": codec.config.quantizer.entries,
        "codec.num_attention_heads": codec.config.transformer.heads,
        "codec.lm.kind": "residual_depth_ar", "codec.lm.n_codebook": books, "codec.lm.codebook_sizes": [size] * books,
        f"{depth}layers": stack.layers, f"{depth}hidden": stack.width, f"{depth}n_heads": stack.heads,
        f"{depth}n_kv_heads": stack.kv_heads, f"{depth}head_dim": stack.head_width,
        f"{depth}intermediate": stack.hidden, f"{depth}rope_theta": stack.rope_base,
        f"{depth}rms_norm_eps": stack.norm_eps, f"{depth}has_in_proj": True, f"{depth}has_qk_norm": False,
        f"{depth}rope_scaling_factor": scaling.factor, f"{depth}rope_scaling_low_freq": scaling.low_factor,
        f"{depth}rope_scaling_high_freq": scaling.high_factor,
        f"{depth}rope_scaling_orig_max_pos": scaling.original_positions,
    }  # fmt: skip
    attention = {f"self_attn.{part}_proj.weight": f"{part}.weight" for part in "qkvo"}
    audio, heads = hf["depth_decoder.model.embed_tokens.weight"], hf["depth_decoder.codebooks_head.weight"]
    tensors = {
        "lm.c0_head.weight": hf["lm_head.weight"],
        "lm.depth.in_proj.weight": hf["depth_decoder.model.inputs_embeds_projector.weight"],
        "lm.depth.output_norm.weight": hf["depth_decoder.model.norm.weight"],
        **{f"lm.audio_embd_{i}.weight": audio[i * size : (i + 1) * size] for i in range(books)},
        **{f"lm.depth.heads_{i}.weight": heads[i].T for i in range(books - 1)},
        **_layers(hf, "depth_decoder.model", "lm.depth.blk_{}.", _LEAVES | attention),
        **{
            _codec_cpp_name(name): array.squeeze(-1) if "put_proj" in name else array
            for name, array in hf_codec(codec).items()
        },
        "mimi.decode.kernel": np.ones((4, 1, 1), np.float16),
    }
    own = write_file(folder / "codec.gguf", "mimi", keys, tensors)
    return own, _write_llama(folder / "csm-1b.gguf", csm)


def _codec_cpp_name(name: str) -> str:
    for old, new in (
        ("decoder_transformer.layers.", "dtr.l"), ("encoder_transformer.layers.", "etr.l"),
        ("decoder.layers.", "dec.l"), ("encoder.layers.", "enc.l"),
        ("quantizer.acoustic_residual_vector_quantizer.", "q.a."),
        ("quantizer.semantic_residual_vector_quantizer.", "q.s."),
        ("codebook.embed_sum", "cb.es"), ("codebook.cluster_usage", "cb.cu"), ("codebook.initialized", "cb.init"),
        ("input_layernorm.", "inln."), ("post_attention_layernorm.", "paln."), ("self_attn_layer_scale.", "sa_ls."),
        ("mlp_layer_scale.", "mlp_ls."), ("self_attn.", "attn."), ("input_proj.weight", "ip.w"),
        ("output_proj.weight", "op.w"), ("downsample.conv.weight", "dn.cv.w"), ("upsample.conv.weight", "up.cv.w"),
        (".weight", ".w"), (".bias", ".b"),
    ):  # fmt: skip
        name = name.replace(old, new)
    return name


def _write_llama(path: Path, csm: CsmPart) -> Path:
    stack = csm.config.backbone
    keys = {
        "llama.block_count": stack.layers, "llama.context_length": stack.max_positions,
        "llama.embedding_length": stack.width, "llama.feed_forward_length": stack.hidden,
        "llama.attention.head_count": stack.heads, "llama.attention.head_count_kv": stack.kv_heads,
        "llama.attention.key_length": stack.head_width, "llama.rope.freq_base": stack.rope_base,
        "llama.attention.layer_norm_rms_epsilon": stack.norm_eps,
    }  # fmt: skip
    names = {"attn.q_proj.weight": "attn_q", "attn.k_proj.weight": "attn_k", "attn.v_proj.weight": "attn_v",
             "attn.output_proj.weight": "attn_output", "mlp.w1.weight": "ffn_gate", "mlp.w2.weight": "ffn_down",
             "mlp.w3.weight": "ffn_up", "sa_norm.scale": "attn_norm", "mlp_norm.scale": "ffn_norm"}  # fmt: skip
    tensors = {"token_embd.weight": csm.arrays["text_embeddings.weight"], "rope_freqs.weight": np.ones(8, np.float32)}
    for name, array in csm.arrays.items():  # our rotary order is llama.cpp's
        if name.startswith("backbone.layers."):
            layer, leaf = name.removeprefix("backbone.layers.").split(".", 1)
            tensors[f"blk.{layer}.{names[leaf]}.weight"] = array
    tensors["output_norm.weight"] = csm.arrays["backbone.norm.scale"]
    return write_file(path, "llama", keys, tensors)


def write_transformers_config(folder: Path, codec: CodecPart) -> None:
    """The config.json of a codec's folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(write_config(codec.config)))


def turned_wrong(rows: np.ndarray, heads: int) -> np.ndarray:
    """Rotary rows in the order that these files don't have."""
    return halves(rows, heads)
