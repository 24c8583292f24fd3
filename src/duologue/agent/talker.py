"""A talk over a line: listen, understand, think, answer; and stop at once when the other side takes the floor.

The line is never kept waiting: recognising, thinking and speaking run beside it. Knows every part by its contract only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine

from ..audio import Audio
from ..errors import DuologueError
from ..timebase import samples_to_seconds
from .answer import Answer
from .events import Answered, Failed, Heard, Ignored, Interrupted, TalkEvent, TurnTimes
from .listening import Listener
from .parts import Line, Mind, Mouth, Recogniser
from .turn_detection import ONSET_WINDOWS, Event, SpeechResumed, SpeechStarted, SpeechStopped, TurnEnded
from .vad import WINDOW_SAMPLES
from .word_cues import interrupts

FIRST_WEIGHED_SECONDS = 0.8  # of speech into our answer, before its words are looked at: half an "mm-hm" reads as
WEIGHED_EVERY_SECONDS = 0.3  # anything (docs/log.md). Shorter speech is judged by its words once it ends
HISTORY = 40  # turns that the language model is told
BROKEN_OFF = "—"  # ends words of ours that were interrupted


class Talker:
    """One talk. `tell` gets everything that happens."""

    def __init__(
        self, line: Line, ears: Listener, recogniser: Recogniser, mind: Mind, mouth: Mouth,
        tell: Callable[[TalkEvent], None] = lambda event: None,
    ) -> None:  # fmt: skip
        self._line, self._ears, self._recogniser = line, ears, recogniser
        self._mind, self._mouth, self._tell = mind, mouth, tell
        self.history: list[tuple[str, str]] = []
        self._answer: Answer | None = None
        self._overlap = False  # they speak into our answer, and it isn't decided yet what that means
        self._onset = 0  # sample at which they began to speak
        self._weighed_at = 0.0
        self._pause: SpeechStopped | None = None
        self._reading: asyncio.Task[str] | None = None
        self._deciding = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, greeting: str = "") -> None:
        """Talk until the line ends. A greeting is said first."""
        if greeting:
            self._answer = Answer(self._line, self._mouth, TurnTimes(self._line.now()), self._tell)
            self._answer.recite(greeting)
        try:
            async for block in self._line.blocks():
                for event in self._ears.push(block):
                    self._on(event)
                self._weigh_overlap()
                self._settle()
                self._tell_failures()
        finally:
            if self._answer is not None:
                self._answer.cancel()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _on(self, event: Event) -> None:
        match event:
            case SpeechStarted():
                self._onset = self._ears.samples - ONSET_WINDOWS * WINDOW_SAMPLES
                self._notice_overlap()
            case SpeechStopped():
                self._pause = event
                self._reading = asyncio.create_task(self._read(self._ears.sound(), event))
            case SpeechResumed():
                self._reading = None
            case TurnEnded(start, end):
                now = self._line.now()
                silent = end if self._pause is None else self._pause.sample
                times = TurnTimes(now - samples_to_seconds(self._ears.samples - silent))
                times.note("endpoint", now)
                sound = self._ears.sound(start, end)
                spoken = samples_to_seconds(silent - self._onset)
                self._start(self._turn_ended(sound, spoken, self._reading, times))
                self._reading = self._pause = None

    # --- understanding ---------------------------------------------------------------------------------------------

    async def _read(self, sound: Audio, pause: SpeechStopped) -> str:
        """Recognise what was said before a pause, while it isn't clear yet whether the turn is over."""
        words = await self._transcribe(sound)
        self._ears.understood(words, pause)
        if self._overlap:
            await self._takes_floor(words, samples_to_seconds(pause.sample - self._onset), over=True)
        return words

    async def _transcribe(self, sound: Audio) -> str:
        self._line.deciding += 1
        try:
            return await asyncio.to_thread(self._recogniser.transcribe, sound)
        finally:
            self._line.deciding -= 1

    async def _turn_ended(
        self, sound: Audio, spoken: float, reading: asyncio.Task[str] | None, times: TurnTimes
    ) -> None:
        self._line.deciding += 1
        try:
            words = await (reading or self._transcribe(sound))
            times.note("words", self._line.now())
            async with self._deciding:
                if self._answer is not None and not await self._takes_floor(words, spoken, over=True, final=True):
                    return
                if any(letter.isalnum() for letter in words):
                    self._begin_answer(words, sound, times)
        finally:
            self._line.deciding -= 1

    # --- speech into our answer ------------------------------------------------------------------------------------

    def _notice_overlap(self) -> None:
        """They speak while we answer: softer, until it is clear what they want."""
        if self._answer is None:
            return
        self._overlap, self._weighed_at = True, FIRST_WEIGHED_SECONDS
        if self._line.playback.heard_seconds:
            self._line.playback.duck(True)
        else:
            self._line.playback.hold(True)  # perhaps they weren't done: don't begin into their words

    def _weigh_overlap(self) -> None:
        """Look at the words of speech that goes on into our answer. Once it falls silent, `_read` does."""
        seconds = samples_to_seconds(self._ears.spoken_until - self._onset)
        if not self._overlap or not self._ears.speaking or seconds < self._weighed_at:
            return
        self._weighed_at = seconds + WEIGHED_EVERY_SECONDS
        self._start(self._weigh(self._ears.sound(), seconds))

    async def _weigh(self, sound: Audio, seconds: float) -> None:
        words = await self._transcribe(sound)
        if self._overlap:
            await self._takes_floor(words, seconds)

    async def _takes_floor(self, words: str, seconds: float, *, over: bool = False, final: bool = False) -> bool:
        """Whether speech into our answer is meant to stop it: if so it stops; if certainly not, it goes on."""
        wanted = bool(interrupts(words, seconds if words else 0.0, over=over))  # without words it is noise
        if wanted:
            await self._interrupt()
        elif final:
            self._overlap = False
            self._line.playback.duck(False)
            self._line.playback.hold(False)
            self._tell(Ignored(words))
        return wanted

    async def _interrupt(self) -> None:
        """Fall silent now, and remember only what was heard."""
        answer, self._answer, self._overlap = self._answer, None, False
        if answer is None:
            return
        heard_seconds = self._line.playback.flush()
        onset_seconds = samples_to_seconds(self._ears.samples - self._onset)
        answer.cancel()
        self._line.deciding += 1
        try:
            words = await self._mouth.cut(heard_seconds)
        finally:
            self._line.deciding -= 1
        if words:
            self.history.append(("assistant", words + BROKEN_OFF))
        self._tell(Interrupted(words, heard_seconds, onset_seconds))

    # --- our answer ------------------------------------------------------------------------------------------------

    def _begin_answer(self, words: str, sound: Audio, times: TurnTimes) -> None:
        self.history.append(("user", words))
        self._tell(Heard(words, sound.seconds))
        self._line.playback.begin()
        self._answer = Answer(self._line, self._mouth, times, self._tell)
        self._answer.give(self._mind.reply(self.history[-HISTORY:]), sound, words)
        if self._ears.speaking:  # they have gone on in the meantime
            self._notice_overlap()

    def _settle(self) -> None:
        """Close our answer once it was played to its end."""
        answer = self._answer
        if answer is None or not answer.made or self._line.playback.queued:
            return
        answer.raise_failure()
        self._answer, self._overlap = None, False  # what they say from here on comes after us, not into us
        self._line.playback.duck(False)
        self._line.playback.hold(False)
        if answer.words:
            self.history.append(("assistant", answer.words))
        self._tell(Answered(answer.words, self._line.playback.heard_seconds, answer.times))

    # --- work beside the line --------------------------------------------------------------------------------------

    def _start(self, work: Coroutine[None, None, None]) -> None:
        self._tasks.add(asyncio.create_task(work))

    def _tell_failures(self) -> None:
        for task in [task for task in self._tasks if task.done()]:
            self._tasks.discard(task)
            try:
                task.result()
            except DuologueError as error:  # say so and go on; anything else is a fault of this program
                self._tell(Failed(str(error)))
