"""Short-lived keys for browsers: issued over HTTP with a real key, good for opening sessions. Knows no session.

They live in this process: behind several processes, ask and connect through the same one.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import overloaded

PREFIX = "ek_"
MAX_TICKETS = 1_000
PATH = "/v1/realtime"


@dataclass(frozen=True)
class Ticket:
    """One key, who asked for it, and the settings that its sessions begin with."""

    value: str
    owner: str
    expires: float
    session: Mapping[str, Any]


class Tickets:
    """All that are good now."""

    def __init__(self) -> None:
        self._tickets: dict[str, Ticket] = {}

    def issue(self, owner: str, seconds: float, session: Mapping[str, Any]) -> Ticket:
        """A new one. Raises ApiError 503 when too many are out."""
        self._sweep()
        if len(self._tickets) >= MAX_TICKETS:
            raise overloaded(
                f"{MAX_TICKETS} client secrets are out.", retry_after=60, code="client_secret_limit_reached"
            )
        ticket = Ticket(f"{PREFIX}{secrets.token_hex(24)}", owner, time.time() + seconds, session)
        self._tickets[ticket.value] = ticket
        return ticket

    def find(self, value: str) -> Ticket | None:
        """The ticket with this value, if it is still good. Guessing takes 2^192 tries, so a table look-up is safe."""
        ticket = self._tickets.get(value) if value.startswith(PREFIX) else None
        return ticket if ticket is not None and ticket.expires > time.time() else None

    def _sweep(self) -> None:
        now = time.time()
        self._tickets = {value: ticket for value, ticket in self._tickets.items() if ticket.expires > now}
