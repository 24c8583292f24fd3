"""From a model's files to an engine and a codec, on the device that fits. Knows no text and no voices."""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import BackendUnavailable, InputError, LayoutMismatch
from ..weights.load import ModelFiles
from .base import Engine

if TYPE_CHECKING:
    from ..mimi.sounding import SoundCodec
    from ..mimi.torchless.native import WeightKind
    from ..mimi.torchless.sounding import TorchlessSoundCodec
    from ..weights.csm_files import CsmWeights
    from ..weights.gguf_packed import PackedPart
    from .packed import PackedModel

    AnyCodec = SoundCodec | TorchlessSoundCodec

SMALL_PARAMETERS = 200_000_000  # up to here one core is enough; beyond, all cores
_log = logging.getLogger(__name__)


def assemble(files: ModelFiles, device: str = "auto", engine: str = "auto") -> tuple[Engine, AnyCodec]:
    """The engine and the codec of these files. `engine` is auto, torch, torch-int4, native or native-FORMAT.

    The native engine, where it runs, needs no torch, and neither does the codec then, in any layout. Raises
    BackendUnavailable if what was asked for can't run here; "auto" takes what can.
    """
    insisted = engine.startswith("native")
    if insisted and device not in ("auto", "cpu"):
        raise BackendUnavailable(f"The native engine runs on the CPU, not on {device}.", hint='Use device="cpu".')
    if insisted or (engine == "auto" and device in ("auto", "cpu") and _prefers_native(files, device)):
        return _assemble_native(files, engine.removeprefix("native").removeprefix("-") if insisted else "")
    device = best_device() if device == "auto" else device
    int4 = engine == "torch-int4" or (engine == "auto" and device == "cpu" and _is_large(files) and _torch_has_int4())
    weights = named_weights(files)
    return _torch(weights, device, int4), assemble_codec(files, weights.config.num_codebooks, device, weights)


def _prefers_native(files: ModelFiles, device: str) -> bool:
    """Small models speak on one core of any machine; large ones go to a GPU if there is one."""
    from ..native import binding

    try:
        binding.library()
    except BackendUnavailable as error:
        if not has_torch():
            raise
        _log.warning("%s The torch engine speaks instead.", error)
        return False
    return device == "cpu" or not _is_large(files) or best_device() == "cpu"


def _assemble_native(files: ModelFiles, plan: str) -> tuple[Engine, AnyCodec]:
    from ..weights.csm_files import read_csm
    from .native_engine import NativeEngine, named_plan
    from .packed import pack_model

    large = _is_large(files)
    if files.packed is not None:
        return _assemble_packed(files, files.packed, plan, large)
    weights = read_csm(files.csm, as_arrays=True)
    halves = all(array.dtype == np.float16 for array in weights.tensors.values() if array.ndim > 1)
    chosen = named_plan(plan or usual_plan(large, halves))
    packed = _packed(files, weights, chosen.name) if large else pack_model(weights.config, weights.tensors, chosen)
    network = NativeEngine(packed, threads=_cores() if large else 1)
    exact = _codec_weights(large, chosen.name)
    return network, _codec_without_torch(files.codec, weights, weights.config.num_codebooks, exact, network.threads)


def _codec_weights(large: bool, plan: str) -> WeightKind:
    """How the codec's decoder is kept beside a model of this plan; small ones stay in the processor's cache anyhow."""
    return "float16" if large and plan != "float32" else "float32"


def _assemble_packed(files: ModelFiles, part: PackedPart, plan: str, large: bool) -> tuple[Engine, AnyCodec]:
    """An engine on a file in its own form. Raises InputError if another format is asked for than it has."""
    from .native_engine import NativeEngine
    from .packed_file import load_part

    if plan not in ("", part.name):
        raise InputError(
            f"{part.path.name} holds weights in {part.name}, not {plan}.",
            hint=f'Use engine="native"; {plan} is made from the model it came from.',
            field="engine",
        )
    threads = _cores() if large else 1
    network = NativeEngine(load_part(part, mapped=_map_weights(usually=True)), threads=threads)
    exact = _codec_weights(large, part.name)
    return network, _codec_without_torch(files.codec, None, part.config.num_codebooks, exact, threads)


def named_weights(files: ModelFiles, *, as_arrays: bool = False) -> CsmWeights:
    """A model's tensors by name, also from a file in the CPU engine's form (as float32)."""
    from ..weights.csm_files import CsmWeights, read_csm

    if files.packed is None:
        return read_csm(files.csm, as_arrays=as_arrays)
    from .packed_file import load_part
    from .unpacking import unpacked

    arrays = unpacked(load_part(files.packed))
    if not as_arrays:
        from ..weights.stored_array import as_tensor

        arrays = {name: as_tensor(array) for name, array in arrays.items()}
    return CsmWeights(files.packed.config, arrays, "duologue-gguf")


def usual_plan(large: bool, halves: bool = True) -> str:
    """The weight format that the native engine takes by itself; `large`: more than SMALL_PARAMETERS weights.

    The quickest that loses nothing a listener hears: int8. Small models that lie in their file as float32, not as
    float16 (`halves`), are no finished voices but what training left, and stay exact.
    """
    return "int8" if large or halves else "float32"


def usual_engine(large: bool) -> str:
    """What "auto" comes to on this machine, as engines name themselves, with its number of threads."""
    from .native_engine import available_paths

    device = best_device() if large or not _has_kernels() else "cpu"
    if device != "cpu" or not _has_kernels():
        return f"torch-{device}-int4" if large and device == "cpu" and _torch_has_int4() else f"torch-{device}"
    path = os.environ.get("DUOLOGUE_NATIVE_PATH") or available_paths()[0]
    threads = _cores() if large else 1
    return f"native-{path}-{usual_plan(large)}, {threads} {'thread' if threads == 1 else 'threads'}"


def _torch_has_int4() -> bool:
    if not has_torch():
        return False
    from ..nn.int4_linear import int4_reason

    return int4_reason() is None


def _has_kernels() -> bool:
    from ..native import binding

    try:
        binding.library()
    except BackendUnavailable:
        return False
    return True


def _packed(files: ModelFiles, weights: CsmWeights, plan: str) -> PackedModel:
    """Weights rounded once and kept, so that the next start only reads them."""
    from ..weights.checkpoint import open_checkpoint
    from .native_engine import named_plan
    from .packed import load_packed, pack_model, save_packed

    parts = [file.resolve() for file in open_checkpoint(files.csm).files]
    source = "; ".join(f"{part} {part.stat().st_size} {part.stat().st_mtime_ns}" for part in parts)
    name = hashlib.blake2b(f"{parts} {plan}".encode(), digest_size=8).hexdigest()
    home = Path(os.environ.get("DUOLOGUE_HOME") or Path.home() / ".cache" / "duologue")
    path = home / "packed" / f"{name}.packed"
    mapped = _map_weights()
    found = load_packed(weights.config, named_plan(plan), path, source, mapped=mapped)
    if found is None:
        found = pack_model(weights.config, weights.tensors, named_plan(plan))
        save_packed(found, path, source)
        if mapped:
            found = load_packed(weights.config, named_plan(plan), path, source, mapped=True) or found
    return found


def _map_weights(usually: bool = False) -> bool:
    """Whether packed weights stay in their file (DUOLOGUE_MAP=1) or are read into memory (0).

    Left open, a model's own file is mapped, and what is kept of another's is read.
    """
    wanted = os.environ.get("DUOLOGUE_MAP", "")
    return wanted != "0" if wanted else usually


def _codec_without_torch(
    path: Path | None,
    weights: CsmWeights | None,
    codebooks: int | None,
    decoder_weights: WeightKind = "float16",
    threads: int = 1,
) -> AnyCodec:
    """The codec in a file of its own, or the one that the model's file holds."""
    from ..mimi.torchless.sounding import TorchlessSoundCodec
    from ..weights.mimi_arrays import load_torchless_mimi, torchless_from_transformers

    if path is not None:
        return TorchlessSoundCodec(load_torchless_mimi(path, decoder_weights, threads), codebooks)
    if weights is None or not weights.codec_tensors or weights.codec_config is None:
        raise LayoutMismatch("These weights hold no codec.", hint="Put a Mimi checkpoint beside them.")
    found = torchless_from_transformers(weights.codec_tensors, weights.codec_config, decoder_weights, threads)
    return TorchlessSoundCodec(found, codebooks)


def _is_large(files: ModelFiles) -> bool:
    from ..weights.checkpoint import open_checkpoint
    from ..weights.sesame import csm_shapes

    shapes = open_checkpoint(files.csm).shapes if files.packed is None else csm_shapes(files.packed.config)
    return sum(math.prod(shape) for shape in shapes.values()) > SMALL_PARAMETERS


def _torch(weights: CsmWeights, device: str, int4: bool = False) -> Engine:
    import torch

    from ..weights.csm_files import build_csm
    from .torch_engine import TorchEngine

    dtype = torch.float32 if device.startswith(("cpu", "mps")) and not int4 else torch.bfloat16
    return TorchEngine(build_csm(weights, dtype), device, dtype, int4=int4)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def assemble_codec(
    source: ModelFiles | Path, codebooks: int | None = None, device: str = "auto", weights: CsmWeights | None = None
) -> AnyCodec:
    """The codec of a model, or a codec's own checkpoint, with its first `codebooks` codebooks.

    Without a number it has as many as the model uses. Without torch it is the one that needs none.
    """
    from ..weights.checkpoint import open_checkpoint
    from ..weights.csm_files import csm_config, read_csm

    if isinstance(source, ModelFiles) and codebooks is None:
        codebooks = (weights.config if weights else csm_config(open_checkpoint(source.csm))).num_codebooks
    path = source if isinstance(source, Path) else source.codec
    if not has_torch():
        if path is None and weights is None and isinstance(source, ModelFiles):
            weights = read_csm(source.csm, as_arrays=True)
        return _codec_without_torch(path, weights, codebooks)
    from ..mimi.sounding import SoundCodec
    from ..weights.mimi import from_transformers, load_mimi
    from ..weights.mimi_transformers import read_config

    device = best_device() if device == "auto" else device
    if path is not None:
        return SoundCodec(load_mimi(path), codebooks, device)
    assert isinstance(source, ModelFiles)
    weights = weights or read_csm(source.csm)
    if not weights.codec_tensors or weights.codec_config is None:
        raise LayoutMismatch(f"{source.csm} holds no codec.", hint="Put a Mimi checkpoint beside it.")
    codec = from_transformers(weights.codec_tensors, read_config(dict(weights.codec_config)))
    return SoundCodec(codec, codebooks, device)


def has_torch() -> bool:
    """Whether torch is installed; finding out doesn't load it."""
    return importlib.util.find_spec("torch") is not None


def best_device() -> str:
    """cuda or mps if torch is there and reaches one, else cpu."""
    if not has_torch():
        return "cpu"
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"
