"""What one server is made of, put together once; routes find it as `Here`. Knows no HTTP beyond its errors."""

from __future__ import annotations

import logging
import time
from contextlib import closing
from functools import partial
from itertools import islice
from typing import Annotated

from fastapi import Depends
from starlette.requests import HTTPConnection

from ..api import Model
from ..errors import DuologueError
from ..speaking import GenerationConfig, Speech, new_seed
from ..timebase import samples_to_seconds
from .batching import BatchingEngine
from .consent import ConsentChecks
from .conversations import Conversations
from .errors import ApiError
from .metrics import Metrics
from .schemas import Sampling, SayRequest
from .settings import ServerSettings
from .streams import Delivery, SpeechStream, Streams
from .talk_parts import TalkParts
from .uploads import Uploads
from .voice_store import StoredVoice, VoiceStore
from .watermark import NoiseTag
from .word_times import WordTimes

log = logging.getLogger("duologue.server")
FIRST_WORDS, FIRST_FRAMES = "One, two, three, four, five. Is this a good place to speak?", 40
MODEL_ALIASES = ("tts-1", "tts-1-hd", "gpt-4o-mini-tts")  # what OpenAI's clients ask for unless told otherwise


class Services:
    """The model behind its batching engine, and everything that serves it."""

    def __init__(self, model: Model, settings: ServerSettings, talk: TalkParts) -> None:
        self.settings = settings
        self.talk = talk
        self.started = int(time.time())
        self.metrics = Metrics()
        self.engine = BatchingEngine(model.engine, settings.max_streams, self.metrics.observe_step)
        self.model = Model(model.card, self.engine, model.codec, model.reader, model.voices)
        self.model_id = model.name
        default_first = sorted(model.voices.items(), key=lambda item: item[0] != model.card.default_voice)
        self.voices = VoiceStore(dict(default_first), settings.voices_folder, settings.max_voices)
        key = settings.watermark_key
        self.streams = Streams(settings, self.metrics, partial(NoiseTag, key) if key else None)
        self.uploads = Uploads(settings.max_upload_bytes)
        self.consent_checks = ConsentChecks(talk.recogniser)
        self.conversations = Conversations(self.model, self.streams, settings, self.options)
        self.metrics.conversations.set_function(lambda: len(self.conversations))
        self.metrics.warm_conversations.set_function(lambda: self.conversations.warm)

    def check_model(self, name: str) -> None:
        """Raise ApiError 404 unless `name` is this server's model or one of its aliases."""
        if name not in (self.model_id, *MODEL_ALIASES):
            known = ", ".join((self.model_id, *MODEL_ALIASES))
            message = f"There is no model {name[:64]!r} here. Models: {known}."
            raise ApiError(404, message, code="model_not_found", param="model")

    def check_length(self, text: str, param: str) -> None:
        """Raise ApiError 400 for text beyond the limit."""
        limit = self.settings.max_characters
        if len(text) > limit:
            message = f"{param} has {len(text)} characters; {limit} are allowed."
            raise ApiError(400, message, code="string_above_max_length", param=param)

    def options(self, sampling: Sampling) -> GenerationConfig:
        """A request's sampling as the library's; a model of random weights speaks noise, which no check would pass."""
        given = {"temperature": sampling.temperature, "top_k": sampling.top_k}
        chosen = {name: value for name, value in given.items() if value is not None}
        return GenerationConfig(check=not self.model.card.noise, **chosen)  # type: ignore[arg-type]

    def delivery(self, asked: SayRequest) -> Delivery:
        """How a request's speech is to leave."""
        times = WordTimes(self.model.reader, asked.input) if asked.word_times and self.knows_word_times else None
        return Delivery(asked.response_format, asked.speed, times)

    @property
    def knows_word_times(self) -> bool:
        """Whether the model tells where in the text it is, and in which word."""
        return self.model.config.aligned is not None and self.model.reader.words_of_ids("one", "american") is not None

    def count_units(self, text: str) -> int:
        """How many text units the model reads for a text: what OpenAI's clients call input tokens."""
        return sum(len(sentence.ids) for sentence in self.model.reader.sentences(text, 0, "american", True))

    async def speak(
        self, text: str, stored: StoredVoice, sampling: Sampling, delivery: Delivery, key: str
    ) -> tuple[SpeechStream, int]:
        """Begin to speak a text that belongs to no conversation. Returns the stream and the seed that repeats it."""
        seed = new_seed() if sampling.seed is None else sampling.seed

        def source() -> Speech:
            voice = self.model.voice(stored.voice)
            self.voices.remember(stored, voice)
            return self.model.stream(text, voice=voice, seed=seed, options=self.options(sampling))

        return await self.streams.start(source, delivery, key), seed

    def measure_pace(self) -> None:
        """Speak a little to nobody: a server knows what its machine carries before the first request. Blocks."""
        voice = next((stored.voice for stored in self.voices), None)  # a model may have none yet
        began = time.monotonic()
        try:
            with closing(self.model.stream(FIRST_WORDS, voice=voice, options=self.options(Sampling()))) as speech:
                for wav in islice(speech, FIRST_FRAMES):
                    now = time.monotonic()
                    self.streams.pace.chunk(samples_to_seconds(len(wav)), now - began, 1)
                    began = now
        except DuologueError as error:  # then the first requests will tell
            log.warning("The first words went wrong: %s", error)

    async def close(self) -> None:
        """Let speech end, put conversations away, and stop the engine."""
        await self.streams.close()
        await self.conversations.close()
        self.engine.close()


def services_of(connection: HTTPConnection) -> Services:
    """The services of the app that a request came to."""
    found: Services = connection.app.state.services
    return found


Here = Annotated[Services, Depends(services_of)]
