"""The bodies of answers, as /openapi.json describes them. Shapes only; what a route adds beyond them is kept."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from .audio_formats import FORMATS


class Answer(BaseModel):
    model_config = ConfigDict(extra="allow")


class ErrorDetail(Answer):
    message: str
    type: str
    param: str | None
    code: str | None


class ErrorAnswer(Answer):
    """Every failure, in the shape that OpenAI's clients parse."""

    error: ErrorDetail


class ModelAnswer(Answer):
    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    parent: str | None


class ModelList(Answer):
    object: Literal["list"]
    data: list[ModelAnswer]


class VoiceAnswer(Answer):
    id: str
    object: Literal["audio.voice"]
    name: str
    language: str
    accent: str
    description: str
    licence: str
    cloned: bool
    created_at: int


class VoiceList(Answer):
    """The same list under every name that a known client reads."""

    object: Literal["list"]
    data: list[VoiceAnswer]
    voices: list[VoiceAnswer]
    uploaded_voices: list[VoiceAnswer]


class NewVoice(VoiceAnswer):
    warnings: list[str]  # what was corrected in the recording
    checked: list[str]
    not_checked: list[str]


class ConsentAnswer(Answer):
    id: str
    object: Literal["audio.voice_consent"]
    name: str
    language: str
    created_at: int
    phrase: str
    checked: list[str]
    not_checked: list[str]  # for want of a model that could


class Deleted(Answer):
    id: str
    object: str
    deleted: Literal[True]


class TurnAnswer(Answer):
    speaker: int
    text: str
    spoken: bool  # by this server, not heard
    seconds: float


class ConversationAnswer(Answer):
    id: str
    object: Literal["conversation"]
    created_at: int
    voices: dict[str, str]  # speaker number to voice
    listener: int
    context_seconds: float
    dropped_turns: int
    turns: list[TurnAnswer]


class CutAnswer(ConversationAnswer):
    remains: str  # the words that were heard of the turn


class BatchItemAnswer(Answer):
    """An item's outcome: audio, or an error with its status."""

    index: int
    status: int
    content_type: str | None = None
    audio: str | None = None  # base64
    seed: int | None = None
    words: list[dict[str, Any]] | None = None  # with their times, if they were asked for
    usage: dict[str, Any] | None = None
    error: ErrorDetail | None = None


class BatchAnswer(Answer):
    object: Literal["list"]
    data: list[BatchItemAnswer]


class TranscriptAnswer(Answer):
    text: str


class Readiness(Answer):
    ready: bool
    draining: bool
    speaking: int
    waiting: int
    capacity: int


FAILURES: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": ErrorAnswer, "description": "The request can't be served; the code says why."},
    "5XX": {
        "model": ErrorAnswer,
        "description": "503 with Retry-After: no room now. 500: the model's speech failed its checks, or a fault.",
    },
}
_BYTES: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}
SPEECH: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Sound in the format asked for, from the first frame on; with stream_format sse, events.",
        "content": {
            **{known.content_type: _BYTES for known in FORMATS.values()},
            "text/event-stream": {"schema": {"type": "string"}},
        },
        "headers": {
            "x-seed": {"description": "Repeats this speech.", "schema": {"type": "string"}},
            "x-first-audio-ms": {"description": "Until the first frame existed.", "schema": {"type": "string"}},
        },
    }
}


def describe_key(document: dict[str, Any]) -> dict[str, Any]:
    """Add to an OpenAPI document that a key may be asked for."""
    document.setdefault("components", {})["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    document["security"] = [{}, {"key": []}]
    return document
