"""Recordings that were made to hurt: whatever they claim or unfold to, decoding ends in time and in memory."""

from __future__ import annotations

import asyncio
import io
import struct
import time

import numpy as np
import pytest
import soundfile

from duologue.errors import AudioError
from duologue.server import decode_upload, uploads
from duologue.server.uploads import Uploads, decode


def flac_bomb(hours: float = 1.0) -> bytes:
    """Hours of silence in a few hundred kilobytes."""
    buffer = io.BytesIO()
    with soundfile.SoundFile(buffer, "w", 8_000, 1, format="FLAC", subtype="PCM_16") as file:
        silence = np.zeros(8_000 * 60, np.float32)
        for _ in range(int(hours * 60)):
            file.write(silence)
    return buffer.getvalue()


def lying_wav(frames: int = 2**31 - 100, channels: int = 2, rate_hz: int = 48_000) -> bytes:
    """A header that promises far more than follows."""
    shape = struct.pack("<IHHIIHH", 16, 1, channels, rate_hz, rate_hz * 2 * channels % 2**32, 2 * channels, 16)
    head = b"RIFF" + struct.pack("<I", 2**32 - 1) + b"WAVEfmt " + shape
    return head + b"data" + struct.pack("<I", min(2**32 - 1, frames * 2)) + bytes(4_000)


def attempt(data: bytes, seconds: float = 30.0) -> str:
    try:
        audio = asyncio.run(decode(data, max_seconds=seconds, param="recording"))
    except AudioError as error:
        return error.message
    return f"{audio.seconds:.0f} s"


@pytest.mark.parametrize(
    "data",
    [flac_bomb(), lying_wav(channels=65), lying_wav(rate_hz=1), lying_wav(rate_hz=2**31 - 1), b"OggS" * 20_000],
    ids=["hours of silence", "65 channels", "1 Hz", "2 GHz", "pages of nothing"],
)
def test_a_bomb_is_refused_in_little_time(data: bytes) -> None:
    began = time.monotonic()
    assert not attempt(data).endswith(" s")
    assert time.monotonic() - began < uploads.DECODE_SECONDS


def test_a_promise_that_is_not_kept_gives_what_is_there() -> None:
    assert attempt(lying_wav()) == "0 s"


@pytest.mark.parametrize("limit", ["MEMORY_BYTES", "CPU_SECONDS", "time"])
def test_each_limit_holds_by_itself(limit: str, monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    """A decoder that eats memory, spins, or sleeps: the child ends and the server says so."""
    evil = {
        "MEMORY_BYTES": "x = bytearray(64 * 2**30)",
        "CPU_SECONDS": "while True: pass",
        "time": "import time; time.sleep(600)",
    }[limit]
    program = (
        f"from duologue.server import decode_upload as d\nd.CPU_SECONDS = 1\n"
        f"def evil(*_, **__):\n    {evil}\nd.read_audio = evil\nimport sys\nsys.exit(d.main(['30', '30']))"
    )
    real = asyncio.create_subprocess_exec

    async def start(executable: str, *_: str, **pipes: int) -> asyncio.subprocess.Process:
        return await real(executable, "-c", program, **pipes)

    monkeypatch.setattr(asyncio, "create_subprocess_exec", start)
    if limit == "time":
        monkeypatch.setattr(uploads, "DECODE_SECONDS", 2.0)
    began = time.monotonic()
    message = attempt(b"whatever")
    assert "too long" in message if limit == "time" else "within its limits" in message
    assert time.monotonic() - began < 20
    assert decode_upload.CPU_SECONDS > 1, "the real limit is as it was"


def test_more_recordings_than_can_wait_are_told_when_to_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    from starlette.datastructures import UploadFile

    from duologue.server.errors import ApiError

    async def unreadable(*_: object, **__: object) -> None:
        await asyncio.sleep(0.01)
        raise AudioError("It isn't audio.")

    monkeypatch.setattr(uploads, "decode", unreadable)

    async def main() -> list[object]:
        taking = Uploads(10_000)
        files = [UploadFile(io.BytesIO(b"x"), filename="../../a") for _ in range(uploads.MAX_WAITING + 3)]
        reading = (taking.read(file, max_seconds=1, param="a") for file in files)
        return await asyncio.gather(*reading, return_exceptions=True)

    outcomes = asyncio.run(main())
    refused = [one for one in outcomes if isinstance(one, ApiError)]
    assert [one.status for one in refused] == [503] * 3
    assert all("retry-after" in one.headers for one in refused)
    assert sum(isinstance(one, AudioError) for one in outcomes) == uploads.MAX_WAITING
