"""The three files of llama.cpp's pull request 12648: backbone, depth decoder and Mimi, as its converters write them.

Keys, names, shapes and types follow ngxson/llama.cpp, branch xsn/csm_tts, examples/tts/convert_*_to_gguf.py. What its
C++ holds as constants and its files don't say is taken from the tensors' shapes, or is csm-1b's (Llama-3 rotary
scaling). Models that depart from that get further keys, rope.scaling.*, which the program ignores.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..csm.config import CSM_1B, CsmConfig, RopeScaling, StackConfig
from ..errors import InputError, LayoutMismatch, WeightsNotFound
from .gguf_file import GgufFile, NewTensor, is_gguf, open_gguf, write_gguf
from .gguf_keys import short_float
from .gguf_tokenizer import from_tokenizer_json, to_tokenizer_json
from .model_parts import CsmPart, ModelParts
from .quantized_types import checked_type, fits
from .stored_array import in_type, swap_axes, take_rows
from .transformers_csm_config import refuse_departures

ARCHITECTURE = "llama-csm"
LAYOUT = "llama-csm"
COMPONENT = "<component>"
OUT_TYPES = ("F32", "F16", "BF16", "Q8_0")  # of the pull request; further ones are written on request
_LEAVES = {
    "attn.q_proj.weight": "attn_q.weight",
    "attn.k_proj.weight": "attn_k.weight",
    "attn.v_proj.weight": "attn_v.weight",
    "attn.output_proj.weight": "attn_output.weight",
    "mlp.w1.weight": "ffn_gate.weight",
    "mlp.w2.weight": "ffn_down.weight",
    "mlp.w3.weight": "ffn_up.weight",
    "sa_norm.scale": "attn_norm.weight",
    "mlp_norm.scale": "ffn_norm.weight",
}
_BACKBONE = {"text_embeddings.weight": "token_embd.weight", "codebook0_head.weight": "codebook0_head.weight"}
_DEPTH = {"audio_embeddings.weight": "audio_embd.weight", "projection.weight": "csm_proj.weight"}
_HEADS = "audio_head.weight"


def names_in(component: str, stack: StackConfig) -> dict[str, str]:
    """The file's name of each of our tensors in a component, "backbone" or "decoder", but for the heads' pages."""
    names = dict(_BACKBONE if component == "backbone" else _DEPTH)
    names[f"{component}.norm.scale"] = "output_norm.weight"
    for layer in range(stack.layers):
        names |= {f"{component}.layers.{layer}.{ours}": f"blk.{layer}.{theirs}" for ours, theirs in _LEAVES.items()}
    return names


def read_llama_csm(file: GgufFile) -> ModelParts:
    """The parts in a backbone's or a decoder's file; the other is looked for beside it. Raises WeightsNotFound."""
    backbone, decoder = _both(file)
    return ModelParts(
        layout=LAYOUT,
        files=(backbone.path, decoder.path),
        csm=lambda: CsmPart(config := read_config(backbone, decoder), _arrays(backbone, decoder, config)),
        tokenizer=lambda: to_tokenizer_json(backbone.metadata),
        card={"name": backbone.path.stem.replace("-backbone", ""), "text": "llama"},
        codec_elsewhere=True,
    )


def _both(file: GgufFile) -> tuple[GgufFile, GgufFile]:
    is_backbone = "token_embd.weight" in file.tensors
    mine, other = ("backbone", "decoder") if is_backbone else ("decoder", "backbone")
    beside = open_gguf(_beside(file.path, mine, other))
    return (file, beside) if is_backbone else (beside, file)


def _beside(path: Path, mine: str, other: str) -> Path:
    """The other component's file: the name with one word replaced, or the only one there is beside it."""
    exact = path.with_name(path.name.replace(f"-{mine}", f"-{other}"))
    if exact != path and is_gguf(exact):
        return exact
    found = sorted(each for each in path.parent.glob(f"*{other}*.gguf") if each != path)
    if len(found) == 1:
        return found[0]
    several = f"{len(found)} files" if found else "no file"
    raise WeightsNotFound(
        f"{path.name} is a CSM's {mine}; {several} beside it could be its {other}.",
        hint=f"Put {exact.name if exact != path else other + '.gguf'} beside it.",
    )


def read_config(backbone: GgufFile, decoder: GgufFile) -> CsmConfig:
    """A CSM's sizes from both files' keys and shapes. Raises LayoutMismatch for what is missing or no number."""
    try:
        size, width = backbone.tensors["codebook0_head.weight"].shape
        rows = decoder.tensors["audio_embd.weight"].shape[0]
        books = rows // size
        text_vocab = backbone.tensors["token_embd.weight"].shape[0]
        config = CsmConfig(
            backbone=_stack(backbone, width, None),
            depth=_stack(decoder, decoder.tensors["csm_proj.weight"].shape[0], books + 1),
            num_codebooks=books,
            codebook_size=size,
            text_vocab=text_vocab,
            codec_entries=min(size, _whole(decoder.metadata, "codec_entries", CSM_1B.codec_entries)),
        )
    except (KeyError, ValueError, TypeError, IndexError, ZeroDivisionError) as error:
        raise LayoutMismatch(
            f"{backbone.path.name} and {decoder.path.name} don't tell a CSM's sizes ({error}).",
            hint="Are they the files that the converter wrote, both of one model?",
        ) from error
    return config


def _stack(file: GgufFile, width: int, positions: int | None) -> StackConfig:
    keys = file.metadata
    heads = _whole(keys, "attention.head_count")
    return StackConfig(
        layers=_whole(keys, "block_count"),
        width=width,
        heads=heads,
        kv_heads=_whole(keys, "attention.head_count_kv", heads),
        head_width=_whole(keys, "attention.key_length", width // max(1, heads)),
        hidden=_whole(keys, "feed_forward_length"),
        max_positions=positions or _whole(keys, "context_length"),
        norm_eps=short_float(keys.get(f"{ARCHITECTURE}.attention.layer_norm_rms_epsilon", 1e-5)),
        rope_base=short_float(keys.get(f"{ARCHITECTURE}.rope.freq_base", 500_000.0)),
        rope_scaling=_scaling(keys),
    )


def _whole(keys: Mapping[str, Any], name: str, default: int | None = None) -> int:
    value = keys.get(f"{ARCHITECTURE}.{name}", default)
    if type(value) is not int:
        raise KeyError(f"{ARCHITECTURE}.{name}")
    return value


def _scaling(keys: Mapping[str, Any]) -> RopeScaling | None:
    """csm-1b's scaling, which the pull request leaves out of its files, unless a key says otherwise."""
    prefix = f"{ARCHITECTURE}.rope.scaling."
    kind = keys.get(prefix + "type")
    if kind is None:
        return RopeScaling()
    if kind == "none":
        return None
    if kind != "llama3":
        raise LayoutMismatch(f"The rotary scaling is {kind!r}; llama3 and none are known here.")
    names = ("factor", "low_freq_factor", "high_freq_factor")
    factor, low, high = (short_float(keys[prefix + name]) for name in names)
    return RopeScaling(factor, low, high, int(keys[prefix + "original_context_length"]))


def _arrays(backbone: GgufFile, decoder: GgufFile, config: CsmConfig) -> dict[str, Any]:
    arrays: dict[str, Any] = {}
    for component, file, stack in (("backbone", backbone, config.backbone), ("decoder", decoder, config.depth)):
        names = names_in(component, stack)
        known = {*names.values(), _HEADS, "csm_proj.weight", "rope_freqs.weight"}
        if missing := set(names.values()) - file.tensors.keys():
            raise LayoutMismatch.of_keys(file.path.name, missing, file.tensors.keys() - known)
        arrays |= {ours: file.tensors[theirs].array() for ours, theirs in names.items()}
    arrays["audio_head"] = _without_zero_pages(decoder, config)
    return arrays


def _without_zero_pages(decoder: GgufFile, config: CsmConfig) -> Any:
    """The heads of codebooks 1 … K-1: the page in front of them, and in newer files one behind, is zeros."""
    if _HEADS not in decoder.tensors:
        raise LayoutMismatch.of_keys(decoder.path.name, missing=[_HEADS])
    pages = decoder.tensors[_HEADS].array()
    if pages.ndim != 3 or len(pages) not in (config.num_codebooks, config.num_codebooks + 1):
        raise LayoutMismatch(f"{_HEADS} is {tuple(pages.shape)}; it should have {config.num_codebooks + 1} pages.")
    return swap_axes(take_rows(pages, slice(1, config.num_codebooks)))


def write_llama_csm(
    part: CsmPart, target: Path, out_type: str = "F16", *, tokenizer: bytes | None, decoder_type: str | None = None
) -> list[Path]:
    """Write the two files of a speech model. `target` holds "<component>" in its name.

    With Q8_0 the decoder becomes F16, as the pull request has it, unless `decoder_type` says otherwise. Raises
    InputError for a target without the word, a model that departs from the original, or one without a tokenizer.
    """
    refuse_departures(part.config, "llama.cpp's pull request")
    if COMPONENT not in target.name:
        raise InputError(f"{target.name!r} lacks {COMPONENT}.", hint="model-<component>.gguf, say.", field="target")
    if tokenizer is None:
        raise InputError(
            "The pull request's files carry the tokenizer, and this model's is not here.",
            hint="Put its tokenizer.json beside the weights.",
            field="source",
        )
    words = from_tokenizer_json(tokenizer)
    chosen = checked_type(out_type)
    chosen_decoder = checked_type(decoder_type or ("F16" if chosen == "Q8_0" else chosen))
    paths = []
    for component, stack, kind in (
        ("backbone", part.config.backbone, chosen),
        ("decoder", part.config.depth, chosen_decoder),
    ):
        path = target.with_name(target.name.replace(COMPONENT, component))
        vocabulary = (
            part.config.text_vocab if component == "backbone" else part.config.num_codebooks * part.config.codebook_size
        )
        keys = _keys(part.config, stack, vocabulary) | words.keys(vocabulary)
        paths.append(write_gguf(path, ARCHITECTURE, keys, _tensors(part, component, stack, kind)))
    return paths


def _keys(config: CsmConfig, stack: StackConfig, vocabulary: int) -> dict[str, Any]:
    keys: dict[str, Any] = {
        "block_count": stack.layers,
        "context_length": config.backbone.max_positions,
        "feed_forward_length": stack.hidden,
        "embedding_length": stack.width,
        "attention.head_count": stack.heads,
        "attention.head_count_kv": stack.kv_heads,
        "rope.freq_base": np.float32(stack.rope_base),
        "rope.dimension_count": stack.head_width,
        "attention.layer_norm_rms_epsilon": np.float32(stack.norm_eps),
        "attention.key_length": stack.head_width,
        "attention.value_length": stack.head_width,
        "vocab_size": vocabulary,
    }
    if config.codec_entries != min(config.codebook_size, CSM_1B.codec_entries):
        keys["codec_entries"] = config.codec_entries
    scaling = stack.rope_scaling
    if scaling is None:
        keys["rope.scaling.type"] = "none"
    elif scaling != RopeScaling():
        keys |= {
            "rope.scaling.type": "llama3",
            "rope.scaling.factor": np.float32(scaling.factor),
            "rope.scaling.low_freq_factor": np.float32(scaling.low_factor),
            "rope.scaling.high_freq_factor": np.float32(scaling.high_factor),
            "rope.scaling.original_context_length": scaling.original_positions,
        }
    return {"general.type": "model"} | {f"{ARCHITECTURE}.{name}": value for name, value in keys.items()}


def _tensors(part: CsmPart, component: str, stack: StackConfig, chosen: str) -> dict[str, NewTensor]:
    names = names_in(component, stack)
    if component == "backbone":
        names["projection.weight"] = "csm_proj.weight"  # stored in both files
    tensors = {theirs: _new(part.arrays[ours], chosen) for ours, theirs in names.items()}
    if component == "decoder":
        heads = part.arrays["audio_head"]
        shape = (heads.shape[0] + 2, heads.shape[2], heads.shape[1])
        kind = chosen if fits(chosen, shape) else "F16"
        tensors[_HEADS] = NewTensor(kind, shape, lambda: _with_zero_pages(heads, kind))
    return tensors


def _new(array: Any, chosen: str) -> NewTensor:
    """Vectors are float32; a matrix whose rows the blocks don't divide is F16, as in the converter."""
    kind = "F32" if len(array.shape) == 1 else chosen if fits(chosen, array.shape) else "F16"
    return NewTensor(kind, tuple(array.shape), lambda: in_type(array, kind))


def _with_zero_pages(heads: Any, kind: str) -> np.ndarray:
    """Pages (V, D) with one of zeros before and one behind, so that an index by position never leaves the tensor."""
    pages = [in_type(swap_axes(heads[i : i + 1]), kind) for i in range(heads.shape[0])]
    nothing = in_type(np.zeros((1, heads.shape[2], heads.shape[1]), np.float32), kind)
    return np.concatenate([page.view(np.uint8).reshape(1, heads.shape[2], -1) for page in (nothing, *pages, nothing)])
