"""What a client is told of one response, in OpenAI's order: items and parts opened, filled and closed, response.done
last. Knows the shapes of the events; neither words nor sound are made here.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from ...agent.parts import FunctionCall
from ...timebase import FRAME_SAMPLES
from ..errors import ApiError
from ..services import Services
from .items import Item, Items
from .memory import Memory
from .orders import Order
from .wire import Wire, new_id


class Telling:
    """The events of one response."""

    def __init__(self, here: Services, wire: Wire, items: Items, memory: Memory, order: Order) -> None:
        self._here, self._wire, self._items, self._memory, self._order = here, wire, items, memory, order
        self._began = time.monotonic()
        self._times: dict[str, int] = {}
        self._open: Item | None = None  # the message that is being filled
        self.id = new_id("resp")
        self.output: list[Item] = []
        self.samples = 0  # of sound that were sent

    @property
    def frames(self) -> int:
        return -(-self.samples // FRAME_SAMPLES)

    async def begin(self) -> None:
        """response.created"""
        await self._wire.send("response.created", response=self._shown("in_progress"))

    async def open_message(self) -> Item:
        """A message of the voice's, with its one part."""
        spoken = self._order.modality == "audio"
        kind, where = ("output_audio", "transcript") if spoken else ("output_text", "text")
        item = Item("assistant", status="in_progress", speed=self._order.speed)
        await self._add(item)
        self._open = item
        item.content.append({"type": kind, where: ""})
        await self._tell("response.content_part.added", item_id=item.id, content_index=0, part=self._part(""))
        return item

    async def delta(self, kind: str, delta: str) -> None:
        """More of the message: "output_audio", "output_audio_transcript" or "output_text"."""
        assert self._open is not None
        await self._tell(f"response.{kind}.delta", item_id=self._open.id, content_index=0, delta=delta)

    async def close_message(self, status: str = "completed") -> None:
        """Close the message and its part, if one is open."""
        if self._open is None:
            return
        item, place = self._open, {"item_id": self._open.id, "content_index": 0}
        item.status = "completed" if status == "completed" else "incomplete"
        if self._order.modality == "audio":
            await self._tell("response.output_audio.done", **place)
            await self._tell("response.output_audio_transcript.done", **place, transcript=item.text)
        else:
            await self._tell("response.output_text.done", **place, text=item.text)
        await self._tell("response.content_part.done", **place, part=self._part(item.text))
        await self._done(item)
        self._open = None

    async def call(self, call: FunctionCall) -> None:
        """A function that the client is to call; what it gives comes back as an item."""
        item = Item(None, status="in_progress", call=FunctionCall(call.call_id, call.name, ""))
        await self._add(item)
        item.call, item.status = call, "completed"
        place = {"item_id": item.id, "call_id": call.call_id}
        kind = "response.function_call_arguments"
        await self._tell(f"{kind}.delta", **place, delta=call.arguments)
        await self._tell(f"{kind}.done", **place, name=call.name, arguments=call.arguments)
        await self._done(item)

    async def end(self, status: str, error: ApiError | None, reason: str | None) -> None:
        """Close what is open, then response.done."""
        await self.close_message(status)
        self.note("done_ms")
        done = self._shown(status)
        done["status_details"] = _details(status, error, reason)
        done["usage"] = await self._usage()
        await self._wire.send("response.done", response=done)
        await self.tell_times()

    def note(self, name: str) -> bool:
        """Keep when something happened first, in ms since the other side fell silent, or since the request."""
        is_new = name not in self._times
        since = self._order.speech_ended if self._order.speech_ended is not None else self._began
        self._times.setdefault(name, round(1_000 * (time.monotonic() - since)))
        return is_new

    async def tell_times(self) -> None:
        """An event of our own, at the first sound and at the end; clients of OpenAI's events pass over it."""
        await self._wire.send("duologue.response_times", response_id=self.id, times=self._times)

    async def _add(self, item: Item) -> None:
        self.output.append(item)
        await self._tell("response.output_item.added", item=item.shown())
        if self._order.in_conversation:
            before = self._items.insert(item)
            await self._wire.send("conversation.item.added", item=item.shown(), previous_item_id=before)

    async def _done(self, item: Item) -> None:
        await self._tell("response.output_item.done", item=item.shown())
        if self._order.in_conversation:
            before = self._items.before(item)
            await self._wire.send("conversation.item.done", item=item.shown(), previous_item_id=before)

    async def _tell(self, kind: str, **fields: Any) -> None:
        await self._wire.send(kind, response_id=self.id, output_index=len(self.output) - 1, **fields)

    def _part(self, text: str) -> dict[str, str]:
        spoken = self._order.modality == "audio"
        return {"type": "audio", "transcript": text} if spoken else {"type": "text", "text": text}

    def _shown(self, status: str) -> dict[str, Any]:
        return {
            "id": self.id,
            "object": "realtime.response",
            "status": status,
            "status_details": None,
            "output": [item.shown() for item in self.output],
            "output_modalities": [self._order.modality],
            "audio": {"output": {"format": self._order.format.told(), "voice": self._order.voice.id}},
            "conversation_id": self._memory.id if self._order.in_conversation else None,
            "max_output_tokens": self._order.max_tokens or "inf",
            "metadata": self._order.request.metadata,
            "usage": None,
        }

    async def _usage(self) -> dict[str, Any]:
        """Tokens in this server's sense: frames of sound, and the units that the voice reads for text."""
        words = " ".join(item.text for item in self.output if item.text)
        units = await asyncio.to_thread(self._here.count_units, words) if words else 0
        heard = self._memory.context_frames if self._order.in_conversation else 0
        return {
            "total_tokens": heard + units + self.frames,
            "input_tokens": heard,
            "output_tokens": units + self.frames,
            "input_token_details": {"audio_tokens": heard, "text_tokens": 0, "cached_tokens": heard},
            "output_token_details": {"audio_tokens": self.frames, "text_tokens": units},
        }


def _details(status: str, error: ApiError | None, reason: str | None) -> dict[str, Any] | None:
    if status == "failed" and error is not None:
        return {"type": status, "error": {"type": error.type, "code": error.code, "message": error.message}}
    if status == "cancelled":
        return {"type": status, "reason": reason}
    return {"type": status, "reason": "max_output_tokens"} if status == "incomplete" else None
