"""The C interface of abi.h, field by field, for ctypes. No logic beyond turning error numbers into exceptions."""

from __future__ import annotations

import ctypes as c
import functools
import os
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..errors import BackendUnavailable, InputError, WeightsDamaged
from .build import LIBRARY

LAYOUT_VERSION = 1
_POINTER = c.c_void_p


class CMatrix(c.Structure):
    _fields_ = [
        ("kind", c.c_int32),
        ("group", c.c_int32),
        ("rows", c.c_int32),
        ("cols", c.c_int32),
        ("scale", c.c_float),
        ("data", _POINTER),
        ("bytes", c.c_int64),
    ]


class CTable(c.Structure):
    _fields_ = [
        ("kind", c.c_int32),
        ("stride", c.c_int32),
        ("rows", c.c_int64),
        ("data", _POINTER),
        ("scales", _POINTER),
        ("bytes", c.c_int64),
    ]


class CLayer(c.Structure):
    _fields_ = [
        ("attention_norm", _POINTER),
        ("feed_norm", _POINTER),
        ("qkv", CMatrix),
        ("out", CMatrix),
        ("gate_up", CMatrix),
        ("down", CMatrix),
    ]


class CStack(c.Structure):
    _fields_ = [
        ("layers", c.c_int32),
        ("width", c.c_int32),
        ("heads", c.c_int32),
        ("kv_heads", c.c_int32),
        ("head_width", c.c_int32),
        ("hidden", c.c_int32),
        ("positions", c.c_int32),
        ("eps", c.c_float),
        ("final_norm", _POINTER),
        ("cosines", _POINTER),
        ("sines", _POINTER),
        ("layer", c.POINTER(CLayer)),
    ]


class CModel(c.Structure):
    _fields_ = [
        ("backbone", CStack),
        ("depth", CStack),
        ("codebooks", c.c_int32),
        ("codebook_size", c.c_int32),
        ("codec_entries", c.c_int32),
        ("eos_code", c.c_int32),
        ("text_columns", c.c_int32),
        ("advances", c.c_int32),
        ("audio", CTable),
        ("depth_audio", CTable),
        ("text", c.POINTER(CTable)),
        ("first_head", CMatrix),
        ("advance_head", CMatrix),
        ("projection", CMatrix),
        ("heads", c.POINTER(CMatrix)),
        ("bfloat16_cache", c.c_int32),
        ("threads", c.c_int32),
        ("path", c.c_char_p),
    ]


class CRequest(c.Structure):
    _fields_ = [
        ("cache", _POINTER),
        ("row", _POINTER),
        ("position", c.c_int64),
        ("index", c.c_int64),
        ("seed", c.c_uint64),
        ("temperature", c.c_float * 3),
        ("top_k", c.c_int32 * 3),
        ("allow_eos", c.c_int32),
        ("forced", _POINTER),
        ("trace", _POINTER),
        ("guide_of", c.c_int32),
        ("guidance", c.c_float),
    ]


class CCodec(c.Structure):
    _fields_ = [
        *[(name, c.c_int32) for name in ("decodes", "width", "filters", "kernel", "residual_kernel", "last_kernel")],
        *[(name, c.c_int32) for name in ("residual_layers", "dilation_base", "compress", "ratio_count")],
        ("ratios", c.c_int32 * 8),
        *[(name, c.c_int32) for name in ("layers", "heads", "hidden", "context")],
        ("rope_base", c.c_float),
        ("norm_eps", c.c_float),
        *[(name, c.c_int32) for name in ("codebooks", "entries", "code_width", "semantic", "kind", "threads")],
        *[(name, c.c_int32) for name in ("spectral_dim", "blocks", "expansion", "hop_values")],
        ("path", c.c_char_p),
    ]


_SIGNATURES: dict[str, tuple[object, list[object]]] = {
    "dl_last_error": (c.c_char_p, []),
    "dl_layout_version": (c.c_int, []),
    "dl_structure_bytes": (c.c_int, [c.c_int]),
    "dl_runs": (c.c_int, [c.c_char_p]),
    "dl_packed_bytes": (c.c_int64, [c.c_int] * 4),
    "dl_pack": (c.c_int, [*[c.c_int] * 4, _POINTER, _POINTER, c.POINTER(c.c_float)]),
    "dl_unpack": (c.c_int, [c.POINTER(CMatrix), _POINTER]),
    "dl_multiply": (c.c_int, [c.c_char_p, c.POINTER(CMatrix), _POINTER, c.c_int, _POINTER]),
    "dl_engine_new": (_POINTER, [c.POINTER(CModel)]),
    "dl_engine_free": (None, [_POINTER]),
    "dl_engine_path": (c.c_char_p, [_POINTER]),
    "dl_trace_size": (c.c_int64, [_POINTER]),
    "dl_batch": (c.c_int, [_POINTER]),
    "dl_times": (None, [_POINTER, _POINTER]),
    "dl_cache_new": (_POINTER, [_POINTER]),
    "dl_cache_fork": (_POINTER, [_POINTER]),
    "dl_cache_free": (None, [_POINTER]),
    "dl_cache_length": (c.c_int64, [_POINTER]),
    "dl_cache_own_bytes": (c.c_int64, [_POINTER]),
    "dl_cache_truncate": (None, [_POINTER, c.c_int64]),
    "dl_prefill": (c.c_int, [_POINTER, _POINTER, _POINTER, _POINTER, c.c_int64]),
    "dl_frames": (c.c_int, [_POINTER, c.POINTER(CRequest), c.c_int, _POINTER]),
    "dl_codec_new": (_POINTER, [c.POINTER(CCodec), _POINTER, _POINTER, c.c_int64]),
    "dl_codec_free": (None, [_POINTER]),
    "dl_codec_path": (c.c_char_p, [_POINTER]),
    "dl_codec_state_bytes": (c.c_int64, [_POINTER]),
    "dl_codec_weight_bytes": (c.c_int64, [_POINTER]),
    "dl_codec_decode": (c.c_int, [_POINTER, _POINTER, c.c_int64, _POINTER, c.c_int64, c.c_int64, _POINTER]),
    "dl_codec_encode": (c.c_int, [_POINTER, _POINTER, c.c_int64, _POINTER, c.c_int64, c.c_int64, _POINTER, _POINTER]),
    "dl_read_bandwidth": (c.c_double, [_POINTER, c.c_int64, c.c_int]),
}


@functools.cache
def library() -> c.CDLL:
    """The compiled kernels, loaded once; $DUOLOGUE_NATIVE_LIBRARY names another build of them.

    Raises BackendUnavailable if there are none, or if they belong to another version of this package.
    """
    path = Path(os.environ.get("DUOLOGUE_NATIVE_LIBRARY") or Path(__file__).parent / LIBRARY)
    if not path.exists():
        raise BackendUnavailable(
            f"The CPU engine was not compiled: {path} is missing.",
            hint="Install g++ or clang and run `python -m duologue.native.build`, or use a wheel, or the torch engine.",
        )
    try:
        loaded = c.CDLL(str(path))
    except OSError as error:
        raise BackendUnavailable(
            f"The CPU engine can't be loaded: {error}",
            hint="Compile it for this machine with `python -m duologue.native.build`.",
        ) from error
    for name, (result, arguments) in _SIGNATURES.items():
        function = getattr(loaded, name, None)
        if function is None:
            raise _outdated(path)
        function.restype, function.argtypes = result, arguments
    structures = (CMatrix, CTable, CLayer, CStack, CModel, CRequest, CCodec)
    agree = all(loaded.dl_structure_bytes(i) == c.sizeof(structure) for i, structure in enumerate(structures))
    if loaded.dl_layout_version() != LAYOUT_VERSION or not agree:
        raise _outdated(path)
    return loaded


def _outdated(path: Path) -> BackendUnavailable:
    return BackendUnavailable(
        f"{path} belongs to another version of duologue.",
        hint="Compile it again with `python -m duologue.native.build`.",
    )


def address(array: npt.NDArray[np.generic]) -> int:
    """Where a C-contiguous array's values start; the caller keeps the array alive."""
    if not array.flags.c_contiguous:
        raise ValueError("The C interface takes contiguous arrays only.")
    return int(array.ctypes.data)


def check(outcome: int) -> None:
    """Raise what a C function's error number stands for."""
    if outcome == 0:
        return
    message = library().dl_last_error().decode()
    if outcome == 1:
        raise InputError(f"The CPU engine was given what it can't use: {message}.")
    if outcome == 2:
        raise WeightsDamaged("The network gave no finite logits.", hint="Its weights or its input are damaged.")
    raise MemoryError(message)
