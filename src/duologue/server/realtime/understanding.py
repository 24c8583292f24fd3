"""What becomes of the other side's turns: words by the recogniser, and a place in the voice's memory."""

from __future__ import annotations

import asyncio
import contextlib

from ...audio import Audio, Samples
from ...timebase import samples_to_seconds
from ..errors import ApiError, known
from ..talk_parts import Recogniser
from .items import Item
from .memory import Memory
from .turn_taking import Committed
from .wire import Wire

EVENT = "conversation.item.input_audio_transcription"


class Understanding:
    """Reads and remembers items, one task each."""

    def __init__(self, wire: Wire, memory: Memory, recogniser: Recogniser | None) -> None:
        self._wire, self._memory, self._recogniser = wire, memory, recogniser

    async def read(self, item: Item, turn: Committed, told: bool) -> str:
        """The words of a turn, `told` to the client if it asked for them. Empty if they can't be read."""
        place = {"item_id": item.id, "content_index": 0}
        try:
            words = await self._words(turn)
        except Exception as error:  # the turn stays, without words
            await self._wire.send(f"{EVENT}.failed", **place, error=known(error).body()["error"])
            return ""
        item.set_text(words)
        if told:
            if words:
                await self._wire.send(f"{EVENT}.delta", **place, delta=words)
            usage = {"type": "duration", "seconds": round(samples_to_seconds(len(turn.sound)), 3)}
            await self._wire.send(f"{EVENT}.completed", **place, transcript=words, usage=usage)
        return words

    async def _words(self, turn: Committed) -> str:
        if self._recogniser is None:
            message = "This server reads no speech: start it with --asr, or send the words as an item."
            raise ApiError(503, message, code="transcription_unavailable")
        if turn.draft is not None:
            with contextlib.suppress(Exception):  # then it is read anew
                return await turn.draft
        return await asyncio.to_thread(self._recogniser.transcribe, Audio(turn.sound))

    async def remember(self, item: Item, sound: Samples | None) -> None:
        """Once its words are known, let the voice hear an item."""
        if item.words is not None:
            await asyncio.wait([item.words])
        await self._memory.hear(item, None if sound is None else Audio(sound))
