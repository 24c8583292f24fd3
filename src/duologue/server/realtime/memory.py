"""What the voice of one session remembers: the turns behind the items, both sides' sound. Knows items, no events.

Every item stands for so many turns of one `Conversation`; whatever happens to the item happens to its turns. One thing
at a time: a lock goes from hearing to speaking to cutting.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from ...audio import Audio, is_silent
from ...conversation import Conversation
from ...speaking import Speech
from ...spoken_context import HeardTurn
from ..schemas import Sampling
from ..services import Services
from ..speakers import listener_of, number_voices
from ..streams import Delivery, SpeechStream
from ..voice_store import StoredVoice
from .items import Item, Items
from .wire import new_id

T = TypeVar("T")


class Memory:
    """One session's voice and what it has heard. Costs nothing until the first turn."""

    def __init__(self, here: Services, items: Items, key: str) -> None:
        self._here, self._items, self._key = here, items, key
        self._live: Conversation | None = None
        self._busy = asyncio.Lock()
        self._settling: set[asyncio.Task[None]] = set()
        self.id = new_id("conv")
        self.voice: StoredVoice | None = None

    @property
    def has_begun(self) -> bool:
        """Whether the voice can't be changed any more."""
        return self._live is not None

    @property
    def context_frames(self) -> int:
        """Frames of sound in memory, the voice's own prompt included."""
        return 0 if self._live is None else round(self._live.context_seconds * 12.5)

    @property
    def turns(self) -> list[HeardTurn]:
        """What is remembered, oldest first; the voice's prompt is not among it."""
        return [] if self._live is None else self._live.turns

    async def hear(self, item: Item, audio: Audio | None) -> None:
        """Take in an item's words, and its sound if there is some."""
        if not any(letter.isalnum() for letter in item.text):
            return
        sound = None if audio is None or is_silent(audio.samples) else audio

        def work() -> None:
            live = self._ready()
            dropped = len(live.dropped)
            speaker = live.speaker if item.role == "assistant" else listener_of(live)
            before = len(live.turns)
            live.hear(sound, item.text, speaker)
            self._settle(live, item, len(live.turns) - before + len(live.dropped) - dropped)

        await self._run(work)

    async def speak(self, item: Item, sentence: str, delivery: Delivery) -> SpeechStream:
        """Begin to speak the item's next sentence; the lock is free again when its stream has ended."""
        await self._busy.acquire()
        before: list[int] = []

        def source() -> Speech:
            live = self._ready()
            before.append(len(live.turns) + len(live.dropped))
            return live.stream(sentence, options=self._here.options(Sampling()))

        def spoken() -> None:
            task = asyncio.ensure_future(self._after_speech(item, before))
            self._settling.add(task)
            task.add_done_callback(self._settling.discard)

        return await self._here.streams.start(source, delivery, self._key, on_end=spoken)

    async def truncate(self, item: Item, heard_seconds: float) -> str:
        """Forget what was not heard of an item; returns the words that remain."""

        def work() -> str:
            live = self._ready()
            which = self._range(live, item)
            if not which:
                return ""
            before = len(live.turns)
            remains = live.cut(heard_seconds, which)
            item.turns -= before - len(live.turns)
            return remains

        return await self._run(work)

    async def delete(self, item: Item) -> None:
        """Forget an item's turns. Do it before the item leaves the list."""

        def work() -> None:
            if self._live is not None and (which := self._range(self._live, item)):
                turns = self._live.turns
                self._live.rewrite([*turns[: which.start], *turns[which.stop :]])
            item.turns = 0

        await self._run(work)

    def _ready(self) -> Conversation:
        """The conversation, begun now if it wasn't. For worker threads that hold the lock."""
        if self._live is None:
            stored = self.voice or self._here.voices.find(None)
            self._live = self._here.model.conversation(number_voices([stored.voice]))
        return self._live

    async def _run(self, work: Callable[[], T]) -> T:
        async with self._busy, self._here.conversations.prefills:
            return await asyncio.to_thread(work)

    async def _after_speech(self, item: Item, before: list[int]) -> None:
        def work() -> None:
            live = self._ready()
            self._settle(live, item, len(live.turns) + len(live.dropped) - before[0])

        try:
            if before:
                await asyncio.to_thread(work)
        finally:
            self._busy.release()

    def _settle(self, live: Conversation, item: Item, new: int) -> None:
        """The last `new` turns belong to an item: put them behind its others, where they aren't yet."""
        if not new:
            return
        if item not in list(self._items):  # deleted meanwhile
            live.rewrite(live.turns[:-new])
            return
        rest = live.turns[:-new]
        gone = self._items.turns - len(rest)
        place = max(0, self._items.turns_before(item) + item.turns - gone)
        if place < len(rest):
            live.rewrite([*rest[:place], *live.turns[-new:], *rest[place:]])
        item.turns += new

    def _range(self, live: Conversation, item: Item) -> range:
        """Which of the conversation's turns are an item's; those that left the memory are in front."""
        gone = self._items.turns - len(live.turns)
        first = self._items.turns_before(item) - gone
        return range(max(0, first), max(0, first + item.turns))
