"""Clients that misbehave: they leave, read slowly, or send what no client should. Nothing but sockets.

Each takes a server's port and returns what the server answered (its first bytes), or nothing.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import socket
import struct
from collections.abc import Callable

HEAD = "Host: 127.0.0.1\r\nContent-Type: application/json\r\n"
UPGRADE = (
    b"GET /v1/audio/speech/stream HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
LONG = "This is a sentence that takes quite a while to be spoken from its start to its very end. " * 3
BOUNDARY = "----duologue"


def post(path: str, body: bytes, head: str = HEAD) -> bytes:
    """An HTTP request as bytes."""
    return f"POST {path} HTTP/1.1\r\n{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def speech(seed: int, text: str = LONG, **more: object) -> bytes:
    """A request for speech as bytes."""
    asked = {"model": "tts-1", "input": text, "seed": seed, "response_format": "pcm", **more}
    return post("/v1/audio/speech", json.dumps(asked).encode())


def form(path: str, fields: dict[str, bytes], file_field: str, data: bytes) -> bytes:
    """A multipart form with one file as bytes."""
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'.encode() + value + b"\r\n"
        for name, value in fields.items()
    ]
    given = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{file_field}"; filename="../../etc/x.wav"\r\n\r\n'
    body = b"".join(parts) + given.encode() + data + f"\r\n--{BOUNDARY}--\r\n".encode()
    return post(path, body, f"Host: 127.0.0.1\r\nContent-Type: multipart/form-data; boundary={BOUNDARY}\r\n")


def frame(opcode: int, payload: bytes, *, masked: bool = True, length: int | None = None) -> bytes:
    """A WebSocket frame; `length` may lie, and clients must mask theirs."""
    size = len(payload) if length is None else length
    mask = 0x80 if masked else 0
    if size < 126:
        head = struct.pack("!BB", opcode, mask | size)
    elif size < 65_536:
        head = struct.pack("!BBH", opcode, mask | 126, size)
    else:
        head = struct.pack("!BBQ", opcode, mask | 127, size)
    return head + (b"\0\0\0\0" if masked else b"") + payload


def text_frame(message: object) -> bytes:
    """A whole message as JSON."""
    return frame(0x81, json.dumps(message).encode())


SPOKEN = text_frame({"type": "input.text", "text": LONG}) + text_frame({"type": "input.done"})


async def vanish(port: int, draw: random.Random) -> bytes:
    """Ask for speech in one of several ways and leave at a random moment, politely or not."""
    kind = draw.choice(["speech", "sse", "mp3", "half a request", "socket"])
    if kind == "socket":
        sent = UPGRADE + SPOKEN
    elif kind == "half a request":
        whole = speech(draw.randrange(10**6))
        sent = whole[: draw.randrange(1, len(whole))]
    else:
        more = {"sse": {"stream_format": "sse"}, "mp3": {"response_format": "mp3"}}.get(kind, {})
        sent = speech(draw.randrange(10**6), **more)
    return await exchange(port, sent, draw.uniform(0.0, 1.5), abruptly=draw.random() < 0.5)


async def exchange(port: int, sent: bytes, seconds: float, *, abruptly: bool = False, take: int = 2**20) -> bytes:
    """Send bytes, take in so many bytes or for so long, leave; `abruptly` resets the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    received = b""
    try:
        async with asyncio.timeout(seconds):
            writer.write(sent)
            await writer.drain()
            while len(received) < take and (data := await reader.read(take)):
                received += data
    except (TimeoutError, OSError):
        pass
    if abruptly:
        given = writer.get_extra_info("socket")
        given.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.close()
    return received


def slow_reader(port: int, request: bytes) -> socket.socket:
    """A connection that has asked for a lot and takes nothing; close it yourself."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect(("127.0.0.1", port))
    connection.sendall(request)
    return connection


def nonsense(draw: random.Random) -> bytes:
    """Something that is not a request that this server knows."""
    return draw.choice(_KINDS)(draw)


def _broken_json(draw: random.Random) -> bytes:
    body = draw.choice(
        [b"{", b"[" * 50_000, b'{"model":"tts-1","input":"\\ud800"}', b"\xff\xfe\0", b'{"input":NaN}', b""]
    )
    return post(draw.choice(["/v1/audio/speech", "/v1/conversations", "/v1/audio/speech/batch"]), body)


def _broken_http(draw: random.Random) -> bytes:
    return draw.choice(
        [
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + os.urandom(64),  # TLS to a plain port
            b"GET / HTTP/9.9\r\n\r\n",
            b"POST /v1/audio/speech HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -5\r\n\r\n",
            b"POST /v1/audio/speech HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
            b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"a" * 200_000 + b"\r\n\r\n",
            b"GET /%00%ff/../../etc/passwd HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
            os.urandom(500),
        ]
    )


def _broken_socket(draw: random.Random) -> bytes:
    return UPGRADE + draw.choice(
        [
            frame(0x81, b'{"type":"input.text"', masked=True),
            frame(0x81, b"\xff\xfe\xfd"),
            frame(0x81, b"unmasked", masked=False),
            frame(0x8F, b"no such opcode"),
            frame(0xF1, b"reserved bits"),
            frame(0x81, b"x", length=2**62),
            frame(0x80, b"a continuation of nothing"),
            frame(0x09, b"fragmented ping"),
            frame(0x88, b"\x00"),
            text_frame({"type": "session.config", "speed": "fast", "voice": {"id": 7}}),
            text_frame([{"type": "input.text"}] * 1_000),
            frame(0x82, os.urandom(3_000)),
            text_frame({"type": "input.text", "text": "word " * 100_000}),
        ]
    )


def _broken_form(draw: random.Random) -> bytes:
    data = draw.choice([b"", os.urandom(2_000), b"RIFF\xff\xff\xff\xffWAVEfmt ", b"fLaC" + os.urandom(400)])
    whole = form("/v1/audio/voice_consents", {"name": b"\xff" * 10}, "recording", data)
    return whole[: draw.randrange(200, len(whole))] if draw.random() < 0.5 else whole


_KINDS: list[Callable[[random.Random], bytes]] = [_broken_json, _broken_http, _broken_socket, _broken_form]
