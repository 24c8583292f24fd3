"""How many rows this machine speaks in real time, measured while they speak. Knows rows by their chunks of sound.

Throughput is what all rows together make, in seconds of speech per second. Each chunk says how long its row worked for
it; while so many rows worked, that stretch stands for its share of the time. What is promised stays below what was
measured: a row more than the machine carries makes every listener's sound stop now and then.
"""

from __future__ import annotations

import threading
from collections import deque

WINDOW_CHUNKS = 150  # about twelve seconds of speech
ENOUGH_CHUNKS = 10  # before them nothing is known
MARGIN = 0.8  # of what was measured: sentences begin with a prefill, and machines have other things to do


class Pace:
    """Any thread may tell and ask."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._chunks: deque[tuple[float, float]] = deque(maxlen=WINDOW_CHUNKS)

    def chunk(self, audio_seconds: float, worked_seconds: float, rows: int) -> None:
        """A row made so much sound in so much time, `rows` rows being at work. Waiting for readers is no work."""
        with self._lock:
            self._chunks.append((audio_seconds, worked_seconds / max(1, rows)))

    @property
    def throughput(self) -> float | None:
        """Seconds of speech per second, all rows together; None while too little was seen."""
        with self._lock:
            if len(self._chunks) < ENOUGH_CHUNKS:
                return None
            audio, share = (sum(column) for column in zip(*self._chunks, strict=True))
        return audio / share if share > 0 else None

    def rows(self, most: int) -> int:
        """How many rows can speak in real time: at least one, at most `most`."""
        throughput = self.throughput
        return most if throughput is None else max(1, min(most, int(MARGIN * throughput)))
