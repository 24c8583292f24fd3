"""Codes on disk: a safetensors or npy file, or the plain list of numbers that llama.cpp's CSM programs exchange.

The plain list has one number a line (or several, with spaces or commas), frame after frame: codebook 0, 1, … K-1 of the
first frame, then of the second.
"""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from tokenize import TokenError

import numpy as np
import numpy.typing as npt

from .errors import InputError

Codes = npt.NDArray[np.int64]
MAX_FILE_BYTES = 64 * 2**20
ENDINGS = (".txt", ".npy", ".safetensors")


def write_codes(codes: Codes, path: str | PathLike[str]) -> None:
    """Write codes (K,T) in the form that the file's ending names."""
    path = Path(path)
    codes = np.asarray(codes, np.int64)
    try:
        if path.suffix == ".txt":
            path.write_text("".join(f"{code}\n" for code in codes.T.reshape(-1)), encoding="ascii")
        elif path.suffix == ".npy":
            np.save(path, codes)
        elif path.suffix == ".safetensors":
            from safetensors.numpy import save_file

            save_file({"codes": np.ascontiguousarray(codes)}, str(path), {"format": "duologue-codes-1"})
        else:
            raise _unknown(path)
    except OSError as error:
        raise InputError(f"{path} can't be written: {error}.", hint="Check the folder.", field="output") from error


def read_codes(path: str | PathLike[str], num_codebooks: int) -> Codes:
    """Read codes (K,T); a plain list is split into frames of `num_codebooks`. Raises InputError naming the problem."""
    path = Path(path)
    if path.suffix not in ENDINGS:
        raise _unknown(path)
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise InputError(f"{path} is too large for codes.", hint="Cut it up.", field="codes")
        codes = _plain(path, num_codebooks) if path.suffix == ".txt" else _array(path)
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist.", hint="Check the path.", field="codes") from error
    except OSError as error:
        raise InputError(f"{path} can't be read: {error}.", field="codes") from error
    if codes.ndim != 2 or codes.dtype.kind not in "iu" or 0 in codes.shape or not 1 <= len(codes) <= 64:
        hint = "Codes are whole numbers, (codebooks, frames)."
        raise InputError(f"{path} holds {codes.dtype} values of shape {codes.shape}.", hint=hint, field="codes")
    return codes.astype(np.int64)


def _plain(path: Path, num_codebooks: int) -> Codes:
    try:
        words = path.read_text(encoding="ascii").replace(",", " ").split()
        numbers = np.array([int(word) for word in words if len(word) <= 9], np.int64)
    except ValueError as error:
        raise InputError(f"{path} is not a list of numbers: {error}.", hint="One number a line.") from error
    if len(numbers) != len(words) or len(numbers) == 0 or numbers.min() < 0:
        raise InputError(f"{path} holds no codes, or numbers that are none.", hint="One number a line.", field="codes")
    if len(numbers) % num_codebooks:
        raise InputError(
            f"{path} has {len(numbers)} numbers, which is no multiple of {num_codebooks} codebooks.",
            hint="Say how many codebooks a frame has.",
            field="codes",
        )
    return numbers.reshape(-1, num_codebooks).T


def _array(path: Path) -> Codes:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    faults = (SafetensorError, ValueError, KeyError, EOFError, TypeError, AttributeError, SyntaxError, MemoryError)
    try:
        if path.suffix == ".npy":
            return np.asarray(np.load(path, allow_pickle=False))
        return load_file(path)["codes"]
    except (*faults, TokenError) as error:  # numpy reads a header as Python source
        raise InputError(f"{path} is no file of codes: {error}.", hint="`duologue encode` makes one.") from error


def _unknown(path: Path) -> InputError:
    return InputError(
        f"{path.name} has no ending that is known here.", hint=f"Use {', '.join(ENDINGS)}.", field="codes"
    )
