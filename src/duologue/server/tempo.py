"""Speech made faster or slower without changing its pitch, while it streams. Knows FFmpeg's `atempo` alone."""

from __future__ import annotations

import math
from fractions import Fraction

import av
import av.filter
import numpy as np

from ..timebase import RATE_HZ

SLOWEST, FASTEST = 0.25, 4.0
_ONE_FILTER = (0.5, 2.0)  # outside of these one atempo refuses (slower) or skips samples (faster)


class Tempo:
    """A chain of atempo filters. `speed` 2 halves the duration; 1 passes samples through untouched."""

    def __init__(self, speed: float) -> None:
        self._graph = None if speed == 1.0 else _graph(speed)
        self._pushed = 0

    def push(self, wav: np.ndarray) -> np.ndarray:
        """Samples (N,) float32 in, the stretched samples that are ready out."""
        if self._graph is None or not len(wav):
            return wav
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(wav, np.float32)[None], format="flt", layout="mono")
        frame.sample_rate, frame.pts = RATE_HZ, self._pushed
        self._pushed += len(wav)
        self._graph.push(frame)
        return self._pull()

    def finish(self) -> np.ndarray:
        """The last samples."""
        if self._graph is None or not self._pushed:
            return np.zeros(0, np.float32)
        self._graph.push(None)
        return self._pull()

    def _pull(self) -> np.ndarray:
        assert self._graph is not None
        pieces = [np.zeros(0, np.float32)]
        while True:
            try:
                frame = self._graph.pull()
            except (av.BlockingIOError, av.EOFError):
                return np.concatenate(pieces)
            assert isinstance(frame, av.AudioFrame)
            pieces.append(frame.to_ndarray().reshape(-1).astype(np.float32))


def _graph(speed: float) -> av.filter.Graph:
    low, high = _ONE_FILTER
    stages = max(1, math.ceil(abs(math.log(speed)) / math.log(high if speed > 1 else 1 / low)))
    graph = av.filter.Graph()
    previous = graph.add_abuffer(sample_rate=RATE_HZ, format="flt", layout="mono", time_base=Fraction(1, RATE_HZ))
    for _ in range(stages):
        stage = graph.add("atempo", f"{speed ** (1 / stages):.6f}")
        previous.link_to(stage)
        previous = stage
    sink = graph.add("abuffersink")
    previous.link_to(sink)
    graph.configure()
    return graph
