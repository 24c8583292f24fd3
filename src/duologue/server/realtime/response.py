"""One response: words from the language model or from the client, spoken sentence by sentence, told as events.

However it ends (to its end, cancelled, failed), every part that was opened is closed and response.done comes last.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from fastapi import WebSocketDisconnect

from ...audio import Samples
from ...timebase import FRAME_SAMPLES, RATE_HZ
from ..errors import ApiError, known
from ..schemas import Sampling
from ..sentences import SentenceBuffer
from ..services import Services
from ..streams import Delivery, SpeechStream
from ..voice_store import StoredVoice
from .configuration import Format, Modality, ResponseRequest
from .items import Item, Items
from .memory import Memory
from .wire import Speaking, Wire, new_id


@dataclass(frozen=True)
class Order:
    """What a response is to be, with the session's settings filled in."""

    request: ResponseRequest
    modality: Modality
    format: Format
    voice: StoredVoice
    speed: float
    instructions: str
    max_tokens: int | None
    given: tuple[Item, ...] | None  # the past that the client gives in place of the conversation
    text: str | None  # what to say word for word; None: the language model decides
    speech_ended: float | None = None  # when the turn that it answers fell silent

    @property
    def in_conversation(self) -> bool:
        return self.request.conversation == "auto"


class Response:
    """Made from an order; `run` once."""

    def __init__(self, here: Services, wire: Wire, items: Items, memory: Memory, order: Order, key: str) -> None:
        self._here, self._wire, self._items, self._memory = here, wire, items, memory
        self._order, self._key = order, key
        self._speaking = Speaking(order.format.type)
        self._work: asyncio.Task[None] | None = None
        self._reason: str | None = None
        self._limited = False
        self._samples = 0
        self._times: dict[str, int] = {}
        self._began = time.monotonic()
        self.id = new_id("resp")
        self.item: Item | None = None
        self.sounds_until = 0.0  # when a listener who plays at once will have heard it all

    def cancel(self, reason: str) -> None:
        """Stop within two frames; `reason` is turn_detected or client_cancelled."""
        if self._reason is None:
            self._reason = reason
            if self._work is not None:
                self._work.cancel()

    @property
    def is_cancelled(self) -> bool:
        return self._reason is not None

    async def run(self) -> None:
        """From response.created to response.done."""
        await self._wire.send("response.created", response=self._shown("in_progress"))
        status, error = "completed", None
        if self._reason is None:
            self._work = asyncio.ensure_future(self._write() if self._order.modality == "text" else self._speak())
            try:
                await self._work
            except asyncio.CancelledError:
                if self._reason is None:
                    raise
            except WebSocketDisconnect:
                raise
            except Exception as failure:  # a response's failure is its outcome; the session goes on
                status, error = "failed", known(failure)
        if self._reason is not None:
            status = "cancelled"
        elif self._limited:
            status = "incomplete"
        await self._close(status, error)

    async def _write(self) -> None:
        """Text alone."""
        async for text in self._texts():
            if self.item is None:
                await self._open("output_text")
            assert self.item is not None
            self.item.content[0]["text"] += text
            await self._delta("response.output_text.delta", text)
        if self.item is not None and self._order.in_conversation:
            await self._memory.hear(self.item, None)

    async def _speak(self) -> None:
        sentences: asyncio.Queue[str | None] = asyncio.Queue()
        thinking = asyncio.ensure_future(self._think(sentences))
        try:
            while (sentence := await sentences.get()) is not None and not self._limited:
                await self._say(sentence)
            await thinking
        finally:
            thinking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await thinking

    async def _think(self, sentences: asyncio.Queue[str | None]) -> None:
        """Whole sentences as soon as they are whole, and None at the end."""
        buffer = SentenceBuffer()
        try:
            async for text in self._texts():
                for sentence in buffer.push(text):
                    sentences.put_nowait(sentence)
            for sentence in buffer.flush():
                sentences.put_nowait(sentence)
        finally:
            sentences.put_nowait(None)

    async def _texts(self) -> AsyncIterator[str]:
        if self._order.text is not None:
            yield self._order.text
            return
        assert self._here.talk.language_model is not None
        past = await self._past()
        self._note("words_ms")
        async for text in self._here.talk.language_model.reply(past):
            self._note("first_text_ms")
            yield text

    async def _past(self) -> list[tuple[str, str]]:
        """What the language model is told, once everything that was said is read."""
        source: Iterable[Item] = self._items if self._order.given is None else self._order.given
        items = [item for item in source if item is not self.item]
        await _finished(item.words for item in items)
        told = [("system", self._order.instructions)] if self._order.instructions else []
        return [*told, *((item.role, item.text) for item in items if item.text)]

    async def _say(self, sentence: str) -> None:
        if self.item is None:
            await self._open("output_audio")
        assert self.item is not None
        self._note("first_sentence_ms")
        said = self.item.text
        text = f" {sentence}" if said else sentence
        self.item.set_text(said + text)
        await self._delta("response.output_audio_transcript.delta", text)
        stream = await self._begin(sentence)
        try:
            async for chunk in stream.chunks():
                await self._sound(np.frombuffer(chunk, "<i2").astype(np.float32) / np.float32(32_768))
                if self._limited:
                    return
        finally:
            stream.leave()

    async def _begin(self, sentence: str) -> SpeechStream:
        delivery = Delivery("pcm", self._order.speed)
        if not self._order.in_conversation:
            return (await self._here.speak(sentence, self._order.voice, Sampling(), delivery, self._key))[0]
        assert self.item is not None
        await _finished(item.heard for item in self._items)
        return await self._memory.speak(self.item, sentence, delivery)

    async def _sound(self, samples: Samples, last: bool = False) -> None:
        if encoded := self._speaking.encode(samples, last):
            is_first = "first_audio_ms" not in self._times
            self._note("first_audio_ms")
            await self._delta("response.output_audio.delta", encoded)
            if is_first:
                await self._tell_times()
        assert self.item is not None
        self._samples += len(samples)
        self.item.seconds = self._samples / RATE_HZ
        self.sounds_until = max(self.sounds_until, time.monotonic()) + len(samples) / RATE_HZ
        self._limited = self._order.max_tokens is not None and self._frames >= self._order.max_tokens

    @property
    def _frames(self) -> int:
        return -(-self._samples // FRAME_SAMPLES)

    async def _open(self, kind: str) -> None:
        item = self.item = Item("assistant", status="in_progress", speed=self._order.speed)
        await self._tell("response.output_item.added", item=item.shown())
        if self._order.in_conversation:
            before = self._items.insert(item)
            await self._wire.send("conversation.item.added", item=item.shown(), previous_item_id=before)
        where = "text" if kind == "output_text" else "transcript"
        item.content.append({"type": kind, where: ""})
        await self._tell("response.content_part.added", item_id=item.id, content_index=0, part=self._part(""))

    async def _close(self, status: str, error: ApiError | None) -> None:
        if self.item is not None:
            await self._close_item(self.item, status)
        self._note("done_ms")
        done = self._shown(status, error)
        done["usage"] = await self._usage()
        await self._wire.send("response.done", response=done)
        await self._tell_times()

    async def _tell_times(self) -> None:
        """An event of our own, at the first sound and at the end; clients of OpenAI's events pass over it."""
        await self._wire.send("duologue.response_times", response_id=self.id, times=self._times)

    async def _close_item(self, item: Item, status: str) -> None:
        item.status = "completed" if status == "completed" else "incomplete"
        place = {"item_id": item.id, "content_index": 0}
        if self._order.modality == "audio":
            if status == "completed":
                await self._sound(np.zeros(0, np.float32), last=True)
            await self._tell("response.output_audio.done", **place)
            await self._tell("response.output_audio_transcript.done", **place, transcript=item.text)
        else:
            await self._tell("response.output_text.done", **place, text=item.text)
        await self._tell("response.content_part.done", **place, part=self._part(item.text))
        await self._tell("response.output_item.done", item=item.shown())
        if self._order.in_conversation:
            await self._wire.send(
                "conversation.item.done", item=item.shown(), previous_item_id=self._items.before(item)
            )

    async def _delta(self, kind: str, delta: str) -> None:
        assert self.item is not None
        await self._tell(kind, item_id=self.item.id, content_index=0, delta=delta)

    async def _tell(self, kind: str, **fields: Any) -> None:
        await self._wire.send(kind, response_id=self.id, output_index=0, **fields)

    def _part(self, text: str) -> dict[str, str]:
        return (
            {"type": "text", "text": text} if self._order.modality == "text" else {"type": "audio", "transcript": text}
        )

    def _shown(self, status: str, error: ApiError | None = None) -> dict[str, Any]:
        return {
            "id": self.id,
            "object": "realtime.response",
            "status": status,
            "status_details": self._details(status, error),
            "output": [self.item.shown()] if self.item is not None else [],
            "output_modalities": [self._order.modality],
            "audio": {"output": {"format": self._order.format.told(), "voice": self._order.voice.id}},
            "conversation_id": self._memory.id if self._order.in_conversation else None,
            "max_output_tokens": self._order.max_tokens or "inf",
            "metadata": self._order.request.metadata,
            "usage": None,
        }

    def _details(self, status: str, error: ApiError | None) -> dict[str, Any] | None:
        if status == "failed" and error is not None:
            return {"type": status, "error": {"type": error.type, "code": error.code, "message": error.message}}
        if status == "cancelled":
            return {"type": status, "reason": self._reason}
        return {"type": status, "reason": "max_output_tokens"} if status == "incomplete" else None

    async def _usage(self) -> dict[str, Any]:
        """Tokens in this server's sense: frames of sound, and the units that the voice reads for text."""
        words = "" if self.item is None else self.item.text
        units = await asyncio.to_thread(self._here.count_units, words) if words else 0
        heard = self._memory.context_frames if self._order.in_conversation else 0
        return {
            "total_tokens": heard + units + self._frames,
            "input_tokens": heard,
            "output_tokens": units + self._frames,
            "input_token_details": {"audio_tokens": heard, "text_tokens": 0, "cached_tokens": heard},
            "output_token_details": {"audio_tokens": self._frames, "text_tokens": units},
        }

    def _note(self, name: str) -> None:
        """Milliseconds since the other side fell silent, or since the request."""
        since = self._order.speech_ended if self._order.speech_ended is not None else self._began
        self._times.setdefault(name, round(1_000 * (time.monotonic() - since)))


async def _finished(tasks: Iterable[asyncio.Task[Any] | None]) -> None:
    """Wait for all, whatever became of them."""
    if pending := [task for task in tasks if task is not None and not task.done()]:
        await asyncio.wait(pending)
