"""The voice for pipecat: a TTS service that speaks in a conversation, and a processor through which it hears the user.

    hears = HearingProcessor(tts := DuologueTTSService())
    Pipeline([transport.input(), stt, hears, user_context, llm, tts, transport.output(), assistant_context])

The model runs in this process. Each sentence continues the sound of the one before, also that of the user's turns, if
the processor stands behind the speech recognition. An interruption cuts the voice's memory to what was played.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from pipecat.frames.frames import (
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
    ErrorFrame,
    Frame,
    InputAudioRawFrame,
    InterruptionFrame,
    TranscriptionFrame,
    TTSAudioRawFrame,
    UserStartedSpeakingFrame,
)
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.services.settings import TTSSettings
from pipecat.services.tts_service import TTSService

from ..agent.mouth import ConversationMouth
from ..api import Model
from ..errors import DuologueError
from ..speaking import GenerationConfig
from ..timebase import RATE_HZ
from ..voice import Voice
from .pcm import from_pcm, to_pcm

PREFIX_SECONDS = 0.5  # of sound kept from before the user was noticed to speak
MAX_SECONDS = 30.0


class DuologueTTSService(TTSService):
    """Speaks with a loaded model, by default the embedded voice."""

    def __init__(
        self, *, model: Model | None = None, voice: Voice | str | None = None, seed: int | None = None, **kwargs: Any
    ) -> None:
        """`voice` is one of the model's names or a Voice; further arguments are those of pipecat's TTSService."""
        from .. import load

        self._model = model or load()
        name = voice.name if isinstance(voice, Voice) else voice
        settings = TTSSettings(model=self._model.name, voice=name, language=None)
        super().__init__(sample_rate=RATE_HZ, push_start_frame=True, push_stop_frames=True, settings=settings, **kwargs)
        options = GenerationConfig(check=not self._model.card.noise)
        self.mouth = ConversationMouth(self._model.conversation(voice), seed=seed, options=options)
        self._began: float | None = None

    def can_generate_metrics(self) -> bool:
        """Time to first byte and usage are measured."""
        return True

    async def run_tts(self, text: str, context_id: str) -> AsyncGenerator[Frame | None, None]:
        """Speak a sentence as the next part of our turn."""
        await self.start_tts_usage_metrics(text)
        try:
            async with aclosing(self.mouth.say(text)) as speech:
                async for samples in speech:
                    await self.stop_ttfb_metrics()
                    yield TTSAudioRawFrame(to_pcm(samples), RATE_HZ, 1, context_id=context_id)
        except DuologueError as error:
            yield ErrorFrame(error=str(error))

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Follow when we are heard, so that an interruption can be remembered as it was."""
        if isinstance(frame, BotStartedSpeakingFrame):
            self._began = time.monotonic()
        elif isinstance(frame, BotStoppedSpeakingFrame):
            self._began = None
        if not isinstance(frame, InterruptionFrame):
            await super().process_frame(frame, direction)
            return
        began, self._began = self._began, None
        heard_seconds = 0.0 if began is None else time.monotonic() - began
        unfinished = began is not None or self.has_active_audio_context()
        self.mouth.hush()
        await super().process_frame(frame, direction)
        if unfinished:
            await self.mouth.cut(heard_seconds)

    async def cleanup(self) -> None:
        """Let the voice's thread end."""
        await super().cleanup()
        self.mouth.close()


class HearingProcessor(FrameProcessor):
    """Lets a DuologueTTSService hear the user's turns as sound and words. Stands behind the speech recognition."""

    def __init__(self, service: DuologueTTSService, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._service = service
        self._sound = bytearray()
        self._speaking = False
        self._form = (RATE_HZ, 1)

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Collect sound; pass it on with its words when they are known."""
        await super().process_frame(frame, direction)
        if isinstance(frame, InputAudioRawFrame):
            self._collect(frame)
        elif isinstance(frame, UserStartedSpeakingFrame):
            self._speaking = True
        elif isinstance(frame, TranscriptionFrame) and frame.text.strip():
            await self._hear(frame.text)
        await self.push_frame(frame, direction)

    def _collect(self, frame: InputAudioRawFrame) -> None:
        self._form = (frame.sample_rate, frame.num_channels)
        self._sound += frame.audio
        seconds = MAX_SECONDS if self._speaking else PREFIX_SECONDS
        surplus = len(self._sound) - int(seconds * frame.sample_rate) * 2 * frame.num_channels
        if surplus > 0:
            del self._sound[:surplus]

    async def _hear(self, words: str) -> None:
        sound, self._sound, self._speaking = bytes(self._sound), bytearray(), False
        if sound:
            await self._service.mouth.hear(from_pcm(sound, *self._form), words)
