"""What an operator can set about the server, and nothing about models or routes."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError


@dataclass(frozen=True)
class ServerSettings:
    """Limits and addresses of one server process. Times are in seconds, sizes in bytes unless named otherwise."""

    host: str = "127.0.0.1"
    port: int = 8000
    model: str | None = None  # None: the embedded voice
    device: str = "auto"
    engine: str = "auto"
    voices_folder: Path | None = None  # created voices live here; None: they are kept in memory only
    state_folder: Path | None = None  # conversations survive the process here; None: they end with it
    api_keys: tuple[str, ...] = ()  # none: anyone who can reach the port may speak
    allowed_origins: tuple[str, ...] = ()  # web pages of other origins that may use this server

    watermark_key: str = ""  # not empty: outgoing speech carries the noise tag of this key

    max_streams: int = 8  # rows that speak at the same time
    real_time: bool = False  # of these, admit no more than the machine speaks in real time; `duologue serve` does
    max_waiting: int = 16  # requests that may queue for a row
    max_wait_seconds: float = 5.0  # longest silence before the answer is 503
    max_streams_per_key: int = 64
    buffer_chunks: int = 375  # encoded chunks (30 s) held for a slow reader before its row pauses
    stalled_seconds: float = 60.0  # a client that sends or takes nothing for this long, when it should, is let go
    drain_seconds: float = 20.0  # how long running speech may finish at shutdown

    max_characters: int = 20_000
    max_request_bytes: int = 16 * 2**20
    max_upload_bytes: int = 10 * 2**20
    max_requests: int = 1_000  # under way at the same time, WebSockets included; more are 503
    max_bytes_under_way: int = 256 * 2**20  # bodies of all requests under way; more are 503
    max_voice_seconds: float = 30.0
    max_heard_seconds: float = 60.0
    max_voices: int = 200
    written_consent: bool = False  # a typed consent phrase is enough; nobody can check who typed it
    max_batch_items: int = 32

    max_conversations: int = 256
    max_warm_conversations: int = 32  # how many keep their keys and values in memory
    conversation_idle_seconds: float = 300.0  # then keys and values go; codes and text stay
    conversation_ttl_seconds: float = 3_600.0  # then the conversation goes

    max_realtime_sessions: int = 64
    realtime_session_seconds: float = 3_600.0  # how long one may last
    realtime_idle_seconds: float = 600.0  # how long one may stay without a message from its client

    def __post_init__(self) -> None:
        counts = (
            "max_streams max_streams_per_key buffer_chunks max_characters max_request_bytes max_upload_bytes "
            "max_requests max_bytes_under_way max_batch_items max_conversations max_warm_conversations "
            "max_realtime_sessions"
        )
        for name in counts.split():
            if getattr(self, name) < 1:
                raise InputError(f"{name} should be at least 1, not {getattr(self, name)}.", field=name)
        if self.stalled_seconds <= 0:
            raise InputError(f"stalled_seconds is {self.stalled_seconds}; clients need some.", field="stalled_seconds")
        for name in ("max_waiting", "max_voices", "max_wait_seconds", "drain_seconds"):
            if getattr(self, name) < 0:
                raise InputError(f"{name} can't be negative, but is {getattr(self, name)}.", field=name)
        if any(not key.strip() for key in self.api_keys):
            raise InputError("An API key is empty.", hint="Remove it or give it a value.", field="api_keys")

    @property
    def is_public(self) -> bool:
        """Whether other machines can reach the address that the server binds."""
        if self.host == "localhost":
            return False
        try:
            return not ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return True
