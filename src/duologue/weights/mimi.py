"""Load a Mimi codec from any layout and save it in two, strictly. Knows files and configs; layouts know the names.

Kyutai's layout is one .safetensors file; our config travels in its metadata, and a file without one tells its sizes by
its shapes. The transformers layout is a folder with config.json and model.safetensors.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..configuration import from_dict, to_dict
from ..errors import InputError, LayoutMismatch, WeightsDamaged, WeightsNotFound
from ..mimi.config import MimiConfig
from . import kyutai, mimi_transformers
from .gguf_file import is_gguf
from .gguf_models import open_model
from .layout import check_names

if TYPE_CHECKING:
    from torch import Tensor

    from ..mimi.codec import Mimi

Layout = Literal["kyutai", "transformers"]
CONFIG_KEY = "duologue.mimi"
MAX_CONFIG_BYTES = 2**20


def load_mimi(source: str | Path, config: MimiConfig | None = None) -> Mimi:
    """The codec in a .safetensors file (Kyutai's layout), a folder (transformers') or a GGUF file, float32, on the CPU.

    A `config` given here overrides what the file says of itself. Raises WeightsNotFound, WeightsDamaged,
    LayoutMismatch, or InputError for a config that can't be honoured.
    """
    source = Path(source)
    if is_gguf(source):
        part = open_model(source).sound_codec()
        return from_ours(part.arrays, config or part.config)
    if source.is_dir():
        if config is None:
            config = mimi_transformers.read_config(read_json(source / "config.json"))
        tensors, _ = read_tensors(source / "model.safetensors")
        return from_transformers(tensors, config)
    tensors, metadata = read_tensors(source)
    return from_kyutai(tensors, config or own_config(metadata))


def save_mimi(codec: Mimi, target: str | Path, layout: Layout = "kyutai") -> None:
    """Write the codec to a .safetensors file or, for "transformers", a folder. Weight norm is folded."""
    from safetensors.torch import save_file

    ours = kyutai.fold_weight_norm({name: tensor.detach().cpu() for name, tensor in codec.state_dict().items()})
    target = Path(target)
    if layout == "kyutai":
        names = {name: kyutai.file_name(name, codec.config) for name in ours}
        target.parent.mkdir(parents=True, exist_ok=True)
        metadata = {CONFIG_KEY: json.dumps(to_dict(codec.config))}
        save_file({names[name]: tensor.contiguous() for name, tensor in ours.items()}, target, metadata)
        return
    if layout != "transformers":
        raise InputError(f"layout is {layout!r}; it should be 'kyutai' or 'transformers'.", field="layout")
    values = mimi_transformers.write_config(codec.config)
    target.mkdir(parents=True, exist_ok=True)
    save_file(mimi_transformers.to_file(ours, codec.config), target / "model.safetensors", {"format": "pt"})
    (target / "config.json").write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


def from_kyutai(tensors: Mapping[str, Tensor], config: MimiConfig | None = None) -> Mimi:
    """A codec from tensors in Kyutai's layout; without a config, their shapes tell the sizes."""
    named = kyutai.canonical(tensors)
    if config is None:
        config = kyutai.infer_config({name: tuple(tensor.shape) for name, tensor in named.items()})
    empty = _empty(config)
    names = {kyutai.file_name(ours, config): ours for ours in empty.state_dict()}
    if names.keys() != named.keys():
        raise LayoutMismatch.of_keys("the file", names.keys() - named.keys(), named.keys() - names.keys())
    return _fill(empty, {names[theirs]: tensor for theirs, tensor in named.items()})


def from_ours(arrays: Mapping[str, Any], config: MimiConfig) -> Mimi:
    """A codec from arrays under our own names, as they lie in GGUF files."""
    from .stored_array import as_tensor

    empty = _empty(config)
    check_names(arrays, empty.state_dict(), "the codec's file")
    return _fill(empty, {name: as_tensor(array) for name, array in arrays.items()})


def from_transformers(tensors: Mapping[str, Tensor], config: MimiConfig) -> Mimi:
    """A codec from tensors in the layout of transformers."""
    empty = _empty(config)
    return _fill(empty, mimi_transformers.from_file(tensors, list(empty.state_dict()), config))


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """All tensors of a safetensors file, and its metadata. Raises WeightsNotFound or WeightsDamaged."""
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise WeightsNotFound(f"There is no file {path}.", hint="Check the path; a folder should hold config.json too.")
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError, OverflowError) as error:
        raise WeightsDamaged(
            f"{path.name} can't be read as safetensors: {error}.", hint="It may be cut short; fetch it again."
        ) from error


def _empty(config: MimiConfig) -> Mimi:
    """A codec with shapes and no memory behind them."""
    import torch

    from ..mimi.codec import Mimi

    try:
        with torch.device("meta"):
            return Mimi(config)
    except RuntimeError as error:  # sizes so large that even their product overflows
        raise InputError(f"No codec can have these sizes: {error}.", field="config") from error


def _fill(codec: Mimi, ours: Mapping[str, Tensor]) -> Mimi:
    """Put the tensors into the codec, each of the right shape, kind and finite."""
    import torch

    ready = {}
    for name, wanted in codec.state_dict().items():
        tensor = ours[name]
        if tensor.shape != wanted.shape:
            raise LayoutMismatch(f"{name} is {tuple(tensor.shape)}; the config wants {tuple(wanted.shape)}.")
        if not tensor.is_floating_point():
            raise WeightsDamaged(f"{name} is {tensor.dtype}; weights should be floating-point.")
        ready[name] = tensor.to(torch.float32)
        if not ready[name].isfinite().all():
            raise WeightsDamaged(f"{name} holds values that are not finite.", hint="Fetch the file again.")
    codec = type(codec)(codec.config) if codec.config.frontend == "spectral" else codec  # its tables need memory
    codec.load_state_dict(ready, assign=True)
    return codec.eval()


def own_config(metadata: Mapping[str, str]) -> MimiConfig | None:
    if CONFIG_KEY not in metadata:
        return None
    try:
        return from_dict(MimiConfig, json.loads(metadata[CONFIG_KEY]), "the codec's config")
    except (ValueError, RecursionError) as error:
        raise WeightsDamaged("The codec's config inside the file is not JSON.") from error


def read_json(path: Path) -> dict[str, object]:
    """A config.json of sane size. Raises WeightsNotFound or WeightsDamaged."""
    try:
        if path.stat().st_size > MAX_CONFIG_BYTES:
            raise WeightsDamaged(f"{path.name} is too large for a config.")
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise WeightsNotFound(
            f"There is no {path.name} in {path.parent}.", hint="Give the folder as downloaded."
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise WeightsDamaged(f"{path.name} can't be read as JSON: {error}.") from error
    if not isinstance(values, dict):
        raise WeightsDamaged(f"{path.name} is not a config.")
    return values
