"""HTTP connections that don't wait for ever: for a request that never comes, or a reader that takes nothing.

uvicorn bounds neither, and an application can't: only the transport can be cut. Knows uvicorn's h11 protocol alone.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

REQUEST_FACTOR = 5  # a whole request may take so many times the patience for one piece of it


def patient_protocol(seconds: float) -> type[H11Protocol]:
    """A class for uvicorn's `http` option. A client whose turn it is (to send more of a request, or to take more of an
    answer) may do nothing for so many seconds; one that waits for its answer may wait on. A request that dribbles in
    is cut off too.
    """

    class PatientProtocol(H11Protocol):
        _timer: asyncio.TimerHandle | None = None
        _asks_since: float | None = None  # when a request began that isn't complete yet

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._wind()

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            now = self.loop.time()
            self._asks_since = now if self._asks_since is None else self._asks_since
            if now - self._asks_since > REQUEST_FACTOR * seconds:
                self.transport.abort()
                return
            self._wind()
            super().data_received(data)
            if self.cycle is not None and not self.cycle.more_body:
                self._asks_since = None

        def pause_writing(self) -> None:
            self._wind()
            super().pause_writing()

        def resume_writing(self) -> None:
            self._wind()
            super().resume_writing()

        def handle_websocket_upgrade(self, event: Any) -> None:
            self._stop()  # that protocol sends pings
            super().handle_websocket_upgrade(event)
            self._stop()

        def _wind(self) -> None:
            self._stop()
            self._timer = self.loop.call_later(seconds, self._look)

        def _stop(self) -> None:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

        def _look(self) -> None:
            is_ours = self.cycle is not None and not self.cycle.response_complete and not self.cycle.more_body
            if is_ours and not self.flow.write_paused:
                self._wind()
            else:
                self.transport.abort()

    return PatientProtocol
