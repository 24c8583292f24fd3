"""The pull request's three files of random weights, small, with a tokenizer of Llama's form inside."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from duologue.csm.config import CsmConfig, RopeScaling, StackConfig
from duologue.csm.model import Csm
from duologue.mimi.codec import Mimi
from duologue.mimi.config import MimiConfig, QuantizerConfig, SeanetConfig, TransformerConfig
from duologue.text.tokenizer import BEGIN, END
from duologue.weights.gguf_llama_csm import write_llama_csm
from duologue.weights.gguf_llama_mimi import write_llama_mimi
from duologue.weights.model_parts import CodecPart, CsmPart

BOOKS, ENTRIES = 32, 128  # dummy0 counts to 95


def tokenizer_json() -> bytes:
    """A byte-level BPE with a few merges and Llama's special tokens."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {symbol: number for number, symbol in enumerate([*alphabet, "he", "ll", "hell", "hello"])}
    tokenizer = Tokenizer(models.BPE(vocabulary, [("h", "e"), ("l", "l"), ("he", "ll"), ("hell", "o")]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([BEGIN, END])
    return str(tokenizer.to_str()).encode()


def write_files(folder: Path) -> None:
    """sesame-csm-backbone.gguf, sesame-csm-decoder.gguf and kyutai-mimi.gguf."""
    torch.manual_seed(5)
    scaling = RopeScaling()
    config = CsmConfig(
        backbone=StackConfig(2, 32, 4, 2, 8, 48, 2048, rope_scaling=scaling),
        depth=StackConfig(1, 16, 2, 1, 8, 24, BOOKS + 1, rope_scaling=scaling),
        num_codebooks=BOOKS, codebook_size=ENTRIES + 3, text_vocab=262, codec_entries=ENTRIES,
    )  # fmt: skip
    mimi = MimiConfig(
        width=64,
        seanet=SeanetConfig(filters=2),
        transformer=TransformerConfig(layers=1, heads=1, hidden=32, initial_scale=2.0),
        quantizer=QuantizerConfig(BOOKS, ENTRIES, 8),
    )
    folder.mkdir(parents=True, exist_ok=True)
    csm = CsmPart(config, {name: tensor.numpy() for name, tensor in Csm(config).state_dict().items()})
    write_llama_csm(csm, folder / "sesame-csm-<component>.gguf", "F16", tokenizer=tokenizer_json())
    arrays = {name: tensor.numpy() for name, tensor in Mimi(mimi).state_dict().items()}
    for name in ("decoder.model.14.weight", "decoder.model.14.bias"):
        arrays[name] = 0.02 * arrays[name]  # quiet enough not to be clipped
    codec = CodecPart(mimi, arrays)
    write_llama_mimi(codec, folder / "kyutai-mimi.gguf")
