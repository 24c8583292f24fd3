"""Which number type each tensor of a model is stored in, by what it does. Knows names, no values.

Groups: the backbone's and the depth decoder's matrices, the heads, the embeddings, the codec. Vectors (norms, scales,
biases) stay in floating point: they are a thousandth of a model and each of their values moves a whole row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import InputError
from .quantized_types import FLOAT_TYPES, WRITABLE, checked_type, fits

KEEP = "keep"  # as it is in the source
# What takes the place of a type whose blocks don't divide a tensor's rows: next by bits, then half floats.
_SUBSTITUTES = {"Q4_K": "Q5_0", "Q5_K": "Q5_1", "Q6_K": "Q8_0"}
# More bits where they are worth most: of all 625 choices of five types for four groups, these two lie where the
# measured distance from float32 per byte bends (docs/quantization.md). Named after llama.cpp's mixtures, which they
# resemble.
MIXTURES = {
    "Q5_K_M": {"backbone": "Q5_K", "depth": "Q6_K", "heads": "Q6_K", "embeddings": "Q6_K"},
    "Q4_K_M": {"backbone": "Q4_K", "depth": "Q6_K", "heads": "Q6_K", "embeddings": "Q5_K"},
}
GROUPS = ("backbone", "depth", "heads", "embeddings", "codec")
_HEADS = ("codebook0_head.", "audio_head", "advance_head.", "projection.")


@dataclass(frozen=True)
class TypePolicy:
    """A type for each group, or "keep"."""

    backbone: str = KEEP
    depth: str = KEEP
    heads: str = KEEP
    embeddings: str = KEEP
    codec: str = KEEP

    def __post_init__(self) -> None:
        for group in GROUPS:
            chosen = getattr(self, group)
            if chosen != KEEP:
                object.__setattr__(self, group, checked_type(chosen, WRITABLE))

    def type_for(self, name: str, shape: Sequence[int], now: str) -> str:
        """The type of a tensor whose type is `now`: as its group says, or the nearest that its rows take."""
        group = group_of(name)
        chosen = now if group is None else getattr(self, group)
        if chosen == KEEP:
            return now
        if is_vector(name, shape) and chosen not in FLOAT_TYPES:
            return now if now in FLOAT_TYPES else "F32"
        while not fits(chosen, shape):
            chosen = _SUBSTITUTES.get(chosen, "F16")
        return str(chosen)


def is_vector(name: str, shape: Sequence[int]) -> bool:
    """Whether a tensor is one number per channel, or a count: what is never rounded."""
    return len(shape) < 2 or shape[-1] == 1 or name.endswith(("cluster_usage", "initialized"))


def group_of(name: str) -> str | None:
    """The group of a tensor by its name in our own layout; None for what is no weight (voices)."""
    if name.startswith("codec."):
        return "codec"
    if name.startswith(("backbone.", "decoder.")):
        return "backbone" if name.startswith("backbone.") else "depth"
    if name.startswith(_HEADS):
        return "heads"
    return "embeddings" if "embeddings." in name else None


def named_policy(name: str, **groups: str | None) -> TypePolicy:
    """One type or mixture for the CSM with the codec kept, and other types for the groups that are named."""
    known = MIXTURES.get(name.upper()) or {group: name for group in GROUPS if group != "codec"}
    unknown = groups.keys() - set(GROUPS)
    if unknown:
        raise InputError(f"There is no group {min(unknown)!r}.", hint=f"There are {', '.join(GROUPS)}.", field="type")
    return TypePolicy(**{**known, **{group: chosen for group, chosen in groups.items() if chosen}})
