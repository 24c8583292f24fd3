"""The hiss of the spectral voice: noise that every machine makes alike. Knows no network, and needs no torch."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

HISS_HOPS = 256  # the hiss repeats after this many hops: 2.56 s at 240 samples a hop, too long to be heard as a loop


def hiss_samples(hop_samples: int) -> npt.NDArray[np.float32]:
    """White Gaussian noise of unit power (HISS_HOPS, hop_samples): hop number modulo HISS_HOPS picks a row.

    Made from the sample's index by the splitmix64 finalizer and the Box-Muller transform.
    """
    index = np.arange(2 * HISS_HOPS * hop_samples, dtype=np.uint64)
    uniform = ((_splitmix64(index) >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
    radius, angle = np.sqrt(-2 * np.log(uniform[0::2])), 2 * math.pi * uniform[1::2]
    return (radius * np.cos(angle)).astype(np.float32).reshape(HISS_HOPS, hop_samples)


def _splitmix64(index: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    mixed = (index + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
