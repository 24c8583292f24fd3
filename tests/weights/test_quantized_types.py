"""GGUF's number types: what is rounded comes back within its step, by the package's own dequantizer."""

from __future__ import annotations

import gguf
import numpy as np
import pytest

from duologue.errors import InputError, LayoutMismatch
from duologue.weights import k_quants
from duologue.weights.quantized_types import BLOCK_TYPES, WRITABLE, bits_per_value, dequantize, quantize, stored_bytes
from duologue.weights.stored_array import StoredArray, as_floats, in_type, join_rows, swap_axes, take_rows, type_of

# Noise below the signal that a type of so many bits has to reach on numbers like a network's, in dB.
LEAST_DB = {"F16": 70, "BF16": 50, "Q8_0": 42, "Q6_K": 32, "Q5_K": 26.5, "Q5_1": 26, "Q5_0": 24.5, "Q4_K": 20.5,
            "Q4_1": 20, "Q4_0": 18.5}  # fmt: skip


def weights(rows: int = 96, columns: int = 512) -> np.ndarray:
    return (np.random.default_rng(0).standard_t(5, (rows, columns)) * 0.03).astype(np.float32)


def noise_db(exact: np.ndarray, rounded: np.ndarray) -> float:
    return float(10 * np.log10((exact**2).sum() / max(((exact - rounded) ** 2).sum(), 1e-30)))


@pytest.mark.parametrize("name", LEAST_DB)
def test_rounding_noise_is_what_the_bits_allow(name: str) -> None:
    exact = weights()
    stored = quantize(exact, name)
    assert stored.nbytes == stored_bytes(name, exact.shape) == exact.size * bits_per_value(name) / 8
    theirs = gguf.dequantize(stored.reshape(-1), gguf.GGMLQuantizationType[name]).reshape(exact.shape)
    ours = dequantize(stored, name)
    assert np.array_equal(ours, theirs)
    assert noise_db(exact, ours) > LEAST_DB[name]


@pytest.mark.parametrize("name", BLOCK_TYPES)
def test_what_was_rounded_is_rounded_to_nearly_the_same_again(name: str) -> None:
    once = dequantize(quantize(weights(8), name), name)
    assert noise_db(once, dequantize(quantize(once, name), name)) > LEAST_DB[name] + 3


@pytest.mark.parametrize("name", WRITABLE)
@pytest.mark.parametrize("kind", ["zeros", "tiny", "negative", "far", "single"])
def test_odd_numbers_are_rounded_too(name: str, kind: str) -> None:
    rng = np.random.default_rng(1)
    values = {
        "zeros": np.zeros((2, 256)),
        "tiny": rng.standard_normal((2, 256)) * 3e-3,
        "negative": -np.abs(rng.standard_normal((2, 256))),
        "far": 100 + rng.standard_normal((2, 256)),
        "single": np.eye(2, 256) * 3,
    }[kind].astype(np.float32)
    back = dequantize(quantize(values, name), name)
    assert np.isfinite(back).all()
    assert np.abs(back - values).max() <= 0.13 * np.abs(values).max() + 1e-7


@pytest.mark.parametrize("name", k_quants.WEIGHTED)
def test_an_importance_moves_the_error_to_where_it_matters_less(name: str) -> None:
    exact = weights()
    importance = np.exp(np.random.default_rng(2).standard_normal(512)).astype(np.float32)
    plain, heeded = (dequantize(quantize(exact, name, each), name) for each in (None, importance))
    assert (importance * (exact - heeded) ** 2).sum() < 0.95 * (importance * (exact - plain) ** 2).sum()
    pages = np.stack([exact, exact])
    both = quantize(pages, name, np.stack([importance, np.ones_like(importance)]))
    assert np.array_equal(dequantize(both, name)[0], heeded)


def test_what_a_type_cant_hold_is_refused() -> None:
    for values, name, words in (
        (np.ones((2, 33), np.float32), "Q4_0", "blocks of 32"),
        (np.full((2, 32), np.nan, np.float32), "Q8_0", "not finite"),
        (np.full((2, 32), 1e6, np.float32), "F16", "beyond F16"),
        (np.ones((2, 32), np.float32), "IQ2_XS", "no type"),
    ):
        with pytest.raises(InputError, match=words):
            quantize(values, name)
    with pytest.raises(InputError, match="importance"):
        quantize(np.ones((2, 32), np.float32), "Q8_0", np.ones(32, np.float32))


def test_a_stored_array_behaves_like_the_numbers_behind_it() -> None:
    exact = weights(6, 64).reshape(2, 3, 64)
    stored = StoredArray(quantize(exact, "Q8_0"), "Q8_0")
    whole = dequantize(stored.data, "Q8_0")
    assert stored.shape == (2, 3, 64) and stored.ndim == 3 and len(stored) == 2 and type_of(stored) == "Q8_0"
    assert (
        np.array_equal(stored, whole) and np.array_equal(stored[1], whole[1]) and np.array_equal(stored[:1], whole[:1])
    )
    turned = swap_axes(stored)
    assert turned.shape == (2, 64, 3) and np.array_equal(turned, whole.swapaxes(1, 2))
    assert np.array_equal(turned[1], whole[1].T) and np.array_equal(swap_axes(turned), whole)
    flat = StoredArray(quantize(weights(6, 64), "Q4_0"), "Q4_0")
    order = np.array([3, 1, 5], np.int64)
    assert np.array_equal(take_rows(flat, order), as_floats(flat)[order])
    assert np.array_equal(join_rows([flat, flat]), np.concatenate([as_floats(flat)] * 2))
    assert in_type(flat, "Q4_0") is flat.data  # untouched
    assert np.array_equal(dequantize(in_type(turned, "F32"), "F32").reshape(2, 64, 3), np.asarray(turned))


def test_rows_of_unlike_shapes_are_not_joined() -> None:
    with pytest.raises(LayoutMismatch, match="shapes"):
        join_rows([np.zeros((2, 4), np.float32), np.zeros((2, 3), np.float32)])
