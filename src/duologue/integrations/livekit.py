"""The voice for livekit-agents: a streaming TTS that speaks in a conversation.

    session = AgentSession(stt=…, llm=…, tts=TTS())

The model runs in this process. Text is spoken sentence by sentence while the language model still writes, and each one
continues the sound of the one before. `hear` gives it the user's turns; `cut` says how far an interrupted answer came.
"""

from __future__ import annotations

from contextlib import aclosing

from livekit.agents import APIConnectOptions, APIError, tts, utils
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS

from ..agent.mouth import ConversationMouth
from ..agent.phrases import PhraseBuffer
from ..api import Model
from ..audio import Audio
from ..errors import DuologueError
from ..speaking import GenerationConfig
from ..timebase import RATE_HZ
from ..voice import Voice
from .pcm import to_pcm

MIME = "audio/pcm"


class TTS(tts.TTS):
    """Speaks with a loaded model, by default the embedded voice."""

    def __init__(
        self, *, model: Model | None = None, voice: Voice | str | None = None, seed: int | None = None
    ) -> None:
        from .. import load

        super().__init__(capabilities=tts.TTSCapabilities(streaming=True), sample_rate=RATE_HZ, num_channels=1)
        self._speech_model = model or load()
        options = GenerationConfig(check=not self._speech_model.card.noise)
        self.mouth = ConversationMouth(self._speech_model.conversation(voice), seed=seed, options=options)

    @property
    def model(self) -> str:
        """The model's name."""
        return self._speech_model.name

    @property
    def provider(self) -> str:
        """Who speaks."""
        return "duologue"

    def synthesize(
        self, text: str, *, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS
    ) -> tts.ChunkedStream:
        """Speak a whole text."""
        return _WholeText(tts=self, input_text=text, conn_options=conn_options)

    def stream(self, *, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS) -> tts.SynthesizeStream:
        """Speak a text that comes bit by bit."""
        return _TextInBits(tts=self, conn_options=conn_options)

    async def hear(self, audio: Audio, words: str) -> None:
        """Take in the user's turn."""
        await self.mouth.hear(audio, words)

    async def cut(self, heard_seconds: float) -> str:
        """Keep only what was heard of our last turn, as livekit's `playback_position` tells; returns its words."""
        return await self.mouth.cut(heard_seconds)

    async def aclose(self) -> None:
        """Let the voice's thread end."""
        self.mouth.close()
        await super().aclose()


async def _speak(voice: tts.TTS, text: str, output: tts.AudioEmitter) -> None:
    assert isinstance(voice, TTS)
    try:
        async with aclosing(voice.mouth.say(text)) as speech:
            async for samples in speech:
                output.push(to_pcm(samples))
    except DuologueError as error:
        raise APIError(str(error), retryable=False) from error


class _WholeText(tts.ChunkedStream):
    async def _run(self, output_emitter: tts.AudioEmitter) -> None:
        output_emitter.initialize(request_id=utils.shortuuid(), sample_rate=RATE_HZ, num_channels=1, mime_type=MIME)
        await _speak(self._tts, self._input_text, output_emitter)
        output_emitter.flush()


class _TextInBits(tts.SynthesizeStream):
    async def _run(self, output_emitter: tts.AudioEmitter) -> None:
        request = utils.shortuuid()
        output_emitter.initialize(request_id=request, sample_rate=RATE_HZ, num_channels=1, mime_type=MIME, stream=True)
        output_emitter.start_segment(segment_id=request)
        phrases = PhraseBuffer()
        async for bit in self._input_ch:
            found = phrases.push(bit) if isinstance(bit, str) else phrases.flush()
            for phrase in found:
                self._mark_started()
                await _speak(self._tts, phrase, output_emitter)
        for phrase in phrases.flush():
            await _speak(self._tts, phrase, output_emitter)
        output_emitter.end_segment()
