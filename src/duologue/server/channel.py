"""A bounded way from a worker thread to the event loop. Knows nothing of what it carries.

A full channel holds the thread up: that is how a slow reader pauses the row that speaks to it.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Generic, TypeVar

T = TypeVar("T")
LOOK_SECONDS = 0.1  # how often a writer that stands still looks whether it is wanted elsewhere
GRACE_SECONDS = 2.0  # a reader may take nothing for so long, whoever waits for the row


class ReaderGoneError(Exception):
    """The reading side has left, or took nothing for too long; there is nobody to work for."""


class Channel(Generic[T]):
    """Items in order, then an end that may carry an error. Build it on the event loop that will read it."""

    def __init__(
        self, capacity: int, stalled_seconds: float, wanted_elsewhere: Callable[[], bool] = lambda: False
    ) -> None:
        """A writer that stands still gives up after `stalled_seconds`, or soon once it is `wanted_elsewhere`."""
        self._loop = asyncio.get_running_loop()
        self._ready = asyncio.Event()
        self._changed = threading.Condition()
        self._items: deque[T] = deque()
        self._capacity = capacity
        self._stalled_seconds = stalled_seconds
        self._wanted_elsewhere = wanted_elsewhere
        self._ended = False
        self._error: BaseException | None = None
        self.reader_left = False
        self.held_seconds = 0.0  # how long the writer stood still for the reader
        self.is_held = False  # the writer stands still now

    def put(self, item: T) -> None:
        """Add an item from the worker thread, waiting for room. Raises ReaderGoneError."""
        with self._changed:
            began = time.monotonic()
            self.is_held = len(self._items) >= self._capacity
            free = self._wait_for_room(began)
            self.is_held = False
            self.held_seconds += time.monotonic() - began
            if self.reader_left or not free:
                raise ReaderGoneError("left" if self.reader_left else "stalled")
            self._items.append(item)
        self._wake()

    def _wait_for_room(self, began: float) -> bool:
        """False if the reader took nothing for too long."""
        while not self._changed.wait_for(lambda: self.reader_left or len(self._items) < self._capacity, LOOK_SECONDS):
            stood = time.monotonic() - began
            if stood >= self._stalled_seconds or (stood >= GRACE_SECONDS and self._wanted_elsewhere()):
                return False
        return True

    def end(self, error: BaseException | None = None) -> None:
        """Say from the worker thread that nothing more comes, and why if it failed."""
        with self._changed:
            self._ended, self._error = True, error
        self._wake()

    def leave(self) -> None:
        """Stop reading; the writer learns it at its next `put`, and a `get` under way comes to the end."""
        with self._changed:
            self.reader_left = self._ended = True
            self._items.clear()
            self._changed.notify_all()
        self._wake()

    async def get(self) -> T:
        """The next item. Raises StopAsyncIteration at the end, or the error that ended the work."""
        while True:
            with self._changed:
                if self._items:
                    item = self._items.popleft()
                    self._changed.notify_all()
                    return item
                if self._ended:
                    if self._error is not None:
                        raise self._error
                    raise StopAsyncIteration
                self._ready.clear()
            await self._ready.wait()

    def __aiter__(self) -> AsyncIterator[T]:
        return self

    async def __anext__(self) -> T:
        return await self.get()

    def _wake(self) -> None:
        # The loop may already be closed at shutdown: then nobody reads.
        try:
            self._loop.call_soon_threadsafe(self._ready.set)
        except RuntimeError:
            self.reader_left = True
