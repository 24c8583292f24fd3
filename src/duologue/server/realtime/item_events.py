"""The client's events about items: create, retrieve, delete, truncate. The voice's memory is memory.py's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from ...audio import Samples
from ...timebase import samples_to_seconds
from ..errors import ApiError
from ..services import Services
from .items import Item, Items
from .items_given import parse_item
from .memory import Memory
from .terms import Fields, Terms
from .turn_taking import Committed
from .wire import Hearing, Wire


class Holder(Protocol):
    """What these events ask of a session."""

    here: Services
    wire: Wire
    items: Items
    memory: Memory
    terms: Terms

    def understand(self, item: Item, sound: Samples | None, turn: Committed | None) -> None:
        """Read an item's sound, where it has no words, and remember it."""
        ...

    async def leave_response_of(self, item: Item) -> None:
        """Stop saying more of it."""
        ...

    def silence(self) -> None:
        """Nothing sounds any more."""
        ...


class ItemEvents:
    """Each method answers one kind of event. Raises ApiError for the client's mistakes."""

    def __init__(self, session: Holder) -> None:
        self._session = session

    async def create(self, event: Fields) -> None:
        session = self._session
        item = parse_item(event.get("item"), Hearing(session.terms.session.audio.input.format.type))
        session.here.check_length(item.text, "item.content")
        self._check_call(item)
        sound, item.sound = item.sound, None
        most = session.here.settings.max_heard_seconds
        if sound is not None and samples_to_seconds(len(sound)) > most:
            message = f"An item's audio lasts at most {most:g} s."
            raise ApiError(400, message, code="invalid_audio", param="item.content")
        before = session.items.insert(item, event.get("previous_item_id"))
        await self.show_new(item, before)
        if item.role in ("user", "assistant"):
            session.understand(item, sound, None if sound is None or item.text else Committed(item.id, sound))

    def _check_call(self, item: Item) -> None:
        """An output belongs to a call that was made here."""
        if item.output is None:
            return
        calls = [other.call.call_id for other in self._session.items if other.call is not None]
        if item.output[0] not in calls:
            message = f"There is no function call {item.output[0]!r} in this conversation."
            raise ApiError(400, message, code="invalid_value", param="item.call_id")

    async def retrieve(self, event: Fields) -> None:
        item = self._session.items.find(event.get("item_id"), "item_retrieve_invalid_item_id")
        await self._session.wire.send("conversation.item.retrieved", item=item.shown())

    async def delete(self, event: Fields) -> None:
        session = self._session
        item = session.items.find(event.get("item_id"), "item_delete_invalid_item_id")
        await session.leave_response_of(item)
        await session.memory.delete(item)
        session.items.remove(item)
        await session.wire.send("conversation.item.deleted", item_id=item.id)

    async def truncate(self, event: Fields) -> None:
        session = self._session
        item = session.items.find(event.get("item_id"), "item_truncate_invalid_item_id")
        heard_ms = _milliseconds(event)
        if item.role != "assistant" or event.get("content_index", 0) != 0:
            raise ApiError(400, "Only the voice's own speech can be cut.", code="invalid_value", param="item_id")
        await session.leave_response_of(item)
        if heard_ms > item.seconds * 1_000 + 1:
            message = f"audio_end_ms is {heard_ms}, but the item's audio lasts {item.seconds * 1_000:.0f} ms."
            raise ApiError(400, message, code="invalid_value", param="audio_end_ms")
        item.set_text(await session.memory.truncate(item, heard_ms / 1_000 * item.speed))
        item.seconds = heard_ms / 1_000
        session.silence()
        told = {"content_index": 0, "audio_end_ms": heard_ms}
        await session.wire.send("conversation.item.truncated", item_id=item.id, **told)

    async def show_new(self, item: Item, before: str | None) -> None:
        """Tell that an item is there, whole."""
        for kind in ("conversation.item.added", "conversation.item.done"):
            await self._session.wire.send(kind, item=item.shown(), previous_item_id=before)


def _milliseconds(event: Mapping[str, Any]) -> int:
    given = event.get("audio_end_ms")
    if type(given) is not int or given < 0:
        raise ApiError(400, "audio_end_ms should be a number.", code="invalid_value", param="audio_end_ms")
    return given
