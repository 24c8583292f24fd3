"""GGUF files of Llama networks with a CSM's shapes and random Q4_0 weights, for timing llama.cpp: no CSM."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..csm.config import CsmConfig, StackConfig

BYTE_TOKENS = [f"<0x{value:02X}>" for value in range(256)]


def write_llama_files(config: CsmConfig, folder: Path) -> tuple[Path, Path]:
    """Backbone and depth decoder as two files in `folder`, written once."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = folder / f"backbone-{config.backbone.width}-q4_0.gguf", folder / f"depth-{config.depth.width}-q4_0.gguf"
    for path, stack in zip(paths, (config.backbone, config.depth), strict=True):
        if not path.is_file():
            _write(path, stack, max(config.codebook_size, 300))
    return paths


def _write(path: Path, stack: StackConfig, vocabulary: int) -> None:
    import gguf

    fresh = path.with_suffix(".new")
    writer = gguf.GGUFWriter(fresh, "llama")
    writer.add_context_length(max(stack.max_positions, 64))
    writer.add_embedding_length(stack.width)
    writer.add_block_count(stack.layers)
    writer.add_feed_forward_length(stack.hidden)
    writer.add_head_count(stack.heads)
    writer.add_head_count_kv(stack.kv_heads)
    writer.add_key_length(stack.head_width)
    writer.add_value_length(stack.head_width)
    writer.add_rope_dimension_count(stack.head_width)
    writer.add_rope_freq_base(stack.rope_base)
    writer.add_layer_norm_rms_eps(stack.norm_eps)
    _add_vocabulary(writer, vocabulary)
    inner, kv_inner = stack.heads * stack.head_width, stack.kv_heads * stack.head_width
    shapes = {"token_embd": (vocabulary, stack.width), "output": (vocabulary, stack.width)}
    vectors = {"output_norm": stack.width}
    for layer in range(stack.layers):
        block = f"blk.{layer}."
        shapes |= {f"{block}attn_q": (inner, stack.width), f"{block}attn_output": (stack.width, inner)}
        shapes |= {f"{block}attn_{part}": (kv_inner, stack.width) for part in "kv"}
        shapes |= {f"{block}ffn_{part}": (stack.hidden, stack.width) for part in ("gate", "up")}
        shapes[f"{block}ffn_down"] = (stack.width, stack.hidden)
        vectors |= {f"{block}attn_norm": stack.width, f"{block}ffn_norm": stack.width}
    for name, width in vectors.items():
        writer.add_tensor(f"{name}.weight", np.ones(width, np.float32))
    random = np.random.default_rng(0)
    for name, shape in shapes.items():
        writer.add_tensor(f"{name}.weight", _q4_0(random, *shape), raw_dtype=gguf.GGMLQuantizationType.Q4_0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    fresh.replace(path)


def _add_vocabulary(writer: object, size: int) -> None:
    tokens = ["<unk>", "<s>", "</s>", *BYTE_TOKENS, *(f"word{i}" for i in range(size - 259))]
    writer.add_vocab_size(size)  # type: ignore[attr-defined]
    writer.add_tokenizer_model("llama")  # type: ignore[attr-defined]
    writer.add_token_list(tokens)  # type: ignore[attr-defined]
    writer.add_token_scores([0.0] * size)  # type: ignore[attr-defined]
    writer.add_token_types([2, 3, 3, *[6] * 256, *[1] * (size - 259)])  # type: ignore[attr-defined]


def _q4_0(random: np.random.Generator, rows: int, cols: int) -> np.ndarray:
    """Blocks of 32 weights: a float16 scale, then 16 bytes of half bytes."""
    blocks = random.integers(0, 256, (rows, cols // 32, 18), dtype=np.uint8)
    blocks[..., :2] = np.frombuffer(np.float16(0.004).tobytes(), np.uint8)
    return blocks.reshape(rows, -1)
