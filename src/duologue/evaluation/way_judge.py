"""In which of two ways was a word said? Compare the sound with both ways said by a voice that was told its phones.

The whole clip is aligned with each reference (dynamic time warping over Whisper's encoder, 50 vectors a second); what
counts is the mean distance along the path where the reference says the word. So a clip needs no times of its own, and
any speaker can be judged. Nearer on average over all references of a way: that way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .asr import FEATURES_PER_SECOND, Judge, Samples
from .said_words import SaidWord

Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Reference:
    """A sentence (N, D) in unit vectors, and the vectors at which its word is said."""

    vectors: Vectors
    first: int
    behind: int


def vectors(judge: Judge, samples: Samples) -> Vectors:
    """A clip at 24 kHz as unit vectors (N, D) around their mean, which takes away much of the speaker."""
    raw = judge.features(samples)
    centred = raw - raw.mean(axis=0)
    return np.asarray(centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-6), np.float32)


def reference(judge: Judge, said: SaidWord) -> Reference:
    """A reference from speech whose word's place is known."""
    heard = vectors(judge, said.samples)
    first = min(int(said.start * FEATURES_PER_SECOND), len(heard) - 1)
    return Reference(heard, first, max(first + 1, min(len(heard), round(said.end * FEATURES_PER_SECOND))))


def distance(clip: Vectors, against: Reference) -> float:
    """Mean cosine distance along the best alignment, where the reference says its word: 0 to 2."""
    costs = 1.0 - clip @ against.vectors.T
    path = align(costs)
    inside = (path[:, 1] >= against.first) & (path[:, 1] < against.behind)
    return float(costs[path[inside, 0], path[inside, 1]].mean())


def nearer(clip: Vectors, ways: Sequence[Sequence[Reference]]) -> tuple[int, float]:
    """Number of the nearer way, and by how much it is nearer."""
    means = [float(np.mean([distance(clip, each) for each in references])) for references in ways]
    best = int(np.argmin(means))
    return best, max(means) - means[best]


def align(costs: npt.NDArray[np.floating]) -> npt.NDArray[np.int64]:
    """The cheapest path (P, 2) from corner to corner of costs (N, M), in steps of one down, right or both."""
    rows, columns = costs.shape
    total = np.full((rows + 1, columns + 1), np.inf)
    total[0, 0] = 0.0
    steps = np.zeros((rows, columns), np.int8)
    for diagonal in range(rows + columns - 1):  # all cells of a diagonal at once
        i = np.arange(max(0, diagonal - columns + 1), min(rows, diagonal + 1))
        j = diagonal - i
        before = np.stack([total[i, j], total[i, j + 1], total[i + 1, j]])
        steps[i, j] = before.argmin(axis=0)
        total[i + 1, j + 1] = before.min(axis=0) + costs[i, j]
    path = [(rows - 1, columns - 1)]
    while path[-1] != (0, 0):
        i, j = path[-1]
        step = steps[i, j]
        path.append((i - (step != 2), j - (step != 1)))
    return np.array(path[::-1], np.int64)
