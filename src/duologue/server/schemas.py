"""The bodies of requests: OpenAI's fields plus ours, all of ours optional. Unknown fields are ignored."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field, StringConstraints, field_validator

from .tempo import FASTEST, SLOWEST

FormatName = Literal["mp3", "opus", "aac", "flac", "wav", "pcm", "ogg", "webm"]
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]


class VoiceObject(BaseModel):
    """OpenAI's shape of a custom voice."""

    id: Name


class Sampling(BaseModel):
    """Ours: how the model draws. Left out, the model's own defaults hold."""

    seed: int | None = Field(None, ge=0, lt=2**63)
    temperature: float | None = Field(None, ge=0.0, le=2.0)
    top_k: int | None = Field(None, ge=0, le=10_000)


class SpeechRequest(Sampling):
    """POST /v1/audio/speech."""

    model: Name
    input: Text
    voice: Name | VoiceObject | None = None  # None: the model's first voice
    instructions: str | None = Field(None, max_length=4_096)
    response_format: FormatName = "mp3"
    speed: float = Field(1.0, ge=SLOWEST, le=FASTEST)
    stream_format: Literal["audio", "sse"] = "audio"
    conversation: Name | None = None  # ours: speak as the next turn of this conversation

    @field_validator("response_format", "stream_format", "speed", mode="before")
    @classmethod
    def null_is_default(cls, value: object, info: object) -> object:
        """Some clients send null for a field they don't set."""
        if value is not None:
            return value
        return cls.model_fields[info.field_name].default  # type: ignore[attr-defined]

    @property
    def voice_id(self) -> str | None:
        return self.voice.id if isinstance(self.voice, VoiceObject) else self.voice


class BatchRequest(BaseModel):
    """POST /v1/audio/speech/batch: shared fields are inside each item."""

    items: list[SpeechRequest] = Field(min_length=1)


class ConversationRequest(BaseModel):
    """POST /v1/conversations."""

    voice: Name | VoiceObject | None = None


class SayRequest(Sampling):
    """POST /v1/conversations/{id}/say."""

    input: Text
    response_format: FormatName = "mp3"
    speed: float = Field(1.0, ge=SLOWEST, le=FASTEST)
    stream_format: Literal["audio", "sse"] = "audio"


class CutRequest(BaseModel):
    """POST /v1/conversations/{id}/cut: the listener heard this much of the last spoken turn."""

    heard_ms: int = Field(ge=0)
