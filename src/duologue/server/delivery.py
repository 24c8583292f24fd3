"""A stream of speech as an HTTP answer: raw bytes, or server-sent events. Knows no model.

The status line is sent after the first frame exists, so every failure before it has a proper status. A failure later
cuts the connection (raw) or becomes a speech.audio.error event (SSE).
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from fastapi.responses import StreamingResponse

from .audio_formats import FORMATS
from .errors import ApiError
from .notice import HEADER
from .schemas import SayRequest
from .streams import SpeechStream

NO_BUFFERING = {"cache-control": "no-cache", "x-accel-buffering": "no"}


def answer(
    stream: SpeechStream, asked: SayRequest, count_units: Callable[[], int], headers: Mapping[str, str]
) -> StreamingResponse:
    """The response that carries a begun stream to the client."""
    first_audio_ms = round(1000 * stream.figures.first_audio_seconds)
    sent = {"x-first-audio-ms": str(first_audio_ms), **HEADER, **NO_BUFFERING, **headers}
    if asked.stream_format == "sse":
        return StreamingResponse(events(stream, count_units), media_type="text/event-stream", headers=sent)
    content_type = FORMATS[asked.response_format].content_type
    return StreamingResponse(stream.chunks(), headers={"content-type": content_type, **sent})


async def events(stream: SpeechStream, count_units: Callable[[], int]) -> AsyncIterator[str]:
    """OpenAI's speech events: the bytes of the asked format in base64, then the usage."""
    told = 0  # words
    try:
        async for chunk in stream.chunks():
            begun = [word.begun() for word in stream.figures.words[told:]]
            told += len(begun)
            words = {"words": begun} if begun else {}
            yield event("speech.audio.delta", audio=base64.b64encode(chunk).decode(), **words)
    except ApiError as error:
        yield event("speech.audio.error", **error.body())
        return
    counted = usage(stream, await asyncio.to_thread(count_units))
    yield event("speech.audio.done", usage=counted, **words_of(stream))


def event(kind: str, **fields: Any) -> str:
    """One server-sent event."""
    return f"data: {json.dumps({'type': kind, **fields})}\n\n"


def words_of(stream: SpeechStream) -> dict[str, Any]:
    """When each word of a finished speech sounded, if that was asked for and can be told."""
    return {"words": [word.whole() for word in stream.figures.words]} if stream.figures.words else {}


def usage(stream: SpeechStream, input_tokens: int) -> dict[str, Any]:
    """OpenAI's counts (text units in, 80 ms frames out) and our timings."""
    figures = stream.figures
    return {
        "input_tokens": input_tokens,
        "output_tokens": figures.frames,
        "total_tokens": input_tokens + figures.frames,
        "audio_seconds": round(figures.audio_seconds, 3),
        "first_audio_ms": round(1000 * figures.first_audio_seconds),
        "elapsed_ms": round(1000 * figures.seconds),
    }
