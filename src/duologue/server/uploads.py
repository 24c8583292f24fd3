"""Audio files from strangers, decoded in bounded time and memory, in another process. Knows no route."""

from __future__ import annotations

import asyncio
import sys

import numpy as np
from fastapi import UploadFile

from ..audio import Audio
from ..errors import AudioError
from .errors import ApiError, overloaded

DECODE_SECONDS = 30.0
AT_ONCE = 2
MAX_WAITING = 16  # uploads that may wait for a decoder


class Uploads:
    """Takes in recordings, a few at a time. For one event loop."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._free = asyncio.Semaphore(AT_ONCE)
        self._waiting = 0

    async def read(self, file: UploadFile, *, max_seconds: float, param: str) -> Audio:
        """An uploaded recording as sound. Raises ApiError 413 if it is too large, AudioError if it can't be used."""
        if self._waiting >= MAX_WAITING:
            raise overloaded("Too many recordings wait to be decoded.", retry_after=DECODE_SECONDS / 2)
        self._waiting += 1
        try:
            data = await self._bytes(file, param)
            async with self._free:
                return await decode(data, max_seconds=max_seconds, param=param)
        finally:
            self._waiting -= 1

    async def _bytes(self, file: UploadFile, param: str) -> bytes:
        data = await file.read(self._max_bytes + 1)
        if len(data) > self._max_bytes:
            raise ApiError(413, f"{param} is larger than {self._max_bytes} bytes.", param=param, code="file_too_large")
        return data


async def decode(data: bytes, *, max_seconds: float, param: str) -> Audio:
    """Bytes of an audio file as sound. Raises AudioError naming `param`."""
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "duologue.server.decode_upload", str(max_seconds)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        samples, reason = await asyncio.wait_for(child.communicate(data), DECODE_SECONDS)
    except TimeoutError:
        raise AudioError("The file took too long to decode.", hint="Is it audio?", field=param) from None
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    if child.returncode == AudioError.exit_code:
        raise AudioError(reason.decode(errors="replace").strip(), field=param)
    if child.returncode != 0:
        hint = "It may be damaged, or not be audio."
        raise AudioError("The file could not be decoded within its limits.", hint=hint, field=param)
    return Audio(np.frombuffer(samples, "<f4").astype(np.float32))
