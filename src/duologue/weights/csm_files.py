"""A CSM from disk and to disk: from any layout, and into Sesame's, transformers' and our own safetensors file.

Our own file is a safetensors file with the house's names and, in its metadata, the config as JSON: one file is all of a
model. Every way in ends in the same tensors; none is changed on the way but for the order of rotary rows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..configuration import from_dict, to_dict
from ..csm.config import CsmConfig
from ..errors import InputError, LayoutMismatch, WeightsDamaged
from . import sesame, transformers_csm, transformers_csm_config
from .arrays import load_arrays
from .checkpoint import METADATA_KEY, Checkpoint, Layout, open_checkpoint
from .layout import check_names, check_shapes

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from ..csm.model import Csm

CsmLayout = Literal["duologue", "sesame", "transformers-csm"]
KIND = "csm"  # what our own file's metadata says it is


@dataclass
class CsmWeights:
    """A CSM's config and tensors under the house's names; and the codec's, if the file held one beside it."""

    config: CsmConfig
    tensors: dict[str, Any]  # torch tensors, or numpy arrays if they were asked for
    layout: Layout = "duologue"
    codec_tensors: dict[str, Any] = field(default_factory=dict)  # transformers' names, without codec_model.
    codec_config: Mapping[str, Any] | None = None  # transformers' own table


def read_csm(path: str | Path, *, as_arrays: bool = False) -> CsmWeights:
    """Read a file, an index of shards or a folder, in whichever layout it is.

    `as_arrays` gives numpy arrays that lie in the mapped files instead of tensors, and needs no torch (arrays.py).

    Raises WeightsNotFound, WeightsDamaged, LayoutMismatch (naming tensors), or InputError (naming a config's key).
    """
    checkpoint = open_checkpoint(path)
    if checkpoint.parts is not None:
        return _from_parts(checkpoint, as_arrays)
    config = csm_config(checkpoint)
    where = str(checkpoint.path)
    tensors, codec = transformers_csm.split_codec(
        sesame.without_masks(load_arrays(checkpoint) if as_arrays else checkpoint.load())
    )
    if checkpoint.layout == "transformers-csm":
        tensors = transformers_csm.from_file(tensors, config, where)
    wanted = sesame.csm_shapes(config)
    check_names(tensors, wanted, where)
    check_shapes({name: tuple(tensor.shape) for name, tensor in tensors.items()}, wanted, where)
    codec_config = (checkpoint.config or {}).get("codec_config") if codec else None
    return CsmWeights(config, tensors, checkpoint.layout, codec, codec_config)


def _from_parts(checkpoint: Checkpoint, as_arrays: bool) -> CsmWeights:
    """Of GGUF files and MLX's: the arrays as they are stored, or tensors of them."""
    from .stored_array import as_tensor

    assert checkpoint.parts is not None
    part = checkpoint.parts.speech_model()
    arrays = part.arrays if as_arrays else {name: as_tensor(array) for name, array in part.arrays.items()}
    return CsmWeights(part.config, arrays, checkpoint.layout)


def csm_config(checkpoint: Checkpoint) -> CsmConfig:
    """The config of a CSM's checkpoint: its own metadata, the config.json of either maker, or its tensors' shapes."""
    if checkpoint.parts is not None:
        return checkpoint.parts.speech_config()
    layout, values = checkpoint.layout, checkpoint.config
    if layout == "duologue":
        return _own_config(checkpoint)
    if layout not in ("sesame", "transformers-csm"):
        raise LayoutMismatch(
            f"{checkpoint.path} is no CSM in a layout that is known here ({len(checkpoint.tensors)} tensors).",
            hint=f"`duologue inspect {checkpoint.path}` shows what it holds.",
        )
    if values is None:
        if layout == "sesame":
            return sesame.infer_config(checkpoint.shapes)
        raise LayoutMismatch(f"{checkpoint.path} has no config.json beside it.", hint="Put the model's there.")
    if "depth_decoder_config" in values or values.get("model_type") == "csm":
        return transformers_csm_config.read_config(values)
    return sesame.read_config(values)


def _own_config(checkpoint: Checkpoint) -> CsmConfig:
    try:
        values = json.loads(checkpoint.metadata[METADATA_KEY])
        kind, config = values["kind"], values["config"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise WeightsDamaged(f"The metadata of {checkpoint.path} can't be read.", hint="Fetch it again.") from error
    if kind != KIND:
        raise LayoutMismatch(f"{checkpoint.path} holds a {kind!r}, not a {KIND!r}.", hint="Name the other file.")
    return from_dict(CsmConfig, config, "config")


def load_csm(path: str | Path, dtype: torch.dtype | None = None) -> Csm:
    """A module that holds the weights of a checkpoint, in their stored type or in `dtype`."""
    return build_csm(read_csm(path), dtype)


def build_csm(weights: CsmWeights, dtype: torch.dtype | None = None) -> Csm:
    """A module around these tensors; they are not copied unless they change type. Mixed types become the widest."""
    import torch

    from ..csm.model import Csm

    with torch.device("meta"):
        model = Csm(weights.config)
    if dtype is None:
        kinds = {tensor.dtype for tensor in weights.tensors.values()}
        dtype = next(iter(kinds)) if len(kinds) == 1 else torch.float32
    if not dtype.is_floating_point:
        raise LayoutMismatch(f"These tensors are {dtype}; a network needs floating point.")
    model.load_state_dict({name: tensor.to(dtype) for name, tensor in weights.tensors.items()}, assign=True)
    return model.requires_grad_(True)


def write_csm(weights: CsmWeights, path: str | Path, layout: CsmLayout, dtype: torch.dtype | None = None) -> Path:
    """Write a checkpoint: one file in our own layout, a folder with config.json in the others. Returns the file.

    Raises InputError for a model that the layout can't express.
    """
    from safetensors.torch import save_file

    tensors = {name: tensor if dtype is None else tensor.to(dtype) for name, tensor in weights.tensors.items()}
    path, metadata = Path(path), {"format": "pt"}
    if layout == "duologue":
        metadata[METADATA_KEY] = json.dumps({"kind": KIND, "config": to_dict(weights.config)})
    else:
        tensors, files = _foreign(weights, tensors, layout)
        path.mkdir(parents=True, exist_ok=True)
        for name, values in files.items():
            (path / name).write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
        path = path / "model.safetensors"
    save_file({name: tensor.detach().contiguous() for name, tensor in tensors.items()}, path, metadata)
    return path


def _foreign(
    weights: CsmWeights, tensors: dict[str, Tensor], layout: CsmLayout
) -> tuple[dict[str, Tensor], dict[str, dict[str, Any]]]:
    """Tensors and JSON files of a folder in another maker's layout."""
    if layout == "sesame":
        return tensors, {"config.json": sesame.write_config(weights.config)}
    if layout != "transformers-csm":
        raise InputError(f"There is no CSM layout {layout!r}.", hint="Use duologue, sesame or transformers-csm.")
    theirs = transformers_csm.to_file(tensors, weights.config)
    prefix = transformers_csm.CODEC_PREFIX
    theirs.update({prefix + name: tensor for name, tensor in weights.codec_tensors.items()})
    config = transformers_csm_config.write_config(weights.config, weights.codec_config)
    generation = transformers_csm_config.generation_config(weights.config)
    return theirs, {"config.json": config, "generation_config.json": generation}
