"""What a client of the text socket may send. Shapes only."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field, TypeAdapter

from .schemas import FormatName, Name, Sampling, VoiceObject, id_of
from .tempo import FASTEST, SLOWEST


class Config(Sampling):
    """How to speak. Comes first, once; without it the defaults hold."""

    type: Literal["session.config"] = "session.config"
    voice: Name | VoiceObject | None = None
    response_format: FormatName = "pcm"
    speed: float = Field(default=1.0, ge=SLOWEST, le=FASTEST)
    conversation: Name | None = None  # None: a new one, forgotten when the socket closes

    @property
    def voice_id(self) -> str | None:
        return id_of(self.voice)


class InputText(BaseModel):
    """More text. It may begin and end anywhere, in the middle of a word too."""

    type: Literal["input.text"]
    text: str


class InputDone(BaseModel):
    """Speak what is left, even if it isn't a whole sentence."""

    type: Literal["input.done"]


class InputCancel(BaseModel):
    """Stop at once and forget text that was not spoken. `heard_ms`: how much of the last turn the listener heard."""

    type: Literal["input.cancel"]
    heard_ms: int | None = Field(default=None, ge=0)


class SessionClose(BaseModel):
    """Good-bye."""

    type: Literal["session.close"]


Message = Annotated[Config | InputText | InputDone | InputCancel | SessionClose, Field(discriminator="type")]
MESSAGES: TypeAdapter[Message] = TypeAdapter(Message)
