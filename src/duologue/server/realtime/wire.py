"""The way to one client: events out, in order, each with an id; and sound as the bytes that were agreed on.

Knows the socket and the three audio formats; nothing of conversations.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import secrets
from typing import Any, Literal

import numpy as np
import soxr
from fastapi import WebSocket, WebSocketDisconnect

from ...audio import Samples
from ...audio_files import to_s16le
from ...timebase import RATE_HZ
from ..errors import ApiError
from . import g711

FormatName = Literal["audio/pcm", "audio/pcmu", "audio/pcma"]


def new_id(kind: str) -> str:
    """An id in OpenAI's manner, such as item_6f…"""
    return f"{kind}_{secrets.token_hex(10)}"


class Wire:
    """Sends events; several tasks may."""

    def __init__(self, socket: WebSocket) -> None:
        self._socket = socket
        self._sending = asyncio.Lock()

    async def send(self, kind: str, **fields: Any) -> None:
        """Send one event. Raises WebSocketDisconnect when the client has gone."""
        async with self._sending:
            try:
                await self._socket.send_json({"type": kind, "event_id": new_id("event"), **fields})
            except RuntimeError as error:  # starlette's, for a socket that was closed by this side
                raise WebSocketDisconnect(1006) from error

    async def fail(self, error: ApiError, event_id: str | None = None) -> None:
        """Tell an error, and which of the client's events it answers."""
        await self.send("error", error={**error.body()["error"], "event_id": event_id})

    async def close(self, code: int = 1000) -> None:
        """Say good-bye."""
        await self._socket.close(code)


class Hearing:
    """Base64 in one format in, samples at 24 kHz out. Keeps the low-pass running from piece to piece."""

    def __init__(self, name: FormatName) -> None:
        self._name = name
        self._resampler = None if name == "audio/pcm" else soxr.ResampleStream(g711.RATE_HZ, RATE_HZ, 1, "float32")

    def decode(self, text: str) -> Samples:
        """Raises ApiError 400 for anything but base64 of whole samples."""
        try:
            data = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            raise ApiError(400, "The audio isn't base64.", code="invalid_audio", param="audio") from None
        if self._resampler is None:
            if len(data) % 2:
                message = f"{len(data)} bytes are no whole 16-bit samples."
                raise ApiError(400, message, code="invalid_audio", param="audio")
            return np.frombuffer(data, "<i2").astype(np.float32) / np.float32(32_768)
        narrow = g711.decode_ulaw(data) if self._name == "audio/pcmu" else g711.decode_alaw(data)
        return np.asarray(self._resampler.resample_chunk(narrow), np.float32)


class Speaking:
    """Samples at 24 kHz in, base64 in one format out."""

    def __init__(self, name: FormatName) -> None:
        self._name = name
        self._resampler = None if name == "audio/pcm" else soxr.ResampleStream(RATE_HZ, g711.RATE_HZ, 1, "float32")

    def encode(self, samples: Samples, last: bool = False) -> str:
        """The bytes that are ready; `last` gives what the low-pass still holds. May be empty."""
        if self._resampler is None:
            return base64.b64encode(to_s16le(samples)).decode()
        narrow = np.asarray(self._resampler.resample_chunk(samples, last=last), np.float32)
        data = g711.encode_ulaw(narrow) if self._name == "audio/pcmu" else g711.encode_alaw(narrow)
        return base64.b64encode(data).decode()
