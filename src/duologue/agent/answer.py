"""One answer of an agent: the language model's text becomes phrases, phrases become sound, while it still writes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import aclosing

from ..audio import Audio
from ..errors import DuologueError, SpeechError
from .events import Failed, Said, TalkEvent, TurnTimes
from .parts import Line, Mouth
from .phrases import PhraseBuffer


class Answer:
    """Under way from `give` or `recite` on. `made` once all its sound exists; `words` are those that were spoken."""

    def __init__(self, line: Line, mouth: Mouth, times: TurnTimes, tell: Callable[[TalkEvent], None]) -> None:
        self._line, self._mouth, self._tell = line, mouth, tell
        self.times = times
        self._spoken: list[str] = []
        self._task: asyncio.Task[None] | None = None

    @property
    def words(self) -> str:
        return " ".join(self._spoken)

    @property
    def made(self) -> bool:
        return self._task is not None and self._task.done()

    def give(self, text: AsyncIterator[str], sound: Audio, words: str) -> None:
        """Take in what was said, and speak the text that answers it."""
        self._task = asyncio.create_task(self._telling(self._give(text, sound, words)))

    def recite(self, words: str) -> None:
        """Speak a given text."""
        self._task = asyncio.create_task(self._telling(self._recite(words)))

    def cancel(self) -> None:
        """Stop making it."""
        self._mouth.hush()
        if self._task is not None:
            self._task.cancel()

    def raise_failure(self) -> None:
        """Raise what no part may raise: a fault of this program."""
        if self._task is not None and self._task.done() and not self._task.cancelled():
            self._task.result()

    async def _telling(self, work: Coroutine[None, None, None]) -> None:
        self._line.answering = True
        try:
            await work
        except DuologueError as error:
            self._tell(Failed(str(error)))
        finally:
            self._line.answering = False

    async def _give(self, text: AsyncIterator[str], sound: Audio, words: str) -> None:
        phrases: asyncio.Queue[str | None] = asyncio.Queue()
        thinking = asyncio.create_task(self._think(text, phrases))
        try:
            await self._mouth.hear(sound, words)
            while (phrase := await phrases.get()) is not None:
                await self._speak(phrase)
            await thinking
        finally:
            thinking.cancel()

    async def _think(self, text: AsyncIterator[str], phrases: asyncio.Queue[str | None]) -> None:
        """Put phrases into the queue as they become whole, and None at the end."""
        buffer = PhraseBuffer()
        try:
            async for bit in text:
                self.times.note("thought", self._line.now())
                for phrase in buffer.push(bit):
                    self._queue(phrase, phrases)
            for phrase in buffer.flush():
                self._queue(phrase, phrases)
        finally:
            phrases.put_nowait(None)

    def _queue(self, phrase: str, phrases: asyncio.Queue[str | None]) -> None:
        self.times.note("phrase", self._line.now())
        phrases.put_nowait(phrase)

    async def _recite(self, words: str) -> None:
        buffer = PhraseBuffer()
        for phrase in [*buffer.push(words), *buffer.flush()]:
            await self._speak(phrase)

    async def _speak(self, phrase: str) -> None:
        self._tell(Said(phrase))
        self._spoken.append(phrase)
        try:
            async with aclosing(self._mouth.say(phrase)) as speech:
                async for samples in speech:
                    self.times.note("sound", self._line.now())
                    self._line.playback.play(samples)
        except SpeechError as error:  # one phrase went wrong; the next may go well
            self._tell(Failed(str(error)))
