"""From a model's files to an engine and a codec, on the device that fits. Knows no text and no voices."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import BackendUnavailable, InputError, LayoutMismatch
from ..weights.load import ModelFiles
from .base import Engine

if TYPE_CHECKING:
    from ..mimi.sounding import SoundCodec
    from ..weights.csm_files import CsmWeights


SMALL_PARAMETERS = 200_000_000  # up to here float32 weights fit and one core is enough; beyond, int8 and all cores


def assemble(files: ModelFiles, device: str = "auto", engine: str = "auto") -> tuple[Engine, SoundCodec]:
    """The engine and the codec of these files.

    Raises BackendUnavailable if what was asked for can't run here; "auto" takes what can.
    """
    from ..weights.csm_files import read_csm

    device = best_device() if device == "auto" else device
    weights = read_csm(files.csm)
    codec = assemble_codec(files, weights.config.num_codebooks, device, weights)
    network = _native(weights, engine) if engine != "torch" and device == "cpu" else None
    if network is None and engine.startswith("native"):
        raise BackendUnavailable(f"The native engine runs on the CPU, not on {device}.", hint='Use device="cpu".')
    return network or _torch(weights, device), codec


def _torch(weights: CsmWeights, device: str) -> Engine:
    import torch

    from ..weights.csm_files import build_csm
    from .torch_engine import TorchEngine

    dtype = torch.float32 if device.startswith(("cpu", "mps")) else torch.bfloat16
    return TorchEngine(build_csm(weights, dtype), device, dtype)


def _native(weights: CsmWeights, engine: str) -> Engine | None:
    """The CPU engine; None if it was not insisted on and can't run here."""
    from .native_engine import NativeEngine

    large = sum(tensor.numel() for tensor in weights.tensors.values()) > SMALL_PARAMETERS
    plan = engine.removeprefix("native").removeprefix("-") if engine != "auto" else ""
    arrays = {name: tensor.float().numpy() for name, tensor in weights.tensors.items()}
    try:
        return NativeEngine.from_weights(
            weights.config, arrays, plan or ("int8" if large else "float32"), threads=_cores() if large else 1
        )
    except (BackendUnavailable, InputError):
        if engine != "auto":
            raise
        return None


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def assemble_codec(
    source: ModelFiles | Path, codebooks: int | None = None, device: str = "auto", weights: CsmWeights | None = None
) -> SoundCodec:
    """The codec of a model, or a codec's own checkpoint, with its first `codebooks` codebooks.

    Without a number it has as many as the model uses.
    """
    from ..mimi.sounding import SoundCodec
    from ..weights.checkpoint import open_checkpoint
    from ..weights.csm_files import csm_config, read_csm
    from ..weights.mimi import from_transformers, load_mimi
    from ..weights.mimi_transformers import read_config

    device = best_device() if device == "auto" else device
    if isinstance(source, Path):
        return SoundCodec(load_mimi(source), codebooks, device)
    if codebooks is None:
        codebooks = (weights.config if weights else csm_config(open_checkpoint(source.csm))).num_codebooks
    if source.codec is not None:
        return SoundCodec(load_mimi(source.codec), codebooks, device)
    weights = weights or read_csm(source.csm)
    if not weights.codec_tensors or weights.codec_config is None:
        raise LayoutMismatch(f"{source.csm} holds no codec.", hint="Put a Mimi checkpoint beside it.")
    return SoundCodec(
        from_transformers(weights.codec_tensors, read_config(dict(weights.codec_config))), codebooks, device
    )


def best_device() -> str:
    """cuda or mps if torch reaches one, else cpu."""
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"
