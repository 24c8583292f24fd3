"""Encoders for GGUF's Q4_K, Q5_K and Q6_K, and for Q4_0 and Q5_0 under an importance. Knows blocks, no tensors.

The layouts are ggml's (ggml-common.h); how scales are found is the encoder's own affair: here a small grid of steps,
each followed by the least-squares scale (and offset) for the levels it gave, the least squared error winning.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]

SUPER = 256  # values of a K type's block
FOUR, LOW = np.uint8(4), np.uint8(15)
STRETCHES = np.linspace(-0.9, 0.9, 10, dtype=np.float32)  # steps tried, as levels more or less than the range has


def encode(rows: Floats, name: str, importance: Floats | None = None) -> Bytes:
    """Round rows (R, n) to the type's bytes (R, n / block · bytes). `importance` (n,) weighs squared errors."""
    weights = np.ones(rows.shape[1], np.float32) if importance is None else _positive(importance)
    encoder, size = ENCODERS.get(name) or _WITH_IMPORTANCE[name]
    blocks = rows.reshape(-1, size)
    weighed = np.broadcast_to(weights, rows.shape).reshape(-1, size)
    return encoder(blocks, weighed).reshape(len(rows), -1)


def _positive(importance: Floats) -> Floats:
    """Weights of mean 1 without zeros: a column that was never used still has to be something."""
    values = np.maximum(np.asarray(importance, np.float32), 0)
    mean = float(values.mean())
    return np.maximum(values / mean, 1e-4).astype(np.float32) if mean > 0 else np.ones_like(values)


def _q4_k(blocks: Floats, weights: Floats) -> Bytes:
    head, levels = _scaled_with_offsets(blocks, weights, 15)
    return np.concatenate([head, _pairs(levels)], axis=1)


def _q5_k(blocks: Floats, weights: Floats) -> Bytes:
    head, levels = _scaled_with_offsets(blocks, weights, 31)
    return np.concatenate([head, _high_bits(levels, np.arange(8, dtype=np.uint8)), _pairs(levels & LOW)], axis=1)


def _high_bits(levels: Bytes, shifts: Bytes) -> Bytes:
    """What lies beyond four bits of (…, parts, 32), each part moved up by its shift, all parts in one byte."""
    moved: Bytes = np.bitwise_or.reduce((levels >> FOUR) << shifts[:, None], axis=-2)
    return moved


def _pairs(levels: Bytes) -> Bytes:
    """Four bits each of (B, 8, 32): even sub-blocks low, odd ones high."""
    pairs: Bytes = levels[:, 0::2] | (levels[:, 1::2] << FOUR)
    return pairs.reshape(len(levels), -1)


def _scaled_with_offsets(blocks: Floats, weights: Floats, top: int) -> tuple[Bytes, Bytes]:
    """The 16 bytes of scales and offsets of each block, and levels (B, 8, 32) from 0 to `top`."""
    values, heed = blocks.reshape(-1, 8, 32), weights.reshape(-1, 8, 32)
    steps, offsets = _fit_offset(values, heed, top)
    step_unit, offset_unit = _half_of(steps.max(axis=1) / 63), _half_of(offsets.max(axis=1) / 63)
    step_levels = _levels(steps, step_unit[:, None], 0, 63).astype(np.uint8)
    offset_levels = _levels(offsets, offset_unit[:, None], 0, 63).astype(np.uint8)
    real_steps = step_unit[:, None].astype(np.float32) * step_levels
    real_offsets = offset_unit[:, None].astype(np.float32) * offset_levels
    levels = _levels(values + real_offsets[..., None], real_steps[..., None], 0, top).astype(np.uint8)
    units = np.stack([step_unit, offset_unit], axis=1).view(np.uint8)
    return np.concatenate([units, _packed_six_bits(step_levels, offset_levels)], axis=1), levels


def _packed_six_bits(steps: Bytes, offsets: Bytes) -> Bytes:
    """Eight 6-bit scales and eight 6-bit offsets in 12 bytes, the way of K types."""
    first = (steps[:, :4] & 63) | ((steps[:, 4:] >> FOUR) << 6)
    second = (offsets[:, :4] & 63) | ((offsets[:, 4:] >> FOUR) << 6)
    third = (steps[:, 4:] & LOW) | ((offsets[:, 4:] & LOW) << FOUR)
    return np.concatenate([first, second, third], axis=1)


def _fit_offset(values: Floats, weights: Floats, top: int) -> tuple[Floats, Floats]:
    """Steps and offsets, both from 0 up, so that level · step - offset comes nearest to the values (…, n)."""
    low = np.minimum(values.min(axis=-1), 0)
    span = values.max(axis=-1) - low
    raised, weighed = values - low[..., None], weights * values
    best_step, best_offset = span / top, -low
    least = np.full(low.shape, np.inf, np.float32)
    sum_w, sum_x, sum_xx = weights.sum(axis=-1), weighed.sum(axis=-1), _dot(weighed, values)
    for stretch in STRETCHES:
        levels = _levels(raised, (span / (top + stretch))[..., None], 0, top)
        heeded = weights * levels
        sum_q, sum_qq, sum_qx = heeded.sum(axis=-1), _dot(heeded, levels), _dot(weighed, levels)
        determinant = sum_w * sum_qq - sum_q * sum_q
        step = _ratio(sum_w * sum_qx - sum_q * sum_x, determinant)
        base = _ratio(sum_qq * sum_x - sum_q * sum_qx, determinant)
        without = (base > 0) | (determinant <= 0)
        step = np.maximum(np.where(without, _ratio(sum_qx, sum_qq), step), 0)
        base = np.where(without, 0, base)
        told = step * (step * sum_qq - 2 * sum_qx) + base * (base * sum_w - 2 * sum_x + 2 * step * sum_q)
        error = sum_xx + told
        better = error < least
        least = np.where(better, error, least)
        best_step, best_offset = np.where(better, step, best_step), np.where(better, -base, best_offset)
    return best_step.astype(np.float32), best_offset.astype(np.float32)


def _q6_k(blocks: Floats, weights: Floats) -> Bytes:
    values, heed = blocks.reshape(-1, 16, 16), weights.reshape(-1, 16, 16)
    steps = _fit(values, heed, 32)
    peak: Floats = np.take_along_axis(steps, np.abs(steps).argmax(axis=1)[:, None], axis=1)
    unit = _half_of(peak / -128)
    step_levels = _levels(steps, unit, -128, 127).astype(np.int8)
    real = unit.astype(np.float32) * step_levels
    levels = (_levels(values, real[..., None], -32, 31) + 32).astype(np.uint8).reshape(-1, 2, 4, 32)
    low = ((levels[:, :, :2] & LOW) | ((levels[:, :, 2:] & LOW) << FOUR)).reshape(len(blocks), -1)
    high = _high_bits(levels, np.array([0, 2, 4, 6], np.uint8)).reshape(len(blocks), -1)
    return np.concatenate([low, high, step_levels.view(np.uint8), unit.view(np.uint8)], axis=1)


def _q4_0(blocks: Floats, weights: Floats) -> Bytes:
    unit, levels = _symmetric(blocks, weights, 8)
    return np.concatenate([unit, levels[:, :16] | (levels[:, 16:] << FOUR)], axis=1)


def _q5_0(blocks: Floats, weights: Floats) -> Bytes:
    unit, levels = _symmetric(blocks, weights, 16)
    high = np.packbits(levels >> FOUR, axis=1, bitorder="little")
    low = levels & LOW
    return np.concatenate([unit, high, low[:, :16] | (low[:, 16:] << FOUR)], axis=1)


def _symmetric(blocks: Floats, weights: Floats, reach: int) -> tuple[Bytes, Bytes]:
    """A float16 step as bytes (B, 2), and levels (B, n) from 0 to 2 · reach - 1, whose zero is `reach`."""
    unit = _half_of(_fit(blocks, weights, reach))[:, None]
    levels = _levels(blocks, unit.astype(np.float32), -reach, reach - 1) + reach
    return unit.view(np.uint8), levels.astype(np.uint8)


def _fit(values: Floats, weights: Floats, reach: int) -> Floats:
    """Steps, of either sign, so that levels from -reach to reach - 1 come nearest to the values (…, n)."""
    peak = np.take_along_axis(values, np.abs(values).argmax(axis=-1)[..., None], axis=-1)[..., 0]
    best, most = peak / -reach, np.zeros(peak.shape, np.float32)
    weighed = weights * values
    for stretch in (np.float32(0), *STRETCHES):
        levels = _levels(values, (peak / -(reach + stretch))[..., None], -reach, reach - 1)
        sum_qx, sum_qq = _dot(weighed, levels), _dot(weights * levels, levels)
        step = _ratio(sum_qx, sum_qq)
        told = step * sum_qx  # how much of the values' squares these levels account for
        better = told > most
        most, best = np.where(better, told, most), np.where(better, step, best)
    return best.astype(np.float32)


def _dot(left: Floats, right: Floats) -> Floats:
    """Products summed over the last axis."""
    products: Floats = np.einsum("...i,...i->...", left, right)
    return products


def _levels(values: Floats, step: npt.NDArray[np.floating], low: int, high: int) -> Floats:
    """Values in whole steps, within bounds; a step of 0 has only level 0."""
    inverse = _ratio(np.ones_like(step, np.float32), step.astype(np.float32))
    return np.clip(np.rint(values * inverse), low, high)


def _ratio(above: Floats, below: Floats) -> Floats:
    """above / below, and 0 where that has no finite answer."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        quotient = above / below
    return np.where(np.isfinite(quotient), quotient, 0).astype(np.float32)


def _half_of(values: npt.NDArray[np.floating]) -> npt.NDArray[np.float16]:
    return np.clip(values, -65504, 65504).astype(np.float16)


ENCODERS: dict[str, tuple[Callable[[Floats, Floats], Bytes], int]] = {
    "Q4_K": (_q4_k, SUPER),
    "Q5_K": (_q5_k, SUPER),
    "Q6_K": (_q6_k, SUPER),
}
_WITH_IMPORTANCE: dict[str, tuple[Callable[[Floats, Floats], Bytes], int]] = {"Q4_0": (_q4_0, 32), "Q5_0": (_q5_0, 32)}
WEIGHTED = (*ENCODERS, *_WITH_IMPORTANCE)
