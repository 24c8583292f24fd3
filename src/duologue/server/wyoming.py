"""Wyoming, the protocol of Home Assistant's voices: text in, sound out; speech to words too, if there are ears.

Text may come whole (`synthesize`) or bit by bit (`synthesize-start`, `-chunk`, `-stop`), cut anywhere. It is spoken
sentence by sentence, as turns of one conversation, so each sentence continues the sound of the one before.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import numpy as np
from wyoming.asr import Transcribe, Transcript
from wyoming.audio import AudioChunk, AudioChunkConverter, AudioStart, AudioStop
from wyoming.error import Error
from wyoming.event import Event
from wyoming.info import AsrModel, AsrProgram, Attribution, Describe, Info, TtsProgram, TtsVoice
from wyoming.server import AsyncEventHandler
from wyoming.tts import (
    Synthesize,
    SynthesizeChunk,
    SynthesizeStart,
    SynthesizeStop,
    SynthesizeStopped,
    SynthesizeVoice,
)  # fmt: skip

from .. import __version__
from ..audio import Audio
from ..timebase import RATE_HZ
from ..voice import Voice
from .conversations import HeldConversation
from .errors import known
from .schemas import Sampling
from .sentences import SentenceBuffer
from .services import Services
from .streams import Delivery

log = logging.getLogger("duologue.wyoming")
FORMAT = {"rate": RATE_HZ, "width": 2, "channels": 1}
LANGUAGES = ["en"]
OURS = Attribution("duologue", "")


def describe(here: Services) -> Info:
    """What a client can choose from."""
    voices = [_voice(stored.voice) for stored in here.voices]
    speech = TtsProgram(
        name="duologue", description=here.model_id, version=__version__, attribution=OURS, installed=True,
        voices=voices, supports_synthesize_streaming=True,
    )  # fmt: skip
    ears = here.talk.recogniser
    if ears is None:
        return Info(tts=[speech])
    model = AsrModel(
        name=ears.name, description=ears.name, version=None, attribution=Attribution("OpenAI Whisper", ""),
        installed=True, languages=LANGUAGES,
    )  # fmt: skip
    words = AsrProgram(
        name="duologue", description=ears.name, version=__version__, attribution=OURS, installed=True, models=[model]
    )
    return Info(tts=[speech], asr=[words])


def _voice(voice: Voice) -> TtsVoice:
    about = f"{voice.name}, {voice.accent.capitalize()} English"
    return TtsVoice(voice.name, OURS, installed=True, description=about, version=__version__, languages=LANGUAGES)


class WyomingSession(AsyncEventHandler):
    """One connection."""

    def __init__(self, here: Services, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        super().__init__(reader, writer)
        self._here = here
        self._buffer: SentenceBuffer | None = None  # while text comes bit by bit
        self._voice: str | None = None
        self._held: HeldConversation | None = None
        self._sounding = False
        self._to_recogniser = AudioChunkConverter(rate=RATE_HZ, width=2, channels=1)
        self._recorded = bytearray()

    async def handle_event(self, event: Event) -> bool:
        """Answer one event. What goes wrong is told as an error event; the connection stays."""
        try:
            await self._handle(event)
        except (ConnectionError, asyncio.CancelledError):
            raise
        except Exception as error:  # the border of the protocol
            self._buffer = None
            await self._end_text()
            failure = known(error)
            await self.write_event(Error(failure.message, failure.code).event())
        return True

    async def _handle(self, event: Event) -> None:
        if Describe.is_type(event.type):
            await self.write_event(describe(self._here).event())
        elif Synthesize.is_type(event.type):
            if self._buffer is None:  # while streaming, the whole text comes once more for servers that can't
                whole = Synthesize.from_event(event)
                self._begin_text(whole.voice)
                await self._speak([*self._take(whole.text), *self._rest()])
                await self._end_text()
        elif SynthesizeStart.is_type(event.type):
            self._begin_text(SynthesizeStart.from_event(event).voice)
        elif SynthesizeChunk.is_type(event.type):
            await self._speak(self._take(SynthesizeChunk.from_event(event).text))
        elif SynthesizeStop.is_type(event.type):
            await self._speak(self._rest())
            await self._end_text()
            await self.write_event(SynthesizeStopped().event())
        else:
            await self._handle_recording(event)

    async def disconnect(self) -> None:
        """The client left."""
        self._forget()

    # --- text to sound ---------------------------------------------------------------------------------------------

    def _begin_text(self, voice: SynthesizeVoice | None) -> None:
        self._forget()
        self._voice = voice.name if voice is not None else None
        self._here.voices.find(self._voice)
        self._buffer = SentenceBuffer()

    def _take(self, text: str) -> list[str]:
        if self._buffer is None:
            return []
        self._here.check_length(text, "text")
        return self._buffer.push(text)

    def _rest(self) -> list[str]:
        return [] if self._buffer is None else self._buffer.flush()

    async def _speak(self, sentences: list[str]) -> None:
        for sentence in sentences:
            if self._held is None:
                self._held = await self._here.conversations.create([self._here.voices.find(self._voice)])
            stream, _ = await self._held.say(sentence, None, Sampling(), Delivery("pcm"), "")
            try:
                if not self._sounding:
                    self._sounding = True
                    await self.write_event(AudioStart(**FORMAT).event())
                async for chunk in stream.chunks():
                    await self.write_event(AudioChunk(audio=chunk, **FORMAT).event())
            finally:
                stream.leave()

    async def _end_text(self) -> None:
        self._buffer = None
        self._forget()
        if self._sounding:
            self._sounding = False
            await self.write_event(AudioStop().event())

    def _forget(self) -> None:
        if self._held is not None:
            self._here.conversations.delete(self._held.id)
            self._held = None

    # --- sound to words --------------------------------------------------------------------------------------------

    async def _handle_recording(self, event: Event) -> None:
        if Transcribe.is_type(event.type) or AudioStart.is_type(event.type):
            self._recorded.clear()
        elif AudioChunk.is_type(event.type):
            chunk = self._to_recogniser.convert(AudioChunk.from_event(event))
            if len(self._recorded) < self._here.settings.max_heard_seconds * RATE_HZ * 2:
                self._recorded += chunk.audio
        elif AudioStop.is_type(event.type):
            await self.write_event(Transcript(await self._words()).event())
        else:
            log.debug("an event of type %s is not known here", event.type)

    async def _words(self) -> str:
        ears = self._here.talk.recogniser
        samples = np.frombuffer(bytes(self._recorded[: len(self._recorded) // 2 * 2]), "<i2")
        self._recorded.clear()
        if ears is None or not len(samples):
            return ""
        audio = Audio(samples.astype(np.float32) / np.float32(32_768))
        return await asyncio.to_thread(ears.transcribe, audio)


def sessions(here: Services) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], WyomingSession]:
    """What `wyoming.server.AsyncServer` wants: a handler for each connection."""
    return lambda reader, writer: WyomingSession(here, reader, writer)
