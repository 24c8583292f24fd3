"""One response: words from the language model or from the client, spoken sentence by sentence; functions it asks for.

However it ends (to its end, cancelled, failed), every part that was opened is closed and response.done comes last:
telling.py sees to that.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterable
from typing import Any

import numpy as np
from fastapi import WebSocketDisconnect

from ...agent.parts import FunctionCall
from ...audio import Samples
from ...timebase import RATE_HZ
from ..errors import known
from ..schemas import Sampling
from ..sentences import SentenceBuffer
from ..services import Services
from ..streams import Delivery, SpeechStream
from .items import Item, Items
from .memory import Memory
from .orders import Order
from .telling import Telling
from .thinking import chat_choice, chat_tools, messages_of
from .wire import Speaking, Wire


class Response:
    """Made from an order; `run` once."""

    def __init__(self, here: Services, wire: Wire, items: Items, memory: Memory, order: Order, key: str) -> None:
        self._here, self._items, self._memory = here, items, memory
        self._order, self._key = order, key
        self._telling = Telling(here, wire, items, memory, order)
        self._speaking = Speaking(order.format.type)
        self._work: asyncio.Task[None] | None = None
        self._reason: str | None = None
        self._limited = self._finished = False
        self.item: Item | None = None
        self.sounds_until = 0.0  # when a listener who plays at once will have heard it all

    @property
    def id(self) -> str:
        return self._telling.id

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
        await self._telling.begin()
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
        await self._telling.end(status, error, self._reason)

    # --- words and functions ---------------------------------------------------------------------------------------

    async def _write(self) -> None:
        """Text alone, and functions."""
        async for thought in self._thoughts():
            if isinstance(thought, FunctionCall):
                await self._call(thought)
                continue
            if self.item is None:
                self.item = await self._telling.open_message()
            self.item.content[0]["text"] += thought
            await self._telling.delta("output_text", thought)
        if self.item is not None and self._order.in_conversation:
            await self._memory.hear(self.item, None)

    async def _speak(self) -> None:
        thoughts: asyncio.Queue[str | FunctionCall | None] = asyncio.Queue()
        thinking = asyncio.ensure_future(self._think(thoughts))
        try:
            while (thought := await thoughts.get()) is not None and not self._limited:
                await (self._call(thought) if isinstance(thought, FunctionCall) else self._say(thought))
            await thinking
            await self._finish_sound()
        finally:
            thinking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await thinking

    async def _think(self, thoughts: asyncio.Queue[str | FunctionCall | None]) -> None:
        """Whole sentences as soon as they are whole, then functions, and None at the end."""
        buffer = SentenceBuffer()
        try:
            async for thought in self._thoughts():
                whole = buffer.flush() if isinstance(thought, FunctionCall) else buffer.push(thought)
                for sentence in whole:
                    thoughts.put_nowait(sentence)
                if isinstance(thought, FunctionCall):
                    thoughts.put_nowait(thought)
            for sentence in buffer.flush():
                thoughts.put_nowait(sentence)
        finally:
            thoughts.put_nowait(None)

    async def _thoughts(self) -> AsyncIterator[str | FunctionCall]:
        if self._order.text is not None:
            yield self._order.text
            return
        model = self._here.talk.language_model
        assert model is not None
        source: Iterable[Item] = self._items if self._order.given is None else self._order.given
        items = [item for item in source if item is not self.item]
        await _finished(item.words for item in items)  # once everything that was said is read
        self._telling.note("words_ms")
        tools = chat_tools(self._order.tools)
        messages = messages_of(items, self._order.instructions)
        async for thought in model.respond(messages, tools, chat_choice(self._order.tool_choice)):
            self._telling.note("first_text_ms")
            yield thought

    async def _call(self, call: FunctionCall) -> None:
        """Functions come after what was said."""
        await self._finish_sound()
        await self._telling.close_message()
        await self._telling.call(call)

    # --- sound -----------------------------------------------------------------------------------------------------

    async def _say(self, sentence: str) -> None:
        if self.item is None:
            self.item = await self._telling.open_message()
        self._telling.note("first_sentence_ms")
        said = self.item.text
        text = f" {sentence}" if said else sentence
        self.item.set_text(said + text)
        await self._telling.delta("output_audio_transcript", text)
        stream = await self._begin(self.item, sentence)
        try:
            async for chunk in stream.chunks():
                await self._sound(np.frombuffer(chunk, "<i2").astype(np.float32) / np.float32(32_768))
                if self._limited:
                    return
        finally:
            stream.leave()

    async def _begin(self, item: Item, sentence: str) -> SpeechStream:
        delivery = Delivery("pcm", self._order.speed)
        if not self._order.in_conversation:
            return (await self._here.speak(sentence, self._order.voice, Sampling(), delivery, self._key))[0]
        await _finished(item.heard for item in self._items)
        return await self._memory.speak(item, sentence, delivery)

    async def _sound(self, samples: Samples, last: bool = False) -> None:
        telling, item = self._telling, self.item
        assert item is not None
        if encoded := self._speaking.encode(samples, last):
            is_first = telling.note("first_audio_ms")
            await telling.delta("output_audio", encoded)
            if is_first:
                await telling.tell_times()
        telling.samples += len(samples)
        item.seconds = telling.samples / RATE_HZ
        self.sounds_until = max(self.sounds_until, time.monotonic()) + len(samples) / RATE_HZ
        self._limited = self._order.max_tokens is not None and telling.frames >= self._order.max_tokens

    async def _finish_sound(self) -> None:
        """Give out what the low-pass still holds, once."""
        if self.item is not None and self._order.modality == "audio" and not (self._limited or self._finished):
            self._finished = True
            await self._sound(np.zeros(0, np.float32), last=True)


async def _finished(tasks: Iterable[asyncio.Task[Any] | None]) -> None:
    """Wait for all, whatever became of them."""
    if pending := [task for task in tasks if task is not None and not task.done()]:
        await asyncio.wait(pending)
