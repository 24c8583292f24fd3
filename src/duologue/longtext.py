"""Long text: one speech made of several sentences, joined without clicks or silent gaps. Knows only samples.

Each sentence is spoken with the sound of those before it as context, and the codec runs on through the joins, so there
is no seam to hide; what is left to do is to shorten the silence where two sentences meet.
"""

from __future__ import annotations

import numpy as np

from .audio import Samples
from .timebase import RATE_HZ

BLOCK = RATE_HZ // 100  # 10 ms
QUIET_DBFS = -50.0
LONGEST_PAUSE_SECONDS = 0.4
FADE = RATE_HZ // 200  # 5 ms


class SentenceJoiner:
    """Passes samples on as they come; at a join it lets at most `pause_seconds` of silence through.

    Silence at the end of a sentence is held back until the next one begins to sound. Before the first sound of all,
    and within sentences, nothing is cut.
    """

    def __init__(self, pause_seconds: float = LONGEST_PAUSE_SECONDS) -> None:
        self._pause = int(pause_seconds * RATE_HZ)
        self._held = np.zeros(0, np.float32)  # quiet tail of what came so far
        self._sounded = False
        self.joining = False  # a sentence was announced and hasn't sounded yet
        self.taken = 0  # samples that came
        self.removed = 0  # of them, samples that were cut out
        self.seam = 0  # where the last cut lies in what leaves; what was cut out behind it would have been heard there

    def push(self, samples: Samples) -> Samples:
        """Take in samples (N,); returns those that may leave."""
        self.taken += len(samples)
        held = np.concatenate([self._held, samples])
        loud = _loud_blocks(held)
        if len(loud) == 0 and not self._sounded:
            return samples
        if len(loud) == 0:
            self._held = held
            return held[:0]
        if self.joining:
            held = self._shortened(held, int(loud[0]) * BLOCK)
            loud = _loud_blocks(held)
        self._sounded, self.joining = True, False
        end = (int(loud[-1]) + 1) * BLOCK if len(loud) else len(held)
        self._held = held[end:]
        return held[:end]

    def next_sentence(self) -> None:
        """Say that the samples from here on belong to the next sentence."""
        self.joining = self._sounded

    def finish(self) -> Samples:
        """What is still held: the last sentence's quiet end."""
        held, self._held = self._held, self._held[:0]
        return held

    def _shortened(self, held: Samples, quiet: int) -> Samples:
        """Cut the middle out of the first `quiet` samples if they are too many, fading over the cut."""
        surplus = quiet - self._pause
        if surplus <= 0 or self._pause < 2 * FADE:
            return held
        cut = self._pause // 2
        self.seam = self.taken - self.removed - len(held) + cut
        self.removed += surplus
        before, after = held[: cut + FADE], held[cut + surplus :]
        ramp = np.linspace(0.0, 1.0, FADE, dtype=np.float32)
        blend = before[cut:] * (1 - ramp) + after[:FADE] * ramp
        return np.concatenate([before[:cut], blend, after[FADE:]])


def _loud_blocks(samples: Samples) -> np.ndarray:
    """Indices of the 10 ms blocks that are heard; a last partial block counts as one."""
    blocks = -(-len(samples) // BLOCK)
    padded = np.zeros(blocks * BLOCK, np.float32)
    padded[: len(samples)] = samples
    power = np.mean(np.square(padded.reshape(blocks, BLOCK), dtype=np.float64), axis=1) if blocks else np.zeros(0)
    return np.flatnonzero(power > 10 ** (QUIET_DBFS / 10))
