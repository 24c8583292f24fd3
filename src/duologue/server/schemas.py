"""The bodies of requests: OpenAI's fields plus ours, all of ours optional. Unknown fields are ignored."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    Field,
    StringConstraints,
    ValidationInfo,
    field_validator,
    model_validator,
)

from .tempo import FASTEST, SLOWEST

FormatName = Literal["mp3", "opus", "aac", "flac", "wav", "pcm", "ogg", "webm"]


def _with_words(text: str) -> str:
    if not text.strip():
        raise ValueError("there is nothing to speak")
    return text


# White space around it stays: word times point into the text as it came.
Text = Annotated[str, StringConstraints(min_length=1), AfterValidator(_with_words)]
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]


class VoiceObject(BaseModel):
    """OpenAI's shape of a custom voice."""

    id: Name


class Sampling(BaseModel):
    """Ours: how the model draws. Left out, the model's own defaults hold."""

    seed: int | None = Field(default=None, ge=0, lt=2**63)
    temperature: float | None = Field(default=None, ge=0.0, le=2.0)
    top_k: int | None = Field(default=None, ge=0, le=10_000)


class SayRequest(Sampling):
    """POST /v1/conversations/{id}/say, and what it shares with OpenAI's route."""

    input: Text
    voice: Name | VoiceObject | None = None  # None: the model's, or the conversation's, first voice
    response_format: FormatName = "mp3"
    speed: float = Field(default=1.0, ge=SLOWEST, le=FASTEST)
    stream_format: Literal["audio", "sse"] = "audio"
    word_times: bool = False  # ours: say in the events when each word begins; needs stream_format sse

    @model_validator(mode="after")
    def word_times_need_events(self) -> Self:
        """Sound alone has no place for them."""
        if self.word_times and self.stream_format != "sse":
            raise ValueError('word_times come as events; ask for "stream_format": "sse" as well')
        return self

    @field_validator("response_format", "stream_format", "speed", mode="before")
    @classmethod
    def null_is_default(cls, value: object, info: ValidationInfo) -> object:
        """Some clients send null for a field they don't set."""
        if value is not None or info.field_name is None:
            return value
        return cls.model_fields[info.field_name].default

    @property
    def voice_id(self) -> str | None:
        return id_of(self.voice)


class SpeechRequest(SayRequest):
    """POST /v1/audio/speech."""

    model: Name
    instructions: str | None = Field(default=None, max_length=4_096)
    conversation: Name | None = None  # ours: speak as the next turn of this conversation


class BatchRequest(BaseModel):
    """POST /v1/audio/speech/batch."""

    items: list[SpeechRequest] = Field(min_length=1)


class ConversationRequest(BaseModel):
    """POST /v1/conversations: who may speak in it. No voice: the model's first one."""

    voices: list[Name | VoiceObject] = Field(default=[], max_length=8)

    @property
    def voice_ids(self) -> list[str | None]:
        return [id_of(voice) for voice in self.voices] or [None]


class CutRequest(BaseModel):
    """POST /v1/conversations/{id}/cut: the listener heard this much of the last spoken turn."""

    heard_ms: int = Field(ge=0, le=3_600_000)


def id_of(voice: str | VoiceObject | None) -> str | None:
    return voice.id if isinstance(voice, VoiceObject) else voice
