"""Is that somebody speaking, or only our own voice from the loudspeaker? Compares loudness over time, band by band.

Sound that the room gives back has the melody of loud and quiet that was played a moment ago, whatever the room does to
its waveform. It is no echo canceller: it tells echo from speech, and takes nothing away.
"""

from __future__ import annotations

import itertools

import numpy as np

from ..audio import Samples
from ..timebase import RATE_HZ
from .parts import Block

HOP = RATE_HZ * 16 // 1_000  # 16 ms
COMPARED = 40  # hops that are compared: 0.64 s
LONGEST_DELAY = 32  # hops: 0.5 s from the loudspeaker to the microphone's samples
EDGES_HZ = (150, 400, 800, 1_400, 2_200, 3_400, 5_500)
ALIKE = 0.75  # correlation from which it may be an echo; rooms give 0.77 and more
ALIKE_WITHIN = 0.65  # the same among the loud hops alone, where the beginning of speech says nothing: others reach 0.6
LOUD = 0.45  # share of the loudest hop's level from which a hop is loud
ENOUGH_HOPS = 8  # loud ones, before they are compared by themselves
FLOOR = 1e-7  # power below which a band holds nothing


class EchoGuard:
    """Watches one line. Not for two lines at once."""

    def __init__(self) -> None:
        self._heard = np.zeros((COMPARED, len(EDGES_HZ) - 1))
        self._played = np.zeros((COMPARED + LONGEST_DELAY, len(EDGES_HZ) - 1))
        frequencies = np.fft.rfftfreq(HOP, 1 / RATE_HZ)
        self._bands = [(frequencies >= low) & (frequencies < high) for low, high in itertools.pairwise(EDGES_HZ)]
        self._window = np.hanning(HOP)

    def push(self, block: Block) -> None:
        """Take in the next block."""
        self._heard = np.concatenate([self._heard, self._levels(block.heard)])[-len(self._heard) :]
        self._played = np.concatenate([self._played, self._levels(block.played)])[-len(self._played) :]

    def _levels(self, samples: Samples) -> np.ndarray:
        """(hops, bands) in decibels above the floor."""
        hops = samples[: len(samples) // HOP * HOP].reshape(-1, HOP) * self._window
        power = np.abs(np.fft.rfft(hops, axis=1)) ** 2 / HOP**2
        return np.stack([10 * np.log10(1 + power[:, band].sum(axis=1) / FLOOR) for band in self._bands], axis=1)

    def likeness(self, hops: np.ndarray | None = None) -> float:
        """Highest correlation of what was heard with what was played before, over all delays; 0 if nothing was.

        `hops` (COMPARED,) says which are compared; all if left out.
        """
        if not self._played.any() or not self._heard.any():
            return 0.0
        chosen = np.ones(COMPARED, bool) if hops is None else hops
        heard = _centred(self._heard[chosen])
        found = [
            _correlation(
                heard, _centred(self._played[LONGEST_DELAY - delay : LONGEST_DELAY - delay + COMPARED][chosen])
            )
            for delay in range(LONGEST_DELAY + 1)
        ]
        return max(found)

    @property
    def is_echo(self) -> bool:
        """Whether what is heard is what was played. Speech that begins just after ours rises from silence as ours did,
        so the loud part has to be alike by itself, too, as soon as there is enough of it."""
        if self.likeness() < ALIKE:
            return False
        levels = self._heard.sum(axis=1)
        loud = levels > LOUD * levels.max()
        return int(loud.sum()) < ENOUGH_HOPS or self.likeness(loud) >= ALIKE_WITHIN


def _centred(levels: np.ndarray) -> np.ndarray:
    return levels - levels.mean(axis=0)


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
    norm = float(np.sqrt((one**2).sum() * (other**2).sum()))
    return float((one * other).sum()) / norm if norm > 0 else 0.0
