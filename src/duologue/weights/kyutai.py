"""Mimi in Kyutai's own layout: one safetensors file, 318 tensors for the released model. Knows names, not numbers.

Files are written with the names of the released file (`in_proj_weight`), which every implementation reads. On the way
in, the names of newer moshi modules, older names of the codebooks, weight-norm pairs and training-only tensors are
understood too. A codec whose front end is not SEANet keeps its own names for that part.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import WeightsDamaged
from ..mimi.config import MimiConfig, QuantizerConfig, SeanetConfig, TransformerConfig

if TYPE_CHECKING:
    from torch import Tensor

HEAD_WIDTH = 64  # of the released model; a file doesn't say, and a config overrides it

# Ours -> the file's. The first rule that matches a name's beginning renames it.
_PARTS = (
    (r"(en|de)coder_transformer\.layers\.(\d+)\.", r"\1coder_transformer.transformer.layers.\2."),
    (r"downsample\.", "downsample.conv.conv.conv."),
    (r"upsample\.", "upsample.convtr.convtr.convtr."),
    (r"quantizer\.semantic\.", "quantizer.rvq_first."),
    (r"quantizer\.acoustic\.", "quantizer.rvq_rest."),
)
_LAYER = {
    "qkv.weight": "self_attn.in_proj_weight",
    "out.weight": "self_attn.out_proj.weight",
    "expand.weight": "linear1.weight",
    "contract.weight": "linear2.weight",
    "scale1": "layer_scale_1.scale",
    "scale2": "layer_scale_2.scale",
}
_CODEBOOK = {"initialized": "_initialized", "cluster_usage": "cluster_usage", "embedding_sum": "embedding_sum"}

# Other spellings found in files -> the released file's.
_SPELLINGS = (
    (re.compile(r"self_attn\.in_projs\.0\.weight$"), "self_attn.in_proj_weight"),
    (re.compile(r"self_attn\.out_projs\.0\.weight$"), "self_attn.out_proj.weight"),
    (re.compile(r"_codebook\.inited$"), "_codebook._initialized"),
    (re.compile(r"_codebook\.cluster_size$"), "_codebook.cluster_usage"),
    (re.compile(r"_codebook\.embed_(avg|sum)$"), "_codebook.embedding_sum"),
)
_TRAINING_ONLY = re.compile(r"wavlm_")
_NORM_PAIRS = ((".weight_g", ".weight_v"), (".parametrizations.weight.original0", ".parametrizations.weight.original1"))


def file_name(ours: str, config: MimiConfig) -> str:
    """The file's name of one of our tensors."""
    if config.frontend == "seanet" and (match := re.match(r"(encoder|decoder)\.model\.(\d+)\.(look\.|mix\.)?", ours)):
        return _seanet_name(match, ours[match.end() :], config)
    for pattern, theirs in _PARTS:
        if match := re.match(pattern, ours):
            return match.expand(theirs) + _inner_name(ours[match.end() :])
    return ours


def _seanet_name(match: re.Match[str], leaf: str, config: MimiConfig) -> str:
    side, index, part = match.groups()
    block = {"look.": "block.1.", "mix.": "block.3.", None: ""}[part]
    upsampling = side == "decoder" and not part and int(index) in upsampling_layers(config)
    return f"{side}.model.{index}.{block}{'convtr.convtr' if upsampling else 'conv.conv'}.{leaf}"


def _inner_name(leaf: str) -> str:
    if match := re.match(r"codebooks\.(\d+)\.(\w+)$", leaf):
        return f"vq.layers.{match[1]}._codebook.{_CODEBOOK[match[2]]}"
    projections = {"project_in.weight": "input_proj.weight", "project_out.weight": "output_proj.weight"}
    return _LAYER.get(leaf) or projections.get(leaf, leaf)


def our_name(theirs: str, config: MimiConfig) -> str:
    """Our name of one of the released file's tensors; the way back from `file_name`."""
    for pattern, ours in _BACK:
        if match := re.match(pattern, theirs):
            rest = theirs[match.end() :]
            return match.expand(ours) + _INNER_BACK.get(rest, rest)
    if config.frontend != "seanet":
        return theirs
    name = re.sub(r"^((?:en|de)coder\.model\.\d+)\.block\.1\.", r"\1.look.", theirs)
    name = re.sub(r"^((?:en|de)coder\.model\.\d+)\.block\.3\.", r"\1.mix.", name)
    return name.replace(".conv.conv.", ".").replace(".convtr.convtr.", ".")


_BACK = (
    (r"(en|de)coder_transformer\.transformer\.layers\.(\d+)\.", r"\1coder_transformer.layers.\2."),
    (r"downsample\.conv\.conv\.conv\.", "downsample."),
    (r"upsample\.convtr\.convtr\.convtr\.", "upsample."),
    (r"quantizer\.rvq_first\.vq\.layers\.(\d+)\._codebook\.", r"quantizer.semantic.codebooks.\1."),
    (r"quantizer\.rvq_rest\.vq\.layers\.(\d+)\._codebook\.", r"quantizer.acoustic.codebooks.\1."),
    (r"quantizer\.rvq_first\.", "quantizer.semantic."),
    (r"quantizer\.rvq_rest\.", "quantizer.acoustic."),
)
_INNER_BACK = {theirs: ours for ours, theirs in (*_LAYER.items(), *_CODEBOOK.items())} | {
    "input_proj.weight": "project_in.weight",
    "output_proj.weight": "project_out.weight",
}


def upsampling_layers(config: MimiConfig) -> set[int]:
    """Indices of the decoder's upsampling layers: an activation before each, residual layers after."""
    assert config.seanet is not None
    return {2 + stage * (2 + config.seanet.residual_layers) for stage in range(len(config.seanet.ratios))}


def canonical(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a file under the released file's names: spellings unified, weight norm folded, extras dropped."""
    named = {}
    for name, tensor in fold_weight_norm(tensors).items():
        if _TRAINING_ONLY.match(name):
            continue
        for spelling, released in _SPELLINGS:
            name = spelling.sub(released, name)
        if name in named:
            raise WeightsDamaged(f"The file holds {name} twice, under two spellings.")
        named[name] = tensor
    return named


def fold_weight_norm(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Replace each pair of length g and direction v by the weight g*v/|v|, the norm over all dimensions but the first.

    For a transposed convolution the first dimension is the input channel. Raises WeightsDamaged if half a pair is
    missing or g doesn't fit v.
    """
    folded = dict(tensors)
    for length, direction in _NORM_PAIRS:
        for name in [name for name in tensors if name.endswith((length, direction))]:
            stem = name.removesuffix(direction).removesuffix(length)
            if stem + ".weight" in folded:
                continue
            try:
                g, v = folded.pop(stem + length), folded.pop(stem + direction)
            except KeyError as error:
                raise WeightsDamaged(f"{stem} has half a weight-norm pair.") from error
            folded[stem + ".weight"] = _folded(stem, g, v)
    return folded


def _folded(stem: str, g: Any, v: Any) -> Any:
    """One weight; torch tensors give one, numpy arrays the other."""
    g, v = _as_floats(stem, g), _as_floats(stem, v)
    if v.ndim < 2 or tuple(g.shape) != (v.shape[0], *[1] * (v.ndim - 1)):
        raise WeightsDamaged(f"{stem}: lengths {tuple(g.shape)} don't fit directions {tuple(v.shape)}.")
    return g * v / ((v * v).reshape(len(v), -1).sum(1) ** 0.5).reshape(g.shape)


def _as_floats(stem: str, values: Any) -> Any:
    if isinstance(values, np.ndarray):
        if values.dtype == np.uint16:  # bfloat16, which numpy lacks
            return (values.astype(np.uint32) << 16).view(np.float32)
        if values.dtype.kind == "f":
            return values.astype(np.float32)
    elif values.is_floating_point():
        return values.float()
    raise WeightsDamaged(f"{stem} is {values.dtype}; weights should be floating-point.")


def infer_config(shapes: Mapping[str, tuple[int, ...]]) -> MimiConfig:
    """Sizes from the shapes of a SEANet codec's tensors under the released names.

    What shapes don't tell is as released: heads of 64 channels, 250 steps of context, dilation base 2. Raises
    WeightsDamaged if the tensors that tell the sizes are missing.
    """
    try:
        first = shapes["encoder.model.0.conv.conv.weight"]
        look = shapes["encoder.model.1.block.1.conv.conv.weight"]
        width = shapes["upsample.convtr.convtr.convtr.weight"][0]
        entries, code_width = shapes["quantizer.rvq_first.vq.layers.0._codebook.embedding_sum"]
        ratios = [shape[2] // 2 for _, shape in _numbered(shapes, r"decoder\.model\.(\d+)\.convtr\.convtr\.weight")]
        residuals = _numbered(shapes, r"decoder\.model\.(\d+)\.block\.1\.conv\.conv\.weight")
        decoder_convs = _numbered(shapes, r"decoder\.model\.(\d+)\.conv\.conv\.weight")
        layers = _numbered(shapes, r"encoder_transformer\.transformer\.layers\.(\d+)\.linear1\.weight")
        books = [
            len(_numbered(shapes, rf"quantizer\.{rvq}\.vq\.layers\.(\d+)\._codebook\.embedding_sum")) for rvq in _RVQS
        ]
        return MimiConfig(
            width=width,
            seanet=SeanetConfig(
                filters=first[0],
                ratios=tuple(ratios),
                kernel=first[2],
                residual_kernel=look[2],
                last_kernel=decoder_convs[-1][1][2],
                residual_layers=len(residuals) // len(ratios),
                compress=look[1] // look[0],
            ),
            transformer=TransformerConfig(len(layers), max(1, width // HEAD_WIDTH), layers[0][1][0]),
            quantizer=QuantizerConfig(sum(books), entries, code_width, semantic=books[0]),
        )
    except (KeyError, IndexError, ZeroDivisionError, ValueError) as error:
        raise WeightsDamaged(
            "These tensors aren't a Mimi codec in Kyutai's layout.", hint="`duologue inspect FILE` shows what it holds."
        ) from error


_RVQS = ("rvq_first", "rvq_rest")


def _numbered(shapes: Mapping[str, tuple[int, ...]], pattern: str) -> list[tuple[int, tuple[int, ...]]]:
    """(number, shape) of the tensors whose names match, in order of the number."""
    found = ((re.fullmatch(pattern, name), shape) for name, shape in shapes.items())
    return sorted((int(match[1]), shape) for match, shape in found if match)
