"""Rotary positions: neighbours turn together, and only distances matter."""

from __future__ import annotations

import math

import torch

from duologue.nn.rope import inverse_wavelengths, rotate, rotation


def test_each_pair_of_neighbours_turns_by_its_own_angle():
    frequencies = inverse_wavelengths(4, 10_000.0)
    torch.testing.assert_close(frequencies, torch.tensor([1.0, 0.01], dtype=torch.float64))
    x = torch.tensor([[1.0, 0.0, 0.0, 2.0]])
    turned = rotate(x, *rotation(torch.tensor([3]), frequencies))
    wanted = [math.cos(3), math.sin(3), -2 * math.sin(0.03), 2 * math.cos(0.03)]
    torch.testing.assert_close(turned, torch.tensor([wanted]))


def test_products_depend_on_the_distance_only_even_after_hours():
    frequencies = inverse_wavelengths(64, 10_000.0)
    query, key = torch.randn(64, generator=torch.Generator().manual_seed(0)), torch.ones(64)

    def product(start: int) -> torch.Tensor:
        turned = (
            rotate(x[None], *rotation(torch.tensor([p]), frequencies)) for x, p in ((query, start + 9), (key, start))
        )
        return torch.linalg.vecdot(*turned)

    torch.testing.assert_close(product(0), product(10_000_000), atol=1e-4, rtol=0)


def test_half_precision_comes_back_as_it_went_in():
    cosines, sines = rotation(torch.arange(5), inverse_wavelengths(8, 10_000.0))
    assert cosines.dtype == torch.float32
    assert rotate(torch.randn(2, 5, 8, dtype=torch.bfloat16), cosines, sines).dtype == torch.bfloat16
