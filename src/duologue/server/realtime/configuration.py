"""What a session is set to: OpenAI's nested shape, merged field by field, told back as it really holds.

What has one possible value here (no tracing, no noise reduction) is taken and answered with that value; what would
change the outcome and can't be done (remote tools, prompts of a store) is told as an error.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, ValidationError

from ...agent.turn_detection import Eagerness, SemanticVad, ServerVad
from ..errors import ApiError
from ..schemas import Name, VoiceObject, id_of
from .wire import FormatName

Modality = Literal["text", "audio"]
MAX_TOOLS, MAX_TOOLS_CHARACTERS = 128, 200_000
SLOWEST, FASTEST = 0.25, 1.5  # OpenAI's


class Format(BaseModel):
    """How sound travels. `audio/pcm` is 16-bit at 24 kHz, the other two are G.711 at 8 kHz."""

    type: FormatName = "audio/pcm"
    rate: Literal[24_000] | None = None

    def told(self) -> dict[str, Any]:
        return {"type": self.type, "rate": 24_000} if self.type == "audio/pcm" else {"type": self.type}


class ByClock(BaseModel):
    """OpenAI's server_vad."""

    type: Literal["server_vad"]
    threshold: float = Field(default=0.5, gt=0.0, lt=1.0)
    prefix_padding_ms: int = Field(default=300, ge=0, le=5_000)
    silence_duration_ms: int = Field(default=500, ge=0, le=10_000)
    idle_timeout_ms: None = None
    create_response: bool | None = None
    interrupt_response: bool = True

    def detector(self) -> ServerVad:
        return ServerVad(self.threshold, self.prefix_padding_ms, self.silence_duration_ms)


class BySense(BaseModel):
    """OpenAI's semantic_vad."""

    type: Literal["semantic_vad"]
    eagerness: Eagerness = "auto"
    create_response: bool | None = None
    interrupt_response: bool = True

    def detector(self) -> SemanticVad:
        return SemanticVad(self.eagerness)


Turns = Annotated[ByClock | BySense, Field(discriminator="type")]


class Transcription(BaseModel):
    """That the client wants to read what was heard. The model is this server's, whichever was asked for."""

    model: str | None = None
    language: str | None = None
    prompt: str | None = None


class Function(BaseModel):
    """A function of the client's that the language model may ask for."""

    type: Literal["function"] = "function"
    name: str = Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")
    description: str | None = None
    parameters: dict[str, Any] | None = None

    def told(self) -> dict[str, Any]:
        return self.model_dump(exclude_none=True)


class ChosenFunction(BaseModel):
    """tool_choice for one function."""

    type: Literal["function"]
    name: str = Field(max_length=64)


Tools = Annotated[list[Function], Field(max_length=MAX_TOOLS)]
ToolChoice = Literal["auto", "none", "required"] | ChosenFunction


class Input(BaseModel):
    """session.audio.input"""

    format: Format = Format()
    transcription: Transcription | None = None
    turn_detection: Turns | None = ByClock(type="server_vad")


class Output(BaseModel):
    """session.audio.output"""

    format: Format = Format()
    voice: Name | VoiceObject | None = None
    speed: float = Field(default=1.0, ge=SLOWEST, le=FASTEST)


class Audio(BaseModel):
    """session.audio"""

    input: Input = Input()
    output: Output = Output()


class Session(BaseModel):
    """A whole session's settings."""

    type: Literal["realtime"] = "realtime"
    instructions: str = Field(default="", max_length=20_000)
    output_modalities: list[Modality] = Field(default=["audio"], min_length=1, max_length=2)
    max_output_tokens: Literal["inf"] | Annotated[int, Field(ge=1, le=4_096)] = "inf"
    tools: Tools = []
    tool_choice: ToolChoice = "auto"
    audio: Audio = Audio()

    @property
    def turns(self) -> ByClock | BySense | None:
        return self.audio.input.turn_detection

    @property
    def voice_id(self) -> str | None:
        return id_of(self.audio.output.voice)

    def merged(self, patch: Mapping[str, Any]) -> Session:
        """These settings with a session.update's over them. Raises ApiError 400 that names the field."""
        now = self.model_dump()
        return _validated(Session, _over(now, patch), "session")


class ResponseRequest(BaseModel):
    """response.create: what differs from the session for one response."""

    conversation: Literal["auto", "none"] = "auto"
    instructions: str | None = Field(default=None, max_length=20_000)
    output_modalities: list[Modality] | None = Field(default=None, min_length=1, max_length=2)
    max_output_tokens: Literal["inf"] | Annotated[int, Field(ge=1, le=4_096)] | None = None
    metadata: dict[Annotated[str, Field(max_length=64)], Annotated[str, Field(max_length=512)]] | None = Field(
        default=None, max_length=16
    )
    input: list[dict[str, Any]] | None = Field(default=None, max_length=200)
    tools: Tools | None = None
    tool_choice: ToolChoice | None = None
    audio: dict[str, Any] | None = None

    @classmethod
    def parse(cls, given: Mapping[str, Any]) -> ResponseRequest:
        """Raises ApiError 400 that names the field."""
        return _validated(cls, {name: value for name, value in given.items() if value is not None}, "response")


def without_refused(given: Mapping[str, Any], place: str, can_think: bool) -> tuple[Mapping[str, Any], list[ApiError]]:
    """A patch without what this server doesn't have, and an error for each such thing; the rest of it is taken."""
    errors: list[ApiError] = []

    def refuse(name: str, message: str) -> None:
        errors.append(ApiError(400, message, code="unsupported", param=f"{place}.{name}"))

    rest = {name: value for name, value in given.items() if name != "prompt"}
    if given.get("prompt"):
        refuse("prompt", f"{place}.prompt can't be used here: this server stores no prompts; send instructions.")
    tools = given.get("tools")
    if not isinstance(tools, list):
        return rest, errors
    if tools and not can_think:
        rest["tools"] = []
        refuse("tools", f"{place}.tools can't be used here: this server has no language model (--llm) to call them.")
        return rest, errors
    kept = [tool for tool in tools if not isinstance(tool, Mapping) or tool.get("type", "function") == "function"]
    if len(kept) < len(tools):
        refuse("tools", f"{place}.tools: only functions can be used here; others, such as mcp, were left out.")
    if len(json.dumps(kept)) > MAX_TOOLS_CHARACTERS:
        raise ApiError(400, f"{place}.tools is too long.", code="invalid_value", param=f"{place}.tools")
    return {**rest, "tools": kept}, errors


def _over(below: dict[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = copy.deepcopy(below)
    for name, value in above.items():
        old = merged.get(name)
        if isinstance(old, dict) and isinstance(value, Mapping) and value.get("type") in (None, old.get("type")):
            merged[name] = _over(old, value)
        elif value is not None or name in ("turn_detection", "transcription"):
            merged[name] = value
    return merged


def _validated(model: type[Any], values: Mapping[str, Any], place: str) -> Any:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        names = [str(part) for part in first["loc"] if part not in ("server_vad", "semantic_vad", "VoiceObject")]
        field = ".".join([place, *names])
        raise ApiError(400, f"{field}: {first['msg']}.", code="invalid_value", param=field) from None
