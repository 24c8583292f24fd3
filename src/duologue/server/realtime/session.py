"""One session: the client's events, each answered by what OpenAI's server would answer. Knows its parts by their names.

A mistake of the client's is an `error` event that names the event it answers; the socket stays open.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any

from fastapi import WebSocketDisconnect

from ...audio import Samples
from ...timebase import RATE_HZ, samples_to_seconds
from ..errors import ApiError, known
from ..services import Services
from .configuration import ByClock, BySense, ResponseRequest, without_refused
from .ear import Ear
from .item_events import ItemEvents
from .items import Item, Items
from .memory import Memory
from .orders import order_of
from .response import Response
from .terms import Fields, Terms
from .turn_taking import Committed, TurnTaking
from .understanding import Understanding
from .voice_activity import VoiceActivity
from .wire import Hearing, Wire, new_id

MIN_COMMIT_MS = 100  # OpenAI's


class RealtimeSession:
    """State of one socket."""

    def __init__(self, here: Services, wire: Wire, activity: VoiceActivity, key: str, begin_with: Fields) -> None:
        self.here, self.wire, self.key = here, wire, key
        self.items = Items()
        self.memory = Memory(here, self.items, key)
        self.terms = Terms(here, self.memory, activity.network is not None)
        self._ear = Ear(activity.network)
        self._taking = TurnTaking(self._ear, self, wire, here.talk.recogniser, here.settings.max_heard_seconds)
        self._on_items = ItemEvents(self)
        self._understanding = Understanding(wire, self.memory, here.talk.recogniser)
        self._response: Response | None = None
        self._running: asyncio.Task[None] | None = None  # that response's work
        self._replying: asyncio.Task[None] | None = None  # waits for words before it answers a turn
        self._tasks: set[asyncio.Task[Any]] = set()
        self._heard_until = 0.0  # when the listener will have heard all sound of former responses
        self._hearing = Hearing("audio/pcm")
        self._set(begin_with)

    async def begin(self) -> None:
        """The first event."""
        await self.wire.send("session.created", session=self.terms.shown())

    async def take(self, text: str | bytes) -> None:
        """Answer one message of the client's. Raises WebSocketDisconnect alone."""
        event_id: str | None = None
        try:
            event = _event(text)
            event_id = event["event_id"] if isinstance(event.get("event_id"), str) else None
            await self._act(event)
        except WebSocketDisconnect:
            raise
        except Exception as error:  # told, whatever it is: OpenAI doesn't close for a client's mistake
            await self.wire.fail(known(error), event_id)

    async def close(self) -> None:
        """End everything that is under way."""
        self._taking.close()
        if self._response is not None:
            self._response.cancel("client_cancelled")
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _act(self, event: Fields) -> None:
        actions: dict[str, Callable[[Fields], Awaitable[None]]] = {
            "session.update": self._update,
            "input_audio_buffer.append": self._append,
            "input_audio_buffer.commit": self._commit_buffer,
            "input_audio_buffer.clear": self._clear_buffer,
            "conversation.item.create": self._on_items.create,
            "conversation.item.retrieve": self._on_items.retrieve,
            "conversation.item.delete": self._on_items.delete,
            "conversation.item.truncate": self._on_items.truncate,
            "response.create": self._create_response,
            "response.cancel": self._cancel_response,
        }
        action = actions.get(str(event["type"]))
        if action is None:
            message = f"There is no event {str(event['type'])[:64]!r}. Events: {', '.join(actions)}."
            raise ApiError(400, message, code="invalid_value", param="type")
        await action(event)

    async def _update(self, event: Fields) -> None:
        patch = event.get("session")
        if not isinstance(patch, Mapping):
            raise ApiError(400, "session is missing.", code="missing_required_parameter", param="session")
        for error in self._set(patch):
            await self.wire.fail(error, event.get("event_id"))
        await self.wire.send("session.updated", session=self.terms.shown())

    def _set(self, patch: Fields) -> list[ApiError]:
        """Returns what of it couldn't be had; the rest holds."""
        before = self.terms.session.audio.input.format
        left_out = self.terms.update(patch)
        after = self.terms.session.audio.input.format
        if after != before:
            self._hearing = Hearing(after.type)
        self._ear.detect(None if self.rules is None else self.rules.detector())
        return left_out

    # --- the other side's sound ----------------------------------------------------------------------------------

    async def _append(self, event: Fields) -> None:
        audio = event.get("audio")
        if not isinstance(audio, str):
            raise ApiError(400, "audio should be base64.", code="missing_required_parameter", param="audio")
        samples = self._hearing.decode(audio)
        most = self.here.settings.max_heard_seconds
        if self.rules is None and samples_to_seconds(self._ear.buffered + len(samples)) > most:
            message = f"The buffer holds at most {most:g} s; commit or clear it."
            raise ApiError(400, message, code="input_audio_buffer_full", param="audio")
        await self._taking.take(samples)

    async def _commit_buffer(self, event: Fields) -> None:
        sound = self._ear.sound()
        if len(sound) < MIN_COMMIT_MS * RATE_HZ // 1_000:
            message = f"The buffer holds {samples_to_seconds(len(sound)) * 1_000:.0f} ms; {MIN_COMMIT_MS} are needed."
            raise ApiError(400, message, code="input_audio_buffer_commit_empty")
        self._forget_buffer()
        await self.commit(Committed(new_id("item"), sound), answer=False)

    async def _clear_buffer(self, event: Fields) -> None:
        self._forget_buffer()
        await self.wire.send("input_audio_buffer.cleared")

    def _forget_buffer(self) -> None:
        self._ear.clear()
        self._taking.forget()

    @property
    def rules(self) -> ByClock | BySense | None:
        """How turns are found; None: the client commits."""
        return self.terms.turns

    @property
    def sounding(self) -> bool:
        """Whether the listener hears the voice, if sound is played as it arrives."""
        until = max(self._heard_until, self._response.sounds_until if self._response else 0.0)
        return self._is_responding or time.monotonic() < until

    def interrupt(self) -> None:
        """The other side speaks: stop the answer under way."""
        if self._replying is not None:
            self._replying.cancel()
        if self._response is not None and self._is_responding:
            self._response.cancel("turn_detected")

    async def commit(self, turn: Committed, answer: bool = True) -> None:
        """A turn of the other side is whole: it becomes an item, is read, remembered and, if so set, answered."""
        item = Item("user", turn.item_id, [{"type": "input_audio", "transcript": None}])
        before = self.items.insert(item)
        await self.wire.send("input_audio_buffer.committed", item_id=item.id, previous_item_id=before)
        await self._on_items.show_new(item, before)
        self.understand(item, turn.sound, turn)
        if answer and self.rules is not None and self.rules.create_response:
            self._replying = self._go(self._reply(item, turn.speech_ended))

    def understand(self, item: Item, sound: Samples | None, turn: Committed | None) -> None:
        """Read and remember an item, beside everything else; a turn is read, an item with words isn't."""
        if turn is not None:
            told = self.terms.session.audio.input.transcription is not None
            item.words = self._go(self._understanding.read(item, turn, told))
        item.heard = self._go(self._understanding.remember(item, sound))

    async def _reply(self, item: Item, speech_ended: float) -> None:
        assert item.words is not None
        words = await asyncio.shield(item.words)
        if any(letter.isalnum() for letter in words):
            await self._settle()
            if not self._is_responding:
                self._start(ResponseRequest(), speech_ended)

    async def leave_response_of(self, item: Item) -> None:
        """Nothing more is to be said of an item that is about to change."""
        if self._response is not None and self._response.item is item:
            self._response.cancel("client_cancelled")
            await self._settle()
            self._response = None

    def silence(self) -> None:
        """The listener heard less than was sent: nothing sounds any more."""
        self._heard_until = 0.0

    # --- responses -----------------------------------------------------------------------------------------------

    @property
    def _is_responding(self) -> bool:
        return self._running is not None and not self._running.done()

    async def _create_response(self, event: Fields) -> None:
        given = event.get("response")
        given = given if isinstance(given, Mapping) else {}
        given, left_out = without_refused(given, "response", self.here.talk.language_model is not None)
        for error in left_out:
            await self.wire.fail(error, event.get("event_id"))
        if self._is_responding:
            assert self._response is not None
            if not self._response.is_cancelled:
                message = f"{self._response.id} is still under way; cancel it or wait for response.done."
                raise ApiError(400, message, code="conversation_already_has_active_response")
            await self._settle()
        self._start(ResponseRequest.parse(given))

    def _start(self, request: ResponseRequest, speech_ended: float | None = None) -> None:
        order = order_of(request, self.terms.session, self.here, self.memory, speech_ended)
        if self._response is not None:
            self._heard_until = max(self._heard_until, self._response.sounds_until)
        self._response = Response(self.here, self.wire, self.items, self.memory, order, self.key)
        self._running = self._go(self._response.run())

    async def _cancel_response(self, event: Fields) -> None:
        named = event.get("response_id")
        if self._response is None or not self._is_responding or named not in (None, self._response.id):
            raise ApiError(400, "No such response is under way.", code="response_cancel_not_active")
        self._response.cancel("client_cancelled")

    async def _settle(self) -> None:
        """Wait until the response that was cancelled has said its last event."""
        if self._running is not None and self._response is not None and self._response.is_cancelled:
            await asyncio.wait([self._running])

    def _go(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, WebSocketDisconnect):
            self._go(self._tell(error))

    async def _tell(self, error: BaseException) -> None:
        with contextlib.suppress(WebSocketDisconnect):
            await self.wire.fail(known(error))


def _event(text: str | bytes) -> Fields:
    try:
        event = json.loads(text)
    except (ValueError, RecursionError):
        raise ApiError(400, "The message isn't JSON.", code="invalid_json") from None
    if not isinstance(event, dict) or not isinstance(event.get("type"), str):
        raise ApiError(400, "An event is an object with a type.", code="missing_required_parameter", param="type")
    return event
