"""GGUF files through the `gguf` package: metadata as plain values, tensors as arrays in the mapped file; and writing.

Knows no model. Headers are checked by gguf_bounds.py first; nothing is read of a tensor until it is used.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..errors import BackendUnavailable, InputError, WeightsDamaged
from .gguf_bounds import ARRAY, MAGIC, STRING, Bounds, check_bounds
from .quantized_types import stored_bytes
from .stored_array import StoredArray

if TYPE_CHECKING:
    from gguf import GGUFReader, GGUFValueType

ARCHITECTURE = "general.architecture"
Progress = Callable[[int, int], None]  # bytes of tensors written so far, and of all


@dataclass(frozen=True)
class GgufTensor:
    """A tensor in a file: its type's name (F32, Q4_K, …), its shape, and its stored bytes (…, bytes per row)."""

    type: str
    shape: tuple[int, ...]
    data: npt.NDArray[Any]

    def array(self) -> npt.NDArray[Any] | StoredArray:
        """Values: floats as they lie in the file (bfloat16 as uint16, its bits), rounded types made when asked for."""
        if self.type == "BF16":
            return self.data.view(np.uint16).reshape(self.shape)
        if self.data.dtype != np.uint8 or self.type in ("F32", "F16"):
            return self.data.reshape(self.shape)
        return StoredArray(self.data, self.type)


@dataclass(frozen=True)
class GgufFile:
    """An open file."""

    path: Path
    metadata: Mapping[str, Any]
    tensors: Mapping[str, GgufTensor]

    @property
    def architecture(self) -> str:
        """Whose file it says it is."""
        return str(self.metadata.get(ARCHITECTURE, ""))


def is_gguf(path: Path) -> bool:
    """Whether a file begins as GGUF files do."""
    try:
        with path.open("rb") as file:
            return file.read(4) == MAGIC
    except OSError:
        return False


def open_gguf(path: Path) -> GgufFile:
    """Look at a file; its tensors stay on disk. Raises WeightsNotFound or WeightsDamaged."""
    if sys.byteorder != "little":
        raise BackendUnavailable("GGUF files are little-endian, this machine is not.")
    from gguf import GGML_QUANT_SIZES

    bounds = check_bounds(path, {int(kind): (int(a), int(b)) for kind, (a, b) in GGML_QUANT_SIZES.items()})
    try:
        reader = _reader(path, bounds)
        metadata = _Metadata(reader, path)
        tensors = {
            tensor.name: GgufTensor(tensor.tensor_type.name, tuple(int(n) for n in reversed(tensor.shape)), tensor.data)
            for tensor in reader.tensors
        }
    except (ValueError, KeyError, IndexError, TypeError, OverflowError, RecursionError) as error:
        raise _damaged(path, str(error)) from error
    return GgufFile(path, metadata, tensors)


def _reader(path: Path, bounds: Bounds) -> GGUFReader:
    """The package's reader, which takes long arrays in one piece: it makes two objects of each of their elements,
    0.7 GB for the vocabulary of Llama 3."""
    from gguf import GGUFReader, GGUFValueType

    class Reader(GGUFReader):
        def _get_field_parts(self, orig_offs: int, raw_type: int) -> tuple[int, list[Any], list[int], list[Any]]:
            if int(raw_type) != ARRAY:
                found: tuple[int, list[Any], list[int], list[Any]] = super()._get_field_parts(orig_offs, raw_type)
                return found
            kind = GGUFValueType(int(self._get(orig_offs, np.uint32)[0]))
            size = bounds.array_ends[orig_offs] - orig_offs
            whole = self._get(orig_offs, np.uint8, size)
            return size, [whole], [0], [GGUFValueType.ARRAY, kind]

    return Reader(path)


class _Metadata(Mapping[str, Any]):
    """Values by key, made when they are asked for."""

    def __init__(self, reader: GGUFReader, path: Path) -> None:
        self._fields = {key: field for key, field in reader.fields.items() if not key.startswith("GGUF.")}
        self._path = path

    def __getitem__(self, key: str) -> Any:
        field = self._fields[key]
        try:
            if field.types[0].value == ARRAY:
                return _elements(field.parts[-1], field.types[1])
            return field.contents()
        except (ValueError, IndexError) as error:
            raise _damaged(self._path, f"{key}: {error}") from error

    def __iter__(self) -> Any:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)


def _elements(whole: npt.NDArray[np.uint8], kind: GGUFValueType) -> list[Any]:
    """The elements of an array whose bytes begin with its type and count."""
    from gguf import GGUFReader

    count = int(whole[4:12].view("<u8")[0])
    raw = whole[12:]
    if kind.value != STRING:
        plain: list[Any] = raw.view(GGUFReader.gguf_scalar_to_np[kind])[:count].tolist()
        return plain
    data, at, texts = raw.tobytes(), 0, []
    for _ in range(count):
        length = int.from_bytes(data[at : at + 8], "little")
        texts.append(data[at + 8 : at + 8 + length].decode())
        at += 8 + length
    return texts


def _damaged(path: Path, reason: str) -> WeightsDamaged:
    return WeightsDamaged(f"{path.name} is damaged: {reason}.", hint="Fetch it again, whole.")


@dataclass(frozen=True)
class NewTensor:
    """A tensor to write. `make` gives its stored bytes, or its values if numpy has the type, when its turn comes."""

    type: str
    shape: tuple[int, ...]
    make: Callable[[], npt.NDArray[Any]]

    @cached_property
    def bytes(self) -> int:
        """Bytes in the file."""
        return stored_bytes(self.type, self.shape)


def write_gguf(
    path: Path,
    architecture: str,
    metadata: Mapping[str, Any],
    tensors: Mapping[str, NewTensor],
    *,
    alignment: int | None = None,
    progress: Progress | None = None,
) -> Path:
    """Write a file, one tensor in memory at a time. It appears whole or not at all.

    Whole numbers are stored in 32 bits, floats in 64; numpy scalars and lists keep their own type. Tensors begin at
    multiples of `alignment` bytes, 32 if it is None.
    """
    from gguf import GGMLQuantizationType, GGUFWriter

    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.{os.getpid()}.new")
    writer = GGUFWriter(fresh, architecture)
    try:
        if alignment is not None:
            writer.add_custom_alignment(alignment)
        for key, value in metadata.items():
            writer.add_key_value(key, *_typed(key, value))
        for name, new in tensors.items():
            kind = GGMLQuantizationType[new.type]
            writer.add_tensor_info(name, new.shape, np.dtype(np.float32), new.bytes, raw_dtype=kind)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        done, total = 0, sum(new.bytes for new in tensors.values())
        for name, new in tensors.items():
            if progress is not None:
                progress(done, total)
            done += new.bytes
            data = np.ascontiguousarray(new.make())
            if data.nbytes != new.bytes:
                raise InputError(f"{name} has {data.nbytes} bytes; {new.type} {new.shape} takes {new.bytes}.")
            writer.write_tensor_data(data)
        writer.close()
        os.replace(fresh, path)
    except OSError as error:
        raise InputError(
            f"{path} can't be written: {error.strerror}.", hint="Check the folder.", field="target"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            writer.close()
        fresh.unlink(missing_ok=True)
    return path


def _typed(key: str, value: Any) -> tuple[Any, GGUFValueType]:
    from gguf import GGUFValueType as Kind

    if isinstance(value, bool | np.bool_):
        return bool(value), Kind.BOOL
    if isinstance(value, np.float32):
        return float(value), Kind.FLOAT32
    if isinstance(value, int):
        return value, Kind.UINT32 if 0 <= value < 2**32 else Kind.INT64
    if isinstance(value, float):
        return value, Kind.FLOAT64
    if isinstance(value, str):
        return value, Kind.STRING
    if isinstance(value, list) and value:
        return value, Kind.ARRAY
    raise InputError(f"{key} is {value!r}, which GGUF has no form for.", field=key)
