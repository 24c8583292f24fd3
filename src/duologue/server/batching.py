"""Continuous batching: one thread that owns the engine and steps every row that is ready, together.

To whoever speaks it looks like an Engine of their own: `frames` with one request blocks until the shared step that
carried it is done. Rows join and leave between any two steps. Knows nothing of text, sound or sockets.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field

import numpy as np

from ..csm.config import CsmConfig
from ..engine.base import Cache, Engine, Frame, FrameRequest
from ..errors import Cancelled

PREFILL_ROWS = 64  # a long past is taken in pieces of this size, so that others' frames go on in between
LINGER = 0.25  # share of the last step's time to wait for rows that were in it and aren't back yet

Observer = Callable[[int, float], None]


@dataclass
class _Prefill:
    cache: Cache
    rows: np.ndarray
    positions: np.ndarray
    done: Future[None] = field(default_factory=Future)
    taken: int = 0


@dataclass
class _Step:
    request: FrameRequest
    done: Future[Frame] = field(default_factory=Future)


class BatchingEngine:
    """An Engine that many threads may use at once. `observe(rows, seconds)` hears of every step."""

    def __init__(self, engine: Engine, max_rows: int, observe: Observer | None = None) -> None:
        self._engine = engine
        self._max_rows = max_rows
        self._observe = observe
        self._changed = threading.Condition()
        self._steps: deque[_Step] = deque()
        self._prefills: deque[_Prefill] = deque()
        self._closed = False
        self._last_rows = 0
        self._last_seconds = 0.0
        self.config: CsmConfig = engine.config
        self.name = engine.name
        self._thread = threading.Thread(target=self._run, name="duologue-engine", daemon=True)
        self._thread.start()

    def new_cache(self) -> Cache:
        return self._engine.new_cache()

    def prefill(self, cache: Cache, rows: np.ndarray, positions: np.ndarray) -> None:
        """Take in a past; blocks until it is in. Raises Cancelled once the engine is closed."""
        work = _Prefill(cache, rows, positions)
        with self._changed:
            self._refuse_if_closed()
            self._prefills.append(work)
            self._changed.notify()
        work.done.result()

    def frames(self, requests: list[FrameRequest]) -> list[Frame]:
        """Step these rows together with everybody else's; blocks until all are stepped."""
        work = [_Step(request) for request in requests]
        with self._changed:
            self._refuse_if_closed()
            self._steps.extend(work)
            self._changed.notify()
        return [step.done.result() for step in work]

    def close(self) -> None:
        """Finish the step that runs, refuse all later ones, and end the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise Cancelled("The engine was closed.")

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or self._steps or self._prefills)
                if self._closed:
                    self._fail_the_rest()
                    return
                self._wait_for_companions()
                batch = [self._steps.popleft() for _ in range(min(len(self._steps), self._max_rows))]
                prefill = self._prefills[0] if self._prefills else None
            if batch:
                self._step(batch)
            if prefill is not None:
                self._take_in(prefill)

    def _wait_for_companions(self) -> None:
        """Rows of the last step are decoding their codes now; a short wait keeps them in one batch."""
        wanted = min(self._last_rows, self._max_rows)
        if self._steps and not self._prefills:
            self._changed.wait_for(lambda: self._closed or len(self._steps) >= wanted, LINGER * self._last_seconds)

    def _step(self, batch: list[_Step]) -> None:
        began = time.perf_counter()
        try:
            frames = self._engine.frames([step.request for step in batch])
        except Exception as error:  # the border of the engine's thread: each speaker gets the failure
            for step in batch:
                step.done.set_exception(error)
            return
        self._last_rows, self._last_seconds = len(batch), time.perf_counter() - began
        if self._observe is not None:
            self._observe(self._last_rows, self._last_seconds)
        for step, frame in zip(batch, frames, strict=True):
            step.done.set_result(frame)

    def _take_in(self, work: _Prefill) -> None:
        """Feed one piece of a past; the rest waits for its next turn among the others."""
        piece = slice(work.taken, work.taken + PREFILL_ROWS)
        try:
            self._engine.prefill(work.cache, work.rows[piece], work.positions[piece])
        except Exception as error:  # the border of the engine's thread
            self._leave_prefills(work)
            work.done.set_exception(error)
            return
        work.taken += PREFILL_ROWS
        self._leave_prefills(work)
        if work.taken >= len(work.rows):
            work.done.set_result(None)
            return
        with self._changed:
            self._prefills.append(work)

    def _leave_prefills(self, work: _Prefill) -> None:
        with self._changed:
            self._prefills.remove(work)

    def _fail_the_rest(self) -> None:
        error = Cancelled("The engine was closed.")
        for step in self._steps:
            step.done.set_exception(error)
        for prefill in self._prefills:
            prefill.done.set_exception(error)
        self._steps.clear()
        self._prefills.clear()
