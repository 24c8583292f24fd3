"""The voice of an agent: a Conversation on a thread of its own, so that the line never waits for it.

One thread does all: it hears, speaks and cuts in the order in which it was asked to.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from typing import TypeVar

from ..audio import Audio, Samples, is_silent
from ..conversation import Conversation
from ..speaking import GenerationConfig

T = TypeVar("T")


class ConversationMouth:
    """Speaks in a conversation, as its own speaker; the other side is the lowest number that has no voice."""

    def __init__(
        self, conversation: Conversation, *, seed: int | None = None, options: GenerationConfig | None = None
    ) -> None:
        self.conversation = conversation
        self._options, self._seed = options, seed
        self._sentences = 0
        voices = conversation.voices
        taken = {*voices, conversation.speaker}
        self._other = next(number for number in range(len(taken) + 1) if number not in taken)
        self._hushed = threading.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="duologue-mouth")

    async def hear(self, audio: Audio, words: str) -> None:
        """Take in the other side's turn, as sound and words."""
        sound = None if is_silent(audio.samples) else audio
        await self._run(lambda: self.conversation.hear(sound, words, self._other))

    async def say(self, sentence: str) -> AsyncGenerator[Samples, None]:
        """Speak a sentence; its sound continues that of the sentence before. Raises SpeechError."""
        loop = asyncio.get_running_loop()
        made: asyncio.Queue[Samples | None] = asyncio.Queue()
        hushed = self._hushed = threading.Event()

        def give(chunk: Samples | None) -> None:
            loop.call_soon_threadsafe(made.put_nowait, chunk)

        work = self._thread.submit(self._speak, sentence, give, hushed)
        try:
            while (chunk := await made.get()) is not None:
                yield chunk
            work.result()  # raises what went wrong
        finally:
            hushed.set()

    def _speak(self, sentence: str, give: Callable[[Samples | None], None], hushed: threading.Event) -> None:
        seed = None if self._seed is None else self._seed + self._sentences
        self._sentences += 1
        try:
            with closing(self.conversation.stream(sentence, seed=seed, options=self._options)) as speech:
                for chunk in speech:
                    if hushed.is_set():
                        return
                    give(chunk)
        finally:
            give(None)

    def hush(self) -> None:
        """Stop speaking within a frame; what was spoken stays in memory until `cut`."""
        self._hushed.set()

    async def cut(self, heard_seconds: float) -> str:
        """Keep what was heard of our last turn; returns its words, or nothing if we hadn't begun."""

        def work() -> str:
            turns = self.conversation.turns
            return self.conversation.cut(heard_seconds) if turns and turns[-1].own else ""

        return await self._run(work)

    async def _run(self, work: Callable[[], T]) -> T:
        future: Future[T] = self._thread.submit(work)
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """Stop, and let the thread end."""
        self.hush()
        self._thread.shutdown(wait=True, cancel_futures=True)
