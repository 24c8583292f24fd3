"""Whose turn it is: what the ear finds becomes turns, interruptions, or somebody's "mhm" that changes nothing.

While the voice sounds and turns are judged by sense, speech has to show first that it isn't a backchannel: by words, or
by going on. Words are read in the pauses, so that they are there when the turn turns out to be over.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, Protocol

from ...agent.turn_detection import KEPT_AFTER_SECONDS, Event, SpeechResumed, SpeechStarted, SpeechStopped, TurnEnded
from ...agent.word_cues import SURE_SECONDS, interrupts
from ...audio import Audio, Samples
from ...timebase import RATE_HZ, samples_to_seconds
from ..talk_parts import Recogniser
from .configuration import BySense
from .ear import Ear
from .wire import Wire, new_id

PIECE_SAMPLES = RATE_HZ // 2  # of a long append, so that others get their turn in between
PROBE_FROM_SECONDS = 0.6  # of speech, before its words are looked at
PROBE_SECONDS = 0.4  # of new speech before they are read again
PAD_SAMPLES = RATE_HZ // 5  # after the last speech, for the recogniser


@dataclass
class Committed:
    """Somebody's turn: its sound, its words if they are being read already, and when its speech ended."""

    item_id: str
    sound: Samples
    draft: asyncio.Task[str] | None = None
    speech_ended: float = field(default_factory=time.monotonic)


class Floor(Protocol):
    """What turn taking asks of the session."""

    @property
    def rules(self) -> Any:
        """The settings of turn detection; None if the client does it."""
        ...

    @property
    def sounding(self) -> bool:
        """Whether the listener hears the voice now, as far as can be known."""
        ...

    def interrupt(self) -> None:
        """Stop the answer that is being made or thought about."""
        ...

    async def commit(self, turn: Committed) -> None:
        """A turn is over."""
        ...


@dataclass
class _Turn:
    start: int
    item_id: str = field(default_factory=lambda: new_id("item"))
    announced: bool = False
    next_probe: float = PROBE_FROM_SECONDS  # seconds of speech
    probe: asyncio.Task[None] | None = None
    draft: asyncio.Task[str] | None = None


class TurnTaking:
    """One session's turns."""

    def __init__(self, ear: Ear, floor: Floor, wire: Wire, recogniser: Recogniser | None, max_seconds: float) -> None:
        self._ear, self._floor, self._wire, self._recogniser = ear, floor, wire, recogniser
        self._max_samples = int(max_seconds * RATE_HZ)
        self._turn: _Turn | None = None
        self._tasks: set[asyncio.Task[Any]] = set()

    async def take(self, samples: Samples) -> None:
        """Hear more sound, and act on what it means."""
        for first in range(0, len(samples), PIECE_SAMPLES):
            for event in self._ear.push(samples[first : first + PIECE_SAMPLES]):
                await self._on(event)
            await self._watch()
            await asyncio.sleep(0)

    def forget(self) -> None:
        """The client cleared or took the buffer: no turn goes on."""
        self._turn = None

    def close(self) -> None:
        """Stop everything that reads or decides."""
        for task in list(self._tasks):
            task.cancel()

    async def _on(self, event: Event) -> None:
        match event:
            case SpeechStarted(sample):
                self._turn = _Turn(sample)
                if not self._may_be_backchannel:
                    await self._announce(self._turn)
            case SpeechStopped() if self._turn is not None and self._recogniser is not None:
                sound = self._ear.sound(self._turn.start, event.sample + PAD_SAMPLES)
                self._turn.draft = self._go(self._draft(self._turn, sound, event))
            case SpeechResumed() if self._turn is not None:
                self._turn.draft = None  # it lacks what comes now
            case TurnEnded(start, end) if self._turn is not None:
                await self._end(self._turn, start, end)

    @property
    def _may_be_backchannel(self) -> bool:
        return isinstance(self._floor.rules, BySense) and self._floor.sounding and self._recogniser is not None

    async def _announce(self, turn: _Turn) -> None:
        turn.announced = True
        await self._wire.send(
            "input_audio_buffer.speech_started", item_id=turn.item_id, audio_start_ms=turn.start * 1_000 // RATE_HZ
        )
        if self._floor.rules is None or self._floor.rules.interrupt_response:
            self._floor.interrupt()

    async def _watch(self) -> None:
        """Look after the turn that goes on: has it become an interruption, is it too long?"""
        turn = self._turn
        if turn is None:
            return
        if self._ear.samples - turn.start > self._max_samples:
            await self._end(turn, turn.start, self._ear.samples)
            self._ear.clear()
            return
        if turn.announced:
            return
        seconds = self._spoken(turn, self._ear.spoken_until)
        if seconds >= SURE_SECONDS:
            await self._announce(turn)
        elif turn.probe is None and seconds >= turn.next_probe:
            turn.next_probe = seconds + PROBE_SECONDS
            turn.probe = self._go(self._probe(turn, self._ear.sound(turn.start), seconds))

    def _spoken(self, turn: _Turn, until: int) -> float:
        """Seconds of a turn's speech up to a sample, the padding before it left out."""
        padding = self._floor.rules.detector().prefix_padding_ms / 1_000 if self._floor.rules is not None else 0.0
        return samples_to_seconds(until - turn.start) - padding

    async def _probe(self, turn: _Turn, sound: Samples, seconds: float) -> None:
        """Read the words so far; some of them are an interruption already."""
        words = await self._read(sound)
        turn.probe = None
        if not turn.announced and turn is self._turn and interrupts(words, seconds):
            await self._announce(turn)

    async def _draft(self, turn: _Turn, sound: Samples, pause: SpeechStopped) -> str:
        words = await self._read(sound)
        self._ear.understood(words, pause)
        brief = self._spoken(turn, pause.sample)
        if not turn.announced and turn is self._turn and interrupts(words, brief, over=True):
            await self._announce(turn)
        return words

    async def _read(self, sound: Samples) -> str:
        assert self._recogniser is not None
        return await asyncio.to_thread(self._recogniser.transcribe, Audio(sound))

    async def _end(self, turn: _Turn, start: int, end: int) -> None:
        self._turn = None
        silent = samples_to_seconds(max(0, self._ear.samples - end))
        done = Committed(turn.item_id, self._ear.sound(start, end), turn.draft, time.monotonic() - silent)
        self._ear.drop_before(end)
        if turn.announced:
            await self._commit(done, end)
        else:
            self._go(self._decide(turn, done, end, self._spoken(turn, end) - KEPT_AFTER_SECONDS))

    async def _decide(self, turn: _Turn, done: Committed, end: int, seconds: float) -> None:
        """A turn ended while the voice sounded, and nothing had shown yet that it was an interruption."""
        if done.draft is None:
            done.draft = self._go(self._read(done.sound))
        words = await done.draft
        if not interrupts(words, seconds, over=True):
            await self._wire.send("duologue.backchannel", text=words, audio_start_ms=turn.start * 1_000 // RATE_HZ)
            return
        await self._announce(turn)
        await self._commit(done, end)

    async def _commit(self, done: Committed, end: int) -> None:
        await self._wire.send(
            "input_audio_buffer.speech_stopped", item_id=done.item_id, audio_end_ms=end * 1_000 // RATE_HZ
        )
        await self._floor.commit(done)

    def _go(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        with contextlib.suppress(asyncio.CancelledError):
            task.exception()  # a reader's failure is told where its words are needed
