"""What a session's conversation consists of, as the client sees it: messages and function calls, in order. Knows no
sound's meaning; items_given.py reads what a client gives.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ...agent.parts import FunctionCall
from ...audio import Samples
from ..errors import ApiError
from .wire import new_id

Role = Literal["user", "assistant", "system"]
MAX_ITEMS = 1_000
MAX_PICTURE_BYTES = 32 * 2**20  # of all pictures in one conversation, as base64


@dataclass(eq=False)
class Item:
    """One message; or a function that was called (`call`), or what it gave (`output`), which the voice never hears.

    `turns` is how many of the voice's remembered turns belong to it.
    """

    role: Role | None
    id: str = field(default_factory=lambda: new_id("item"))
    content: list[dict[str, Any]] = field(default_factory=list)
    status: str = "completed"
    call: FunctionCall | None = None
    output: tuple[str, str] | None = None  # of which call, and what
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

    @property
    def pictures(self) -> list[dict[str, Any]]:
        return [part for part in self.content if part["type"] == "input_image"]

    def set_text(self, text: str) -> None:
        """Put other words in place of all."""
        for number, part in enumerate(part for part in self.content if part["type"] != "input_image"):
            part[_place(part)] = text if number == 0 else ""

    def shown(self) -> dict[str, Any]:
        """As an event carries it; sound isn't sent back."""
        common = {"id": self.id, "object": "realtime.item", "status": self.status}
        if self.call is not None:
            told = {"call_id": self.call.call_id, "name": self.call.name, "arguments": self.call.arguments}
            return {**common, "type": "function_call", **told}
        if self.output is not None:
            return {**common, "type": "function_call_output", "call_id": self.output[0], "output": self.output[1]}
        return {**common, "type": "message", "role": self.role, "content": [dict(part) for part in self.content]}


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
        if sum(len(part["image_url"]) for one in (*self._items, item) for part in one.pictures) > MAX_PICTURE_BYTES:
            message = f"The pictures of a conversation have at most {MAX_PICTURE_BYTES >> 20} MiB."
            raise ApiError(400, message, code="conversation_full", param="item.content")
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


def _place(part: Mapping[str, Any]) -> str:
    return "transcript" if str(part["type"]).endswith("audio") else "text"
