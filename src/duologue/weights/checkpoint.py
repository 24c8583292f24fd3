"""A checkpoint on disk: which files it is, what they hold, in whose layout. Safetensors and GGUF, never pickles.

Headers are read without torch and without touching the tensors, so that a file can be looked at before it is loaded.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..errors import WeightsDamaged, WeightsNotFound
from .gguf_file import is_gguf
from .hub import MAX_JSON_BYTES, WEIGHT_NAMES, shard_names
from .mlx import is_mlx, read_mlx

if TYPE_CHECKING:
    from torch import Tensor

    from .model_parts import ModelParts

SafeLayout = Literal["duologue", "sesame", "transformers-csm", "kyutai-mimi", "transformers-mimi", "mlx", "unknown"]
Layout = str  # a SafeLayout, or a GGUF file's: duologue-gguf, llama-csm, llama-mimi, crispasr, csm-rs, codec-cpp
MAX_HEADER_BYTES = 100 * 2**20
METADATA_KEY = "duologue"  # our own files carry their config under this key
DTYPE_BYTES = {
    "BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "I16": 2, "U16": 2, "F16": 2, "BF16": 2,
    "I32": 4, "U32": 4, "F32": 4, "I64": 8, "U64": 8, "F64": 8,
}  # fmt: skip
_SIGNS: tuple[tuple[SafeLayout, tuple[str, ...]], ...] = (
    ("sesame", ("codebook0_head.weight", "backbone.norm.scale")),
    ("transformers-csm", ("lm_head.weight", "depth_decoder.codebooks_head.weight")),
    ("kyutai-mimi", ("downsample.conv.conv.conv.weight",)),
    ("transformers-mimi", ("downsample.conv.weight", "encoder_transformer.layers.0.input_layernorm.weight")),
)


@dataclass(frozen=True)
class TensorInfo:
    """Type, shape and size of a stored tensor."""

    dtype: str
    shape: tuple[int, ...]
    stored: int | None = None  # bytes on disk, where the type and the shape alone don't tell

    @property
    def bytes(self) -> int:
        """Bytes on disk."""
        if self.stored is not None:
            return self.stored
        return math.prod(self.shape) * DTYPE_BYTES[self.dtype]


@dataclass(frozen=True)
class Checkpoint:
    """One model's files: a .safetensors, several shards, or GGUF; and the config.json beside them if there is one."""

    path: Path
    files: tuple[Path, ...]
    tensors: Mapping[str, TensorInfo]
    metadata: Mapping[str, str] = field(default_factory=dict)
    config: Mapping[str, Any] | None = None
    parts: ModelParts | None = None  # of a GGUF file: what it holds, whoever wrote it

    @property
    def layout(self) -> Layout:
        """Whose names these are."""
        if self.parts is not None:
            return self.parts.layout
        if METADATA_KEY in self.metadata:
            return "duologue"
        for layout, signs in _SIGNS:
            if all(sign in self.tensors for sign in signs):
                return layout
        return "unknown"

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of every tensor by name."""
        return {name: info.shape for name, info in self.tensors.items()}

    def load(self) -> dict[str, Tensor]:
        """All tensors, on the CPU in their stored types. Raises WeightsDamaged."""
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        tensors: dict[str, Tensor] = {}
        for file in self.files:
            try:
                tensors.update(load_file(file))
            except (SafetensorError, OSError, ValueError, RuntimeError, KeyError) as error:
                raise _damaged(file, str(error)) from error
        return tensors


def open_checkpoint(path: str | Path) -> Checkpoint:
    """Look at a .safetensors or .gguf file, an index of shards, or a folder that holds one of them.

    Raises WeightsNotFound if there is none, WeightsDamaged if a file is truncated or no weight file.
    """
    path = Path(path)
    files = _weight_files(path)
    if is_gguf(files[0]):
        return _gguf_checkpoint(path, files[0])
    if files[0].suffix == ".gguf":
        raise _damaged(files[0], "it does not begin as GGUF files do")
    tensors: dict[str, TensorInfo] = {}
    metadata: dict[str, str] = {}
    for file in files:
        found, notes = read_header(file)
        if twice := tensors.keys() & found.keys():
            raise WeightsDamaged(f"{min(twice)} is in more than one file of {path}.")
        tensors.update(found)
        metadata.update(notes)
    folder = path if path.is_dir() else path.parent
    seen = Checkpoint(path, tuple(files), tensors, metadata, _beside(folder / "config.json"))
    return replace(seen, parts=_mlx_parts(seen)) if is_mlx(tensors) else seen


def _mlx_parts(checkpoint: Checkpoint) -> ModelParts:
    from .arrays import load_arrays

    return read_mlx(checkpoint.files, load_arrays(checkpoint), checkpoint.config)


def _gguf_checkpoint(path: Path, file: Path) -> Checkpoint:
    """What a GGUF file holds; with it, the files that belong to it, whose tensors' names may be the same."""
    from .gguf_file import open_gguf
    from .gguf_models import open_model

    parts = open_model(file)
    tensors = {}
    for each in parts.files:
        prefix = f"{each.name}: " if len(parts.files) > 1 else ""
        for name, tensor in open_gguf(each).tensors.items():
            tensors[prefix + name] = TensorInfo(tensor.type, tensor.shape, tensor.data.nbytes)
    return Checkpoint(path, parts.files, tensors, parts=parts)


def _weight_files(path: Path) -> list[Path]:
    if path.is_dir():
        named = [path / name for name in WEIGHT_NAMES if (path / name).is_file()]
        found = named or sorted(path.glob("*.safetensors")) or _gguf_files(path)
        if len(named) == 0 and len(found) > 1:
            raise WeightsNotFound(f"{path} holds {len(found)} weight files.", hint="Name the one to load.")
        if not found:
            raise WeightsNotFound(f"{path} holds no .safetensors or .gguf file.", hint="Is it a model's folder?")
        path = found[0]
    if not path.is_file():
        raise WeightsNotFound(f"There is no file {path}.", hint="Check the path.")
    if not path.name.endswith(".index.json"):
        return [path]
    shards = [path.parent / name for name in shard_names(path)]
    for shard in shards:
        if not shard.is_file():
            raise WeightsNotFound(f"{path.name} names {shard.name}, which is not there.", hint="Fetch it too.")
    return shards


def _gguf_files(folder: Path) -> list[Path]:
    """The GGUF files to choose from: of a set, only the backbone, which leads to the others."""
    found = sorted(folder.glob("*.gguf"))
    backbones = [path for path in found if "backbone" in path.name]
    return backbones or found


def read_header(path: Path) -> tuple[dict[str, TensorInfo], dict[str, str]]:
    """Tensors and metadata of one safetensors file, from its header. Raises WeightsDamaged, naming what is wrong."""
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            length = int.from_bytes(file.read(8), "little")
            if size < 8 or not 2 <= length <= min(MAX_HEADER_BYTES, size - 8):
                raise _damaged(path, "it has no safetensors header, or was cut off inside it")
            header = json.loads(file.read(length))
    except OSError as error:
        raise WeightsNotFound(f"{path} can't be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise _damaged(path, "its header is not JSON") from error
    if not isinstance(header, dict):
        raise _damaged(path, "its header is not a table")
    notes = header.pop("__metadata__", {})
    if not isinstance(notes, dict) or not all(isinstance(value, str) for value in notes.values()):
        raise _damaged(path, "its metadata is not a table of strings")
    return {name: _entry(path, name, entry, size - 8 - length) for name, entry in header.items()}, notes


def _entry(path: Path, name: str, entry: Any, room: int) -> TensorInfo:
    try:
        info = TensorInfo(entry["dtype"], tuple(entry["shape"]))
        start, end = entry["data_offsets"]
        whole = all(type(number) is int and number >= 0 for number in (*info.shape, start, end))
        if not whole or end - start != info.bytes:
            raise _damaged(path, f"the size of {name} contradicts itself")
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(path, f"its entry for {name} can't be read") from error
    if end > room:
        raise _damaged(path, f"{name} lies beyond its end")
    return info


def _beside(path: Path) -> Mapping[str, Any] | None:
    if not path.is_file():
        return None
    return read_json(path)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON table from a file of reasonable size. Raises WeightsDamaged."""
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise WeightsDamaged(f"{path} is too large for a config.")
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise WeightsDamaged(f"{path} is not readable JSON.", hint="Fetch it again.") from error
    if not isinstance(values, dict):
        raise WeightsDamaged(f"{path} is JSON, but no table.", hint="Fetch it again.")
    return values


def _damaged(path: Path, reason: str) -> WeightsDamaged:
    return WeightsDamaged(f"{path.name} is damaged: {reason}.", hint="Fetch it again, whole.")
