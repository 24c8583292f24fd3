"""CSM in the layout of the transformers library: other names, rotary halves instead of neighbours, Mimi alongside.

Which versions of transformers to trust with such a file (read in their sources; pyproject pins one without these):

- before 4.52.1: no CSM.
- 4.52.1 - 4.52.4: EOS frames are left out of the labels, so that models fine-tuned there never learn to stop.
- 5.0.0 - 5.18.0 (at least; 5.21.1 is mended): the backbone's copy of the audio embedding stays random on loading, as
  the two copies are tied only if tie_word_embeddings is set, which saved configs deny.
- every version: CsmConfig() without a rope dictionary means *unscaled* rotary positions, unlike the released model; the
  stop test looks at all codebooks but the last; a batch goes on until its last row has ended; positions beyond
  max_position_embeddings are not refused; depth_decoder_* options of generate() stay in force for later calls.

A file may hold either copy of the audio embedding or both. Tensors of the codec, codec_model.*, are handed on as they
are, for the codec's own layout.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ..csm.config import CsmConfig
from ..errors import LayoutMismatch
from .layout import check_names, halves, neighbours
from .sesame import csm_shapes
from .transformers_csm_config import refuse_departures

CODEC_PREFIX = "codec_model."
DEPTH_AUDIO = "depth_decoder.model.embed_tokens.weight"  # the copy that transformers itself keeps
BACKBONE_AUDIO = "backbone_model.embed_tokens.embed_audio_tokens.weight"
_WHOLE = {
    "text_embeddings.weight": "embed_text_tokens.weight",
    "audio_embeddings.weight": DEPTH_AUDIO,
    "codebook0_head.weight": "lm_head.weight",
    "projection.weight": "depth_decoder.model.inputs_embeds_projector.weight",
    "audio_head": "depth_decoder.codebooks_head.weight",
}
_STACKS = {"backbone": "backbone_model", "decoder": "depth_decoder.model"}
_LEAVES = {
    "attn.q_proj.weight": "self_attn.q_proj.weight",
    "attn.k_proj.weight": "self_attn.k_proj.weight",
    "attn.v_proj.weight": "self_attn.v_proj.weight",
    "attn.output_proj.weight": "self_attn.o_proj.weight",
    "mlp.w1.weight": "mlp.gate_proj.weight",
    "mlp.w2.weight": "mlp.down_proj.weight",
    "mlp.w3.weight": "mlp.up_proj.weight",
    "sa_norm.scale": "input_layernorm.weight",
    "mlp_norm.scale": "post_attention_layernorm.weight",
}
_BUFFERS = re.compile(
    r"(.*\.)?(audio_tokens_offsets|rotary_emb\.inv_freq)"
)  # written by some versions, computed by all


def their_name(ours: str) -> str:
    """The file's name of one of our tensors."""
    if ours in _WHOLE:
        return _WHOLE[ours]
    stack, rest = ours.split(".", 1)
    if rest == "norm.scale":
        return f"{_STACKS[stack]}.norm.weight"
    _, layer, leaf = rest.split(".", 2)
    return f"{_STACKS[stack]}.layers.{layer}.{_LEAVES[leaf]}"


def rotary_heads(ours: str, config: CsmConfig) -> int | None:
    """Number of heads whose rows the two layouts order differently; None for all other tensors."""
    stack = config.backbone if ours.startswith("backbone.") else config.depth
    if ours.endswith("q_proj.weight"):
        return stack.heads
    return stack.kv_heads if ours.endswith("k_proj.weight") else None


def split_codec(tensors: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The model's own tensors, and those of the codec under their names in a codec's file."""
    own = {name: tensor for name, tensor in tensors.items() if not name.startswith(CODEC_PREFIX)}
    codec = {name.removeprefix(CODEC_PREFIX): tensors[name] for name in tensors.keys() - own.keys()}
    return own, codec


def from_file(tensors: Mapping[str, Any], config: CsmConfig, where: str = "the file") -> dict[str, Any]:
    """Our tensors from the file's (without codec). Raises LayoutMismatch for names that are missing or unexpected."""
    found = {name: tensor for name, tensor in tensors.items() if not _BUFFERS.fullmatch(name)}
    _unite_audio(found, where)
    names = {ours: their_name(ours) for ours in csm_shapes(config)}
    check_names(found, names.values(), where)
    return {ours: _reorder(ours, found[theirs], config, neighbours) for ours, theirs in names.items()}


def to_file(tensors: Mapping[str, Any], config: CsmConfig) -> dict[str, Any]:
    """The file's tensors from ours. Raises InputError for a model that transformers has no form for."""
    refuse_departures(config, "transformers")
    return {their_name(ours): _reorder(ours, tensor, config, halves) for ours, tensor in tensors.items()}


def _reorder(ours: str, tensor: Any, config: CsmConfig, order: Any) -> Any:
    heads = rotary_heads(ours, config)
    if heads is None:
        return tensor
    if tensor.shape[0] % (2 * heads):
        raise LayoutMismatch(f"{ours} has {tensor.shape[0]} rows, which {heads} rotary heads can't share.")
    return order(tensor, heads)


def _unite_audio(found: dict[str, Any], where: str) -> None:
    """Leave one copy of the audio embedding, under the depth decoder's name."""
    backbone, depth = found.pop(BACKBONE_AUDIO, None), found.get(DEPTH_AUDIO)
    if depth is None and backbone is not None:
        found[DEPTH_AUDIO] = backbone
        return
    if backbone is None or depth is None:
        return  # none at all is reported as missing
    if backbone.shape != depth.shape or not bool((backbone == depth).all()):
        raise LayoutMismatch(
            f"{where} holds two audio embeddings that differ.",
            hint="It was saved by a transformers version that doesn't tie them (5.0 to 5.18); save it again with 5.23.",
        )
