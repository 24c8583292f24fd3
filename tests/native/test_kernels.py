"""The matrix products: every instruction set's path against the portable one, and all against plain arithmetic."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from duologue.engine.native_engine import available_paths
from duologue.engine.quantize import (
    BFLOAT16,
    FLOAT16,
    FLOAT32,
    Format,
    multiply,
    pack,
    packed_bytes,
    signal_to_noise_db,
    unpack,
)
from duologue.errors import InputError
from duologue.native import binding

INTEGERS = [Format(kind, group) for kind in ("int8", "int4", "uneven4", "uneven3") for group in (32, 64, 128)]
FORMATS = [FLOAT32, BFLOAT16, FLOAT16, *INTEGERS]
NAMES = [f"{format.kind}-{format.group}" for format in FORMATS]
PATHS = available_paths()


def random_matrix(rows: int, cols: int, seed: int = 0) -> np.ndarray:
    """Rows of very different sizes, some of them zero."""
    random = np.random.default_rng(seed)
    scales = 10.0 ** random.uniform(-3, 1, (rows, 1)) * (random.random((rows, 1)) > 0.1)
    return (random.standard_normal((rows, cols)) * scales).astype(np.float32)


def rounded(x: np.ndarray, group: int) -> np.ndarray:
    """Activations (columns, cols) as the integer kernels see them."""
    padded = np.pad(x, ((0, 0), (0, -x.shape[1] % group))).reshape(len(x), -1, group)
    scales = np.abs(padded).max(-1, keepdims=True) / np.float32(127)
    levels = np.rint(padded / np.where(scales == 0, np.float32(1), scales))
    return (levels * scales).reshape(len(x), -1)[:, : x.shape[1]]


def difference(a: np.ndarray, b: np.ndarray) -> float:
    """Largest difference, relative to the largest value of each row."""
    return float((np.abs(a - b) / (np.abs(b).max(0) + 1e-12)).max())


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("format", FORMATS, ids=NAMES)
@settings(max_examples=12)
@given(rows=st.integers(1, 70), cols=st.integers(1, 600), columns=st.integers(1, 19), seed=st.integers(0, 99))
def test_a_product_is_that_of_the_unpacked_weights(
    format: Format, path: str, rows: int, cols: int, columns: int, seed: int
) -> None:
    matrix = pack(random_matrix(rows, cols, seed), format)
    x = random_matrix(columns, cols, seed + 1)
    seen = x if format.group == 0 else rounded(x, format.group)
    expected = seen.astype(np.float64) @ unpack(matrix).astype(np.float64).T
    scale = np.abs(seen).max(1, keepdims=True) * np.abs(unpack(matrix)).max(1) * cols**0.5 + 1e-9
    # an activation exactly between two levels may fall either way: one step of one column, at most
    allowed = 2e-5 if format.group == 0 else 1 / 127
    assert (np.abs(multiply(matrix, x, path) - expected) / scale).max() < allowed


@pytest.mark.parametrize("path", [path for path in PATHS if path != "portable"])
@pytest.mark.parametrize("format", FORMATS, ids=NAMES)
def test_every_path_agrees_with_the_portable_one(format: Format, path: str) -> None:
    matrix = pack(random_matrix(83, 777), format)
    x = np.rint(random_matrix(13, 777, 5) * 50) / 16  # exact in float32, so that all paths round alike
    assert difference(multiply(matrix, x, path), multiply(matrix, x, "portable")) < 3e-6


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("format", FORMATS, ids=NAMES)
def test_a_column_does_not_depend_on_its_company(format: Format, path: str) -> None:
    matrix, x = pack(random_matrix(50, 300), format), random_matrix(17, 300, 3)
    together = multiply(matrix, x, path)
    alone = np.concatenate([multiply(matrix, x[i : i + 1], path) for i in range(len(x))])
    np.testing.assert_array_equal(together, alone)


@pytest.mark.parametrize(
    ("format", "decibels"),
    [
        (FLOAT32, np.inf),
        (BFLOAT16, 50),
        (Format("int8", 32), 45),
        (Format("int4", 32), 21.5),
        (Format("int4", 128), 20),
        (Format("uneven4", 64), 21.5),  # what int4 needs groups of 32 for
        (Format("uneven3", 32), 16.2),
        (Format("uneven3", 128), 15),
    ],
)
def test_rounding_keeps_so_much_of_the_weights(format: Format, decibels: float) -> None:
    weights = np.random.default_rng(0).standard_normal((64, 512)).astype(np.float32)
    assert signal_to_noise_db(weights, unpack(pack(weights, format))) >= decibels


@pytest.mark.parametrize("format", [FLOAT16, *INTEGERS], ids=NAMES[2:])
def test_tiny_weights_keep_their_precision(format: Format) -> None:
    """Scales, and float16 weights, are relative to the matrix, so they can't underflow."""
    weights = np.random.default_rng(0).standard_normal((32, 256)).astype(np.float32)
    large, tiny = (unpack(pack(weights * factor, format)) / factor for factor in (np.float32(1), np.float32(1e-12)))
    np.testing.assert_allclose(tiny, large, rtol=2e-3, atol=1e-6)


@pytest.mark.parametrize("format", FORMATS, ids=NAMES)
@pytest.mark.parametrize("path", PATHS)
def test_numbers_that_are_none_do_no_harm(format: Format, path: str) -> None:
    weights, x = random_matrix(20, 100), random_matrix(3, 100)
    weights[3, 5], weights[4, 6], x[1, 2], x[2, 3] = np.nan, np.inf, np.nan, np.inf
    result = multiply(pack(weights, format), x, path)
    assert result.shape == (3, 20)
    if format.group == 0:
        assert np.isfinite(result[0, 5:]).all()


def test_impossible_sizes_are_refused() -> None:
    for rows, cols in ((0, 5), (5, 0), (-1, 4), (1 << 25, 1), (1, 1 << 21)):
        with pytest.raises(InputError):
            packed_bytes(FLOAT32, rows, cols)
    with pytest.raises(InputError):
        Format("int4", 48)
    with pytest.raises(InputError):
        Format("float32", 32)


def test_a_matrix_of_the_wrong_number_of_bytes_is_refused() -> None:
    matrix = pack(random_matrix(20, 64), Format("int4", 32))
    matrix.data = matrix.data[:-1].copy()
    with pytest.raises(InputError, match="bytes"):
        unpack(matrix)


def test_an_unknown_path_is_refused() -> None:
    matrix = pack(random_matrix(4, 4), FLOAT32)
    with pytest.raises(InputError, match="path"):
        multiply(matrix, np.ones((1, 4), np.float32), "mmx")
    assert not binding.library().dl_runs(b"mmx")
    assert binding.library().dl_runs(b"portable")


def test_the_c_structures_have_the_size_that_c_gives_them() -> None:
    engine = (binding.CMatrix, binding.CTable, binding.CLayer, binding.CStack, binding.CModel, binding.CRequest)
    structures = (*engine, binding.CCodec)
    for number, structure in enumerate(structures):
        assert binding.library().dl_structure_bytes(number) == ctypes.sizeof(structure)
