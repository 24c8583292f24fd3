"""Conversations that clients hold by id: heard and spoken turns, warm in memory or put away as codes.

Keys and values are a cache: a conversation that rests is written to one small file of codes and read again when it goes
on. With a state folder that file follows every turn, so that a killed server loses nothing. Knows no HTTP route.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import re
import secrets
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TypeVar

from ..api import Model
from ..audio import Audio
from ..conversation import Conversation
from ..errors import InputError
from ..speaking import GenerationConfig, Speech, new_seed
from .errors import ApiError, overloaded
from .schemas import Sampling
from .settings import ServerSettings
from .speakers import listener_of, number_voices, speaker_of
from .streams import Delivery, SpeechStream, Streams
from .voice_store import StoredVoice

log = logging.getLogger("duologue.server")
ID = re.compile(r"conv_[0-9a-f]{24}")
BUSY_SECONDS = 5.0  # how long a call waits for the one before it, which may be about to notice that its client left
SWEEP_SECONDS = 5.0
SWEEPS_PER_TIDYING = 60
AT_ONCE = 2  # prefills outside of speech: creating, hearing, waking
T = TypeVar("T")


class HeldConversation:
    """One conversation and its place on disk. One call at a time."""

    def __init__(self, conversation_id: str, owner: Conversations, live: Conversation | None) -> None:
        self.id = conversation_id
        self.created = int(time.time())
        self.used = time.monotonic()
        self.live = live
        self.speed = 1.0  # of the last spoken turn, to translate what the listener heard
        self._owner = owner
        self._busy = asyncio.Lock()
        self._version: int | None = None  # of the file that holds what is in memory

    @property
    def busy(self) -> bool:
        return self._busy.locked()

    @property
    def path(self) -> Path:
        return self._owner.folder / f"{self.id}.safetensors"

    async def say(
        self, text: str, stored: StoredVoice | None, sampling: Sampling, delivery: Delivery, key: str
    ) -> tuple[SpeechStream, int]:
        """Begin to speak the next turn. Returns the stream and its seed."""
        await self._enter()
        seed = new_seed() if sampling.seed is None else sampling.seed

        def source() -> Speech:
            live = self._warm()
            speaker = None if stored is None else speaker_of(live, stored.voice)
            return live.stream(text, speaker=speaker, seed=seed, options=self._owner.options(sampling))

        self.speed = delivery.speed
        return await self._owner.streams.start(source, delivery, key, on_end=self._leave), seed

    async def hear(self, audio: Audio | None, text: str, speaker: int | None) -> None:
        """Take in what somebody else said. `speaker` None is the first number that no voice here has."""

        def work() -> None:
            live = self._warm()
            live.hear(audio, text, listener_of(live) if speaker is None else speaker)

        await self._run(work)

    async def cut(self, heard_seconds: float) -> str:
        """Keep only what the listener heard of the last spoken turn; returns the words that remain."""
        return await self._run(lambda: self._warm().cut(heard_seconds * self.speed))

    async def turns(self, last: int) -> list[tuple[str, str]]:
        """The last turns as a language model reads them: ("user" or "assistant", words)."""

        def work() -> list[tuple[str, str]]:
            turns = self._warm().turns[-last:]
            return [("assistant" if turn.own else "user", turn.text) for turn in turns]

        return await self._run(work)

    async def describe(self) -> dict[str, object]:
        """What a client sees of it."""
        return await self._run(self._describe)

    def _describe(self) -> dict[str, object]:
        live = self._warm()
        return {
            "id": self.id,
            "object": "conversation",
            "created_at": self.created,
            "voices": {str(number): voice.name for number, voice in live.voices.items()},
            "listener": listener_of(live),
            "context_seconds": round(live.context_seconds, 2),
            "dropped_turns": len(live.dropped),
            "turns": [
                {
                    "speaker": turn.speaker,
                    "text": turn.text,
                    "spoken": turn.own,
                    "seconds": round(turn.frames * 0.08, 2),
                }
                for turn in live.turns
            ],
        }

    def _warm(self) -> Conversation:
        """The conversation in memory, read again from its codes if it was put away. For worker threads."""
        if self.live is not None and self._owner.keeps_files and self._version != self._version_on_disk():
            self.live = None  # another server process went on with it
        if self.live is None:
            self._version = self._version_on_disk()
            self.live = self._owner.model.resume(self.path)
        return self.live

    def _version_on_disk(self) -> int | None:
        return self.path.stat().st_mtime_ns if self.path.is_file() else None

    async def _run(self, work: Callable[[], T]) -> T:
        await self._enter()
        try:
            async with self._owner.prefills:
                return await asyncio.to_thread(work)
        finally:
            self._leave()

    async def _enter(self) -> None:
        try:
            async with asyncio.timeout(BUSY_SECONDS):
                await self._busy.acquire()
        except TimeoutError:
            message = "This conversation is still speaking; stop reading that answer first."
            raise ApiError(409, message, code="conversation_busy") from None
        self.used = time.monotonic()

    def _leave(self) -> None:
        self.used = time.monotonic()
        if self._owner.keeps_files and self._owner.holds(self):
            self._save()
        self._busy.release()
        self._owner.sweep()

    def put_away(self) -> None:
        """Write the codes, let go of keys and values; if they can't be written, all stays in memory."""
        if self._save():
            self.live = None

    def _save(self) -> bool:
        if self.live is None:
            return False
        part = self.path.with_suffix(".part")
        try:
            self.live.save(part)
            part.replace(self.path)  # whole or not at all, even if the process is killed here
            self._version = self._version_on_disk()
        except (InputError, OSError) as error:  # a full disk must not end the conversation
            log.error("a conversation could not be written: %s", error)
            part.unlink(missing_ok=True)
            return False
        return True


class Conversations:
    """All conversations of one server, within its limits."""

    def __init__(
        self,
        model: Model,
        streams: Streams,
        settings: ServerSettings,
        options: Callable[[Sampling], GenerationConfig],
    ) -> None:
        self.model, self.streams, self.options = model, streams, options
        self.prefills = asyncio.Semaphore(AT_ONCE)
        self.keeps_files = settings.state_folder is not None
        self._settings = settings
        self._temporary = None if settings.state_folder else tempfile.TemporaryDirectory(prefix="duologue-")
        self.folder = settings.state_folder or Path(self._temporary.name)  # type: ignore[union-attr]
        self.folder.mkdir(parents=True, exist_ok=True)
        self._held: dict[str, HeldConversation] = {}
        self._remove_old_files()

    def __len__(self) -> int:
        return len(self._held)

    @property
    def warm(self) -> int:
        return sum(held.live is not None for held in self._held.values())

    def holds(self, held: HeldConversation) -> bool:
        """False once it was deleted."""
        return self._held.get(held.id) is held

    async def create(self, voices: Sequence[StoredVoice]) -> HeldConversation:
        """Start a conversation in which these voices may speak; the first one does by itself."""
        if len(self._held) >= self._settings.max_conversations:
            message = f"{len(self._held)} conversations exist already."
            raise overloaded(message, retry_after=30, code="conversation_limit_reached")
        numbered = number_voices([stored.voice for stored in voices])
        async with self.prefills:
            live = await asyncio.to_thread(self.model.conversation, numbered)
        held = HeldConversation(f"conv_{secrets.token_hex(12)}", self, live)
        self._held[held.id] = held
        self.sweep()
        return held

    def find(self, conversation_id: str) -> HeldConversation:
        """By id; one that a former process left in the state folder counts."""
        if not ID.fullmatch(conversation_id):
            raise _unknown()
        held = self._held.get(conversation_id)
        if held is None:
            held = HeldConversation(conversation_id, self, None)
            if not held.path.is_file():
                raise _unknown()
            self._held[conversation_id] = held
        return held

    def delete(self, conversation_id: str) -> None:
        """Forget a conversation and its file."""
        held = self.find(conversation_id)
        del self._held[held.id]
        held.path.unlink(missing_ok=True)

    def _remove_old_files(self) -> None:
        """Delete what a former process left and nobody asked for within the time of a conversation."""
        oldest = time.time() - self._settings.conversation_ttl_seconds
        for path in self.folder.glob("conv_*.*"):
            with suppress(FileNotFoundError):
                if path.stem not in self._held and path.stat().st_mtime < oldest:
                    path.unlink()

    def sweep(self) -> None:
        """Put away those that rest or are too many, and forget those that are too old."""
        now = time.monotonic()
        resting = sorted((held for held in self._held.values() if not held.busy), key=lambda held: held.used)
        surplus = self.warm - self._settings.max_warm_conversations
        for held in resting:
            if now - held.used > self._settings.conversation_ttl_seconds:
                self.delete(held.id)
            elif held.live is not None:
                if surplus > 0 or now - held.used > self._settings.conversation_idle_seconds:
                    held.put_away()
                surplus -= 1

    @asynccontextmanager
    async def sweeping(self) -> AsyncIterator[None]:
        """Sweep every few seconds while the context lasts."""

        async def forever() -> None:
            for turn in itertools.count(1):
                await asyncio.sleep(SWEEP_SECONDS)
                self.sweep()
                if turn % SWEEPS_PER_TIDYING == 0:
                    await asyncio.to_thread(self._remove_old_files)

        task = asyncio.create_task(forever())
        try:
            yield
        finally:
            task.cancel()

    async def close(self) -> None:
        """Put all away if they are to outlive this process."""
        for held in self._held.values():
            if self.keeps_files and not held.busy:
                held.put_away()
        if self._temporary is not None:
            self._temporary.cleanup()


def _unknown() -> ApiError:
    return ApiError(404, "There is no such conversation, or its time is over.", code="conversation_not_found")
