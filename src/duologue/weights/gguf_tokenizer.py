"""Llama's tokenizer between tokenizer.json and the keys tokenizer.ggml.* that llama.cpp's files carry.

Both say the same in other words: tokens by id, merges in order, which tokens are control signs. Only the byte-level BPE
of Llama 3 is known here ("gpt2" with the split "llama-bpe"); any other needs a tokenizer.json from elsewhere.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import InputError, WeightsDamaged

PREFIX = "tokenizer.ggml."
NORMAL, CONTROL, USER_DEFINED, UNUSED = 1, 3, 4, 5  # llama.cpp's token types
BEGIN, END = "<|begin_of_text|>", "<|end_of_text|>"
SPLITS = ("llama-bpe", "llama3", "llama-v3")
LLAMA_3_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


@dataclass(frozen=True)
class Words:
    """A vocabulary: tokens and their llama.cpp types by id, merges as "left right", and the two signs around a text."""

    tokens: Sequence[str]
    types: Sequence[int]
    merges: Sequence[str]
    begin: int
    end: int

    def keys(self, count: int) -> dict[str, Any]:
        """Keys of a file, with the first `count` tokens: the depth decoder's file has fewer rows than tokens."""
        return {
            PREFIX + "model": "gpt2",
            PREFIX + "pre": "llama-bpe",
            PREFIX + "tokens": list(self.tokens[:count]),
            PREFIX + "token_type": list(self.types[:count]),
            PREFIX + "bos_token_id": self.begin,
            PREFIX + "eos_token_id": self.end,
        } | ({PREFIX + "merges": list(self.merges)} if self.merges else {})


def from_tokenizer_json(raw: bytes) -> Words:
    """The words of a tokenizer.json. Raises WeightsDamaged if it isn't one, InputError if it is no byte-level BPE."""
    try:
        values = json.loads(raw)
        model, added = values["model"], values.get("added_tokens", [])
        ids: dict[str, int] = dict(model["vocab"])
        ids |= {token["content"]: token["id"] for token in added}
        special = {token["content"] for token in added if token.get("special", True)}
        merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in model.get("merges", [])]
        tokens = [""] * (max(ids.values()) + 1)
        types = [UNUSED] * len(tokens)
        for token, number in ids.items():
            tokens[number], types[number] = token, CONTROL if token in special else NORMAL
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError) as error:
        raise WeightsDamaged(f"The tokenizer.json can't be read: {error}.", hint="Fetch it again.") from error
    if model.get("type") not in (None, "BPE") or BEGIN not in ids or END not in ids:
        raise InputError("Only Llama 3's byte-level BPE can be written to these files.", field="tokenizer")
    return Words(tokens, types, merges, ids[BEGIN], ids[END])


def to_tokenizer_json(metadata: Mapping[str, Any]) -> bytes | None:
    """A tokenizer.json from a file's keys; None if the file has no words, or splits text in a way unknown here."""
    tokens, merges = metadata.get(PREFIX + "tokens"), metadata.get(PREFIX + "merges", [])
    split = metadata.get(PREFIX + "pre", SPLITS[0])
    if metadata.get(PREFIX + "model", "gpt2") != "gpt2" or split not in SPLITS:
        return None
    if tokens is None or not _are_texts(tokens) or not _are_texts(merges):
        return None
    types = metadata.get(PREFIX + "token_type") or [_type_by_look(token) for token in tokens]
    if len(types) != len(tokens):
        raise WeightsDamaged(f"There are {len(types)} token types for {len(tokens)} tokens.")
    special = {number for number, kind in enumerate(types) if kind in (CONTROL, USER_DEFINED)}
    vocabulary = {token: number for number, token in enumerate(tokens) if number not in special and token}
    return json.dumps(_tokenizer(vocabulary, merges, [(number, tokens[number]) for number in sorted(special)])).encode()


def _are_texts(values: Any) -> bool:
    return isinstance(values, list) and all(isinstance(value, str) for value in values)


def _type_by_look(token: str) -> int:
    """Files of some converters say no types: Llama's control signs are written <|so|>."""
    return CONTROL if token.startswith("<|") and token.endswith("|>") else NORMAL


def _tokenizer(vocabulary: dict[str, int], merges: list[str], special: list[tuple[int, str]]) -> dict[str, Any]:
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    bytes_only = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": number, "content": token, **flags} for number, token in special],
        "normalizer": None,
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [
                {"type": "Split", "pattern": {"Regex": LLAMA_3_SPLIT}, "behavior": "Isolated", "invert": False},
                bytes_only,
            ],
        },
        "post_processor": None,
        "decoder": {**bytes_only, "use_regex": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": True,
            "vocab": vocabulary,
            "merges": [pair.split(" ") for pair in merges],
        },
    }
