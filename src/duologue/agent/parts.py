"""The parts of a voice agent by contract: who reads, who thinks, who speaks, and the line to the other side.

Each can be replaced by anything that keeps its contract. Knows none of the things that do.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ..audio import Audio, Samples
from .playback import Playback


class Recogniser(Protocol):
    """Speech to words."""

    name: str

    def transcribe(self, audio: Audio) -> str:
        """The words; empty if there are none. Called on worker threads."""
        ...


class Mind(Protocol):
    """What to say next."""

    name: str

    def reply(self, turns: Sequence[tuple[str, str]]) -> AsyncIterator[str]:
        """The answer to (role, text) turns, bit by bit; roles are "user" and "assistant"."""
        ...


@dataclass(frozen=True)
class FunctionCall:
    """What a mind wants done before it goes on: somebody's function, with its arguments as JSON text."""

    call_id: str
    name: str
    arguments: str


class ToolMind(Mind, Protocol):
    """A mind that can also ask for functions and look at pictures."""

    def respond(
        self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]] = (), choice: Any = "auto"
    ) -> AsyncIterator[str | FunctionCall]:
        """The answer to messages in the shape of OpenAI's chat completions: text bit by bit, then calls."""
        ...


class Mouth(Protocol):
    """A voice that remembers the sound of both sides."""

    async def hear(self, audio: Audio, words: str) -> None:
        """Take in the other side's turn."""
        ...

    def say(self, sentence: str) -> AsyncGenerator[Samples, None]:
        """Speak the next sentence of our turn: samples as they are made."""
        ...

    def hush(self) -> None:
        """Stop speaking within a frame."""
        ...

    async def cut(self, heard_seconds: float) -> str:
        """Forget what wasn't heard of our last turn; returns the words that remain."""
        ...


@dataclass(frozen=True, eq=False)
class Block:
    """32 ms of the line, (768,) samples at 24 kHz: what came from the other side, and what we sounded meanwhile."""

    heard: Samples
    played: Samples


class Line(Protocol):
    """Sound both ways: a microphone and a loudspeaker, or files."""

    playback: Playback
    deciding: int  # how many judgements about what was heard are under way
    answering: bool  # an answer is being made; what exists of it is in the playback

    def blocks(self) -> AsyncIterator[Block]:
        """The line's sound, block by block, until it ends."""
        ...

    def now(self) -> float:
        """Seconds on the line's clock."""
        ...
