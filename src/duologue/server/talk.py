"""A spoken exchange: somebody's turn as sound in, our answer as words and sound out. It knows its
partners (talk_parts) by contract.

Heard sound and own speech both stay in the conversation, so the voice answers what it heard, not only what was meant.
The answer's sentences are spoken while the language model is still writing the next ones.
"""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import AsyncIterator

import numpy as np
from fastapi import APIRouter, Request
from fastapi.responses import Response, StreamingResponse

from ..audio import Audio
from ..timebase import RATE_HZ
from .conversations import HeldConversation
from .delivery import NO_BUFFERING, event
from .errors import ApiError, known
from .schemas import Sampling
from .sentences import SentenceBuffer
from .services import Here, Services
from .streams import Delivery

router = APIRouter(prefix="/v1/conversations")
HISTORY = 40  # turns that the language model is told


@router.post("/{conversation_id}/reply", summary="Answer somebody's turn; the body is 16-bit mono sound at 24 kHz")
async def reply(conversation_id: str, request: Request, here: Here) -> Response:
    """Events: talk.heard, then talk.sentence and talk.audio for each sentence, and talk.done with the times."""
    held = here.conversations.find(conversation_id)
    if here.talk.recogniser is None or here.talk.language_model is None:
        missing = " and ".join(part["name"].lower() for part in here.talk.describe() if not part["ready"])
        raise ApiError(503, f"This server can't answer: it lacks {missing}.", code="talk_unavailable")
    sound = _sound_of(await request.body(), here.settings.max_heard_seconds)
    exchange = Exchange(here, held, sound, request.state.client_key)
    return StreamingResponse(exchange.events(), media_type="text/event-stream", headers=NO_BUFFERING)


def _sound_of(body: bytes, max_seconds: float) -> Audio:
    samples = np.frombuffer(body[: len(body) // 2 * 2], "<i2").astype(np.float32) / np.float32(32768)
    if not RATE_HZ // 10 <= len(samples) <= max_seconds * RATE_HZ:
        message = f"The sound lasts {len(samples) / RATE_HZ:.1f} s; 0.1 to {max_seconds:g} s are possible."
        raise ApiError(400, message, code="invalid_audio_length")
    return Audio(samples)


class Exchange:
    """One turn of theirs and one of ours."""

    def __init__(self, here: Services, held: HeldConversation, sound: Audio, key: str) -> None:
        self._here, self._held, self._sound, self._key = here, held, sound, key
        self._began = time.monotonic()
        self._times: dict[str, int] = {}

    async def events(self) -> AsyncIterator[str]:
        """Everything, as server-sent events. A failure is the last event."""
        try:
            async for line in self._events():
                yield line
        except Exception as error:  # the answer has begun, so this is the only way left to tell
            yield event("error", **known(error).body())

    async def _events(self) -> AsyncIterator[str]:
        assert self._here.talk.recogniser is not None
        words = await asyncio.to_thread(self._here.talk.recogniser.transcribe, self._sound)
        self._note("heard_ms")
        yield event("talk.heard", text=words)
        if any(letter.isalnum() for letter in words):
            sentences: asyncio.Queue[str | None] = asyncio.Queue()
            turns = [*await self._held.turns(HISTORY), ("user", words)]
            thinking = asyncio.create_task(self._think(turns, sentences))
            try:
                await self._held.hear(self._sound, words, None)
                while (sentence := await sentences.get()) is not None:
                    yield event("talk.sentence", text=sentence)
                    async for line in self._speak(sentence):
                        yield line
                await thinking
            finally:
                thinking.cancel()
        self._note("done_ms")
        yield event("talk.done", times=self._times)

    async def _think(self, turns: list[tuple[str, str]], sentences: asyncio.Queue[str | None]) -> None:
        """Put the answer's sentences into the queue as they become whole, and None at its end."""
        assert self._here.talk.language_model is not None
        buffer = SentenceBuffer()
        try:
            async for text in self._here.talk.language_model.reply(turns):
                for sentence in buffer.push(text):
                    self._note("first_sentence_ms")
                    sentences.put_nowait(sentence)
            for sentence in buffer.flush():
                sentences.put_nowait(sentence)
        finally:
            sentences.put_nowait(None)

    async def _speak(self, sentence: str) -> AsyncIterator[str]:
        stream, _ = await self._held.say(sentence, None, Sampling(), Delivery("pcm"), self._key)
        self._note("first_audio_ms")
        try:
            async for chunk in stream.chunks():
                yield event("talk.audio", audio=base64.b64encode(chunk).decode())
        finally:
            stream.leave()

    def _note(self, name: str) -> None:
        self._times.setdefault(name, round(1000 * (time.monotonic() - self._began)))
