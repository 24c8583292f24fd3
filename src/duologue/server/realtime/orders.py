"""From response.create and the session's settings to one order: what is said, by whom, how. Knows no events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from ..errors import ApiError
from ..services import Services
from ..voice_store import StoredVoice
from .configuration import Format, Modality, Output, ResponseRequest, Session
from .items import Item
from .items_given import parse_item
from .memory import Memory
from .wire import Hearing


@dataclass(frozen=True)
class Order:
    """What a response is to be, with the session's settings filled in."""

    request: ResponseRequest
    modality: Modality
    format: Format
    voice: StoredVoice
    speed: float
    instructions: str
    max_tokens: int | None
    given: tuple[Item, ...] | None  # the past that the client gives in place of the conversation
    text: str | None  # what to say word for word; None: the language model decides
    tools: tuple[Mapping[str, Any], ...] = ()
    tool_choice: str | Mapping[str, Any] = "auto"
    speech_ended: float | None = None  # when the turn that it answers fell silent

    @property
    def in_conversation(self) -> bool:
        return self.request.conversation == "auto"


def order_of(
    request: ResponseRequest, settings: Session, here: Services, memory: Memory, speech_ended: float | None = None
) -> Order:
    """Raises ApiError 400 for what can't be done, above all: nobody to find the words, and none given."""
    spoken = _output(request, settings)
    modalities = request.output_modalities or settings.output_modalities
    stored = here.voices.find(spoken["voice_id"])
    if request.conversation == "auto" and memory.has_begun and memory.voice and stored.id != memory.voice.id:
        message = 'The voice can\'t change within a conversation; conversation "none" may use any.'
        raise ApiError(400, message, code="cannot_update_voice", param="response.audio.output.voice")
    given = _given(request, settings)
    limit = request.max_output_tokens or settings.max_output_tokens
    text = _words(request, given, here)
    if text is not None:
        here.check_length(text, "response.input")
    return Order(
        request=request,
        modality="audio" if "audio" in modalities else "text",
        format=spoken["format"],
        voice=stored,
        speed=settings.audio.output.speed,
        instructions=settings.instructions if request.instructions is None else request.instructions,
        max_tokens=None if limit == "inf" else limit,
        given=given,
        text=text,
        tools=tuple(tool.told() for tool in (settings.tools if request.tools is None else request.tools)),
        tool_choice=_choice(request.tool_choice or settings.tool_choice),
        speech_ended=speech_ended,
    )


def _choice(given: Any) -> str | Mapping[str, Any]:
    return given if isinstance(given, str) else {"type": "function", "name": given.name}


def _output(request: ResponseRequest, settings: Session) -> dict[str, Any]:
    """Format and voice: the request's where it names them."""
    asked = (request.audio or {}).get("output") or {}
    if not isinstance(asked, dict):
        raise ApiError(400, "response.audio.output should be an object.", code="invalid_value", param="response.audio")
    usual = settings.audio.output.model_dump()
    try:
        chosen = Output.model_validate({**usual, **{name: value for name, value in asked.items() if value is not None}})
    except ValidationError as error:
        field = ".".join(["response.audio.output", *(str(part) for part in error.errors()[0]["loc"])])
        raise ApiError(400, f"{field}: {error.errors()[0]['msg']}.", code="invalid_value", param=field) from None
    voice = chosen.voice
    return {"format": chosen.format, "voice_id": voice if isinstance(voice, str) or voice is None else voice.id}


def _given(request: ResponseRequest, settings: Session) -> tuple[Item, ...] | None:
    if request.input is None:
        return None
    hearing = Hearing(settings.audio.input.format.type)
    return tuple(parse_item(item, hearing) for item in request.input)


def _words(request: ResponseRequest, given: tuple[Item, ...] | None, here: Services) -> str | None:
    """What the client wants said word for word: the assistant's message that `input` ends with, or, where no language
    model could follow instructions, the instructions. None leaves it to the language model.
    """
    if given and given[-1].role == "assistant" and given[-1].text:
        return given[-1].text
    if here.talk.language_model is not None:
        return None
    if request.instructions:
        return request.instructions
    message = (
        "This server has no language model (--llm): give the words as response.instructions, or as an assistant's "
        "message at the end of response.input."
    )
    raise ApiError(400, message, code="language_model_unavailable", param="response.input")
