"""The rule of drawing: exact, the same in numpy and torch, free of bias, and only over real codes."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from duologue.engine.base import Sampling
from duologue.engine.sampling import check_sampling, forbidden_codes, pick, pick_torch, uniform
from duologue.errors import InputError, WeightsDamaged
from tests.csm.sizes import ALIGNED, PLAIN

LOGITS = arrays(np.float32, st.integers(1, 40), elements=st.sampled_from([-5.0, -1.0, 0.0, 0.5, 0.5, 2.0, 3.25, 7.0]))


def test_uniforms_are_fixed_for_ever() -> None:
    """Other engines compute the same hash; these values hold them to it."""
    assert uniform(0, 0, 0) == 0.0
    assert uniform(1, 0, 0) == 0.28176129772258496
    assert uniform(0, 1, 0) == 0.6045338375640893
    assert uniform(2**64 - 1, 1124, 31) == 0.8028649113667655


def test_uniforms_are_evenly_spread_and_unrelated() -> None:
    for a, b in (((1, 0), (0, 1)), ((1, 0), (1, 1)), ((0, 1), (1, 1))):
        table = np.array(
            [[uniform(7 + a[0] * i, 3 + a[1] * i, 5), uniform(9 + b[0] * i, 2 + b[1] * i, 6)] for i in range(4000)]
        )
        assert np.abs(table.mean(0) - 0.5).max() < 5 * math.sqrt(1 / 12 / 4000)
        assert abs(np.corrcoef(table.T)[0, 1]) < 5 / math.sqrt(4000)
        counts = np.histogram(table[:, 0], bins=20, range=(0, 1))[0]
        assert ((counts - 200) ** 2 / 200).sum() < 50  # chi-square with 19 degrees of freedom


@given(LOGITS, st.floats(0, 1, exclude_max=True), st.integers(0, 45), st.sampled_from([0.0, 0.5, 0.9, 1.0, 3.0]))
def test_a_pick_follows_the_rule_word_by_word(logits: np.ndarray, u: float, top_k: int, temperature: float) -> None:
    picked = pick(logits, u, Sampling(temperature, top_k))
    ranked = sorted(range(len(logits)), key=lambda code: (-logits[code], code))
    if temperature == 0.0:
        assert picked == ranked[0]
        return
    kept = ranked[: top_k or None]
    weights = [math.exp((float(logits[code]) - float(logits[kept[0]])) / temperature) for code in kept]
    below = 0.0
    for code, weight in zip(kept, weights, strict=True):
        low, below = below, below + weight / sum(weights)
        if picked == code:
            assert low - 1e-6 <= u <= below + 1e-6
            return
    pytest.fail(f"{picked} is not among the {top_k} largest")


@given(
    st.lists(
        st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 12), st.sampled_from([0.0, 0.7, 1.0])),
        min_size=1,
        max_size=5,
    ),
    st.integers(0, 2**32 - 1),
)
def test_torch_picks_what_numpy_picks(rows: list[tuple[float, int, float]], seed: int) -> None:
    random = np.random.default_rng(seed)
    logits = np.round(random.standard_normal((len(rows), 12)) * 2, 1).astype(np.float32)  # rounded, so that ties occur
    logits[random.random(logits.shape) < 0.2] = -np.inf
    logits[:, 3] = 1.0
    samplings = [Sampling(temperature, top_k) for _, top_k, temperature in rows]
    uniforms = torch.tensor([u for u, _, _ in rows], dtype=torch.float64)
    wanted = [pick(logits[b], u, samplings[b]) for b, (u, _, _) in enumerate(rows)]
    assert pick_torch(torch.from_numpy(logits), uniforms, samplings).tolist() == wanted


def test_draws_have_the_softmax_probabilities() -> None:
    logits = np.array([0.0, 1.0, 2.0, -np.inf, 1.5], np.float32)
    counts = np.zeros(5)
    for frame in range(20_000):
        counts[pick(logits, uniform(11, frame, 0), Sampling(1.0, 0))] += 1
    wanted = np.exp(logits) / np.exp(logits).sum()
    assert counts[3] == 0
    assert np.abs(counts / 20_000 - wanted).max() < 0.015


def test_ties_go_to_the_lowest_code() -> None:
    logits = np.array([1.0, 5.0, 5.0, 5.0], np.float32)
    assert pick(logits, 0.0, Sampling(0.0)) == 1
    assert pick(logits, 0.999, Sampling(1.0, top_k=2)) == 2
    assert pick(logits, 0.999, Sampling(1.0, top_k=3)) == 3


def test_codes_that_the_codec_does_not_know_are_never_drawn() -> None:
    assert np.flatnonzero(forbidden_codes(PLAIN, 0, True)).tolist() == [32, 33, 34]
    assert np.flatnonzero(forbidden_codes(ALIGNED, 0, True)).tolist() == []
    assert np.flatnonzero(forbidden_codes(ALIGNED, 0, False)).tolist() == [32]
    assert np.flatnonzero(forbidden_codes(ALIGNED, 1, True)).tolist() == [32]


def test_logits_without_a_number_are_reported() -> None:
    for value in (np.nan, -np.inf, np.inf):
        with pytest.raises(WeightsDamaged):
            pick(np.full(4, value, np.float32), 0.5, Sampling())


@pytest.mark.parametrize(
    "sampling", [Sampling(-0.1), Sampling(1e-30), Sampling(float("nan")), Sampling(1.0, -1), Sampling(1e9)]
)
def test_impossible_sampling_is_refused(sampling: Sampling) -> None:
    with pytest.raises(InputError):
        check_sampling(sampling)
