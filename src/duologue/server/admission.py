"""Who may speak now, who waits, who is sent away. Counts rows; knows nothing of speech.

A request that can't start soon gets an answer at once (429 or 503 with Retry-After), never a long silence.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass

from .errors import ApiError, overloaded
from .settings import ServerSettings

LOOK_SECONDS = 0.25  # how often those who wait look whether the machine carries more rows than it did


@dataclass(eq=False)
class Permit:
    """The right to run one row. Give it back exactly once."""

    owner: Admission
    key: str
    released: bool = False

    def release(self) -> None:
        if not self.released:
            self.released = True
            self.owner._release(self)


class Admission:
    """First come, first served over `max_streams` rows, with a short bounded queue. For one event loop.

    `capacity` says how many of the rows may speak at present; it may change at any time.
    """

    def __init__(self, settings: ServerSettings, capacity: Callable[[], int] | None = None) -> None:
        self._settings = settings
        self._capacity = capacity or (lambda: settings.max_streams)
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._by_key: Counter[str] = Counter()
        self._idle = asyncio.Event()
        self._idle.set()
        self.active = 0
        self.draining = False

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @property
    def capacity(self) -> int:
        """Rows that may speak at the same time now."""
        return min(self._settings.max_streams, self._capacity())

    @property
    def has_room(self) -> bool:
        return not self.draining and (self.active < self.capacity or self._queue_has_room)

    @property
    def _queue_has_room(self) -> bool:
        return self.waiting < self._settings.max_waiting

    async def enter(self, key: str = "") -> Permit:
        """Wait for a row. Raises ApiError 429 (this caller has too many) or 503 (the server has)."""
        self._refuse_if_hopeless(key)
        self._by_key[key] += 1
        try:
            if self.active < self.capacity and not self._waiting:
                self._take()
            else:
                await self._queue()
        except BaseException:
            self._forget(key)
            raise
        return Permit(self, key)

    def _refuse_if_hopeless(self, key: str) -> None:
        retry = self._settings.max_wait_seconds
        if self.draining:
            raise overloaded("The server is shutting down.", retry_after=retry, code="server_draining")
        if self._by_key[key] >= self._settings.max_streams_per_key:
            message = f"This API key already has {self._by_key[key]} requests speaking or waiting."
            raise overloaded(message, retry_after=retry, status=429, code="rate_limit_exceeded")
        if self.active >= self.capacity and not self._queue_has_room:
            message = f"{self.active} rows speak, as many as go in real time, and the queue is full."
            raise overloaded(message, retry_after=retry)

    async def _queue(self) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            async with asyncio.timeout(self._settings.max_wait_seconds):
                while not turn.done():
                    await asyncio.wait([turn], timeout=LOOK_SECONDS)
                    self._let_in()
                turn.result()
        except BaseException as error:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self._free()  # the row came in the same moment as the end of waiting
            elif turn in self._waiting:
                self._waiting.remove(turn)
            if isinstance(error, TimeoutError):
                message = f"No row became free within {self._settings.max_wait_seconds:g} seconds."
                raise overloaded(message, retry_after=self._settings.max_wait_seconds) from None
            raise

    def _take(self) -> None:
        self.active += 1
        self._idle.clear()

    def _release(self, permit: Permit) -> None:
        self._forget(permit.key)
        self._free()

    def _forget(self, key: str) -> None:
        self._by_key[key] -= 1
        if not self._by_key[key]:
            del self._by_key[key]

    def _free(self) -> None:
        """A row became free: the first who waits may have it."""
        self.active -= 1
        self._let_in()
        if not self.active:
            self._idle.set()

    def _let_in(self) -> None:
        while self._waiting and self.active < self.capacity:
            turn = self._waiting.popleft()
            if not turn.done():
                self._take()
                turn.set_result(None)

    async def drain(self) -> bool:
        """Send newcomers and the queue away, then wait for running rows. False if some still ran at the end."""
        self.draining = True
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_exception(_draining())
        try:
            async with asyncio.timeout(self._settings.drain_seconds):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True


def _draining() -> ApiError:
    return overloaded("The server is shutting down.", retry_after=5, code="server_draining")
