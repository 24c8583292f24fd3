"""What a session's conversation consists of, as the client sees it: messages in order. Knows no sound's meaning."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from ...audio import Samples
from ..errors import ApiError
from .wire import Hearing, new_id

Role = Literal["user", "assistant", "system"]
MAX_ITEMS = 1_000
PARTS = {  # the kinds of content that each role may have, and where their words are
    "user": {"input_text": "text", "input_audio": "transcript"},
    "assistant": {"output_text": "text", "output_audio": "transcript", "text": "text"},
    "system": {"input_text": "text"},
}


@dataclass(eq=False)
class Item:
    """One message. `turns` is how many of the voice's remembered turns belong to it."""

    role: Role
    id: str = field(default_factory=lambda: new_id("item"))
    content: list[dict[str, Any]] = field(default_factory=list)
    status: str = "completed"
    turns: int = 0
    seconds: float = 0.0  # of the voice's sound that were sent
    speed: float = 1.0  # at which they were sent
    sound: Samples | None = None  # until it was taken into memory
    words: asyncio.Task[str] | None = None  # the recogniser at work
    heard: asyncio.Task[None] | None = None  # the voice's memory at work

    @property
    def text(self) -> str:
        """Its words, as far as they are known."""
        return " ".join(found for part in self.content if (found := part.get(_place(part))))

    def set_text(self, text: str) -> None:
        """Put other words in place of all."""
        for number, part in enumerate(self.content):
            part[_place(part)] = text if number == 0 else ""

    def shown(self) -> dict[str, Any]:
        """As an event carries it; sound isn't sent back."""
        return {
            "id": self.id,
            "object": "realtime.item",
            "type": "message",
            "status": self.status,
            "role": self.role,
            "content": [dict(part) for part in self.content],
        }


class Items:
    """Messages in order."""

    def __init__(self) -> None:
        self._items: list[Item] = []

    def __iter__(self) -> Iterator[Item]:
        return iter(list(self._items))

    def find(self, item_id: object, code: str) -> Item:
        """By id. Raises ApiError with the code that fits what was asked."""
        for item in self._items:
            if item.id == item_id:
                return item
        raise ApiError(404, f"There is no item {str(item_id)[:64]!r} in this conversation.", code=code, param="item_id")

    def insert(self, item: Item, after: str | None = None) -> str | None:
        """Put an item behind another one ("root": in front of all; None: at the end). Returns the id before it."""
        if any(other.id == item.id for other in self._items):
            message = f"There is an item {item.id!r} already."
            raise ApiError(400, message, code="item_create_duplicate_id", param="item.id")
        if len(self._items) >= MAX_ITEMS:
            raise ApiError(400, f"A conversation has at most {MAX_ITEMS} items.", code="conversation_full")
        place = len(self._items)
        if after == "root":
            place = 0
        elif after is not None:
            place = self._items.index(self.find(after, "item_create_invalid_previous_item_id")) + 1
        self._items.insert(place, item)
        return self._items[place - 1].id if place else None

    def before(self, item: Item) -> str | None:
        """The id of the item in front of one."""
        place = self._items.index(item) if item in self._items else 0
        return self._items[place - 1].id if place else None

    def remove(self, item: Item) -> None:
        self._items.remove(item)

    def turns_before(self, item: Item) -> int:
        """How many remembered turns come before an item's own."""
        return sum(other.turns for other in self._items[: self._items.index(item)])

    @property
    def turns(self) -> int:
        return sum(item.turns for item in self._items)


def parse_item(given: object, hearing: Hearing) -> Item:
    """A message as a client gives it. Raises ApiError 400 that names what can't be used."""
    if not isinstance(given, Mapping):
        raise ApiError(400, "item should be an object.", code="missing_required_parameter", param="item")
    if given.get("type", "message") != "message":
        kind = str(given.get("type"))[:64]
        raise ApiError(400, f"Items of type {kind!r} can't be used here.", code="unsupported", param="item.type")
    role = given.get("role")
    if not isinstance(role, str) or role not in PARTS:
        raise ApiError(400, "item.role should be user, assistant or system.", code="invalid_value", param="item.role")
    parts = given.get("content")
    if not isinstance(parts, list) or not 0 < len(parts) <= 20:
        raise ApiError(400, "item.content should be a list of parts.", code="invalid_value", param="item.content")
    item = Item(cast(Role, role))
    if given.get("id") is not None:
        item.id = _checked_id(given["id"])
    for number, part in enumerate(parts):
        _add_part(item, part, f"item.content[{number}]", hearing)
    return item


def _checked_id(given: object) -> str:
    if not isinstance(given, str) or not 0 < len(given) <= 64 or not given.isprintable():
        raise ApiError(400, "item.id should be 1 to 64 characters.", code="invalid_value", param="item.id")
    return given


def _add_part(item: Item, part: object, place: str, hearing: Hearing) -> None:
    kinds = PARTS[item.role]
    if not isinstance(part, Mapping) or part.get("type") not in [*kinds]:
        message = f"{place}.type should be one of {', '.join(kinds)} for role {item.role}."
        raise ApiError(400, message, code="invalid_value", param=f"{place}.type")
    kind = "output_text" if part["type"] == "text" else str(part["type"])
    where = kinds[str(part["type"])]
    words, audio = part.get(where), part.get("audio")
    if (words is not None and not isinstance(words, str)) or (audio is not None and not isinstance(audio, str)):
        raise ApiError(400, f"{place} should hold text.", code="invalid_value", param=place)
    if words is None and (audio is None or not kind.endswith("audio")):
        raise ApiError(400, f"{place}.{where} is missing.", code="missing_required_parameter", param=f"{place}.{where}")
    if audio and kind.endswith("audio"):
        if item.sound is not None:
            raise ApiError(400, "An item has at most one part with audio.", code="invalid_value", param=place)
        item.sound = hearing.decode(audio)
    item.content.append({"type": kind, where: words})


def _place(part: Mapping[str, Any]) -> str:
    return "transcript" if str(part["type"]).endswith("audio") else "text"
