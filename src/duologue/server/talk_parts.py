"""The two partners that a spoken conversation needs beside the voice, by contract only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..agent.parts import Recogniser
from ..agent.parts import ToolMind as LanguageModel

__all__ = ["LanguageModel", "Recogniser", "TalkParts"]


@dataclass(frozen=True)
class TalkParts:
    """What turns a voice into a partner; either may be missing."""

    recogniser: Recogniser | None = None
    language_model: LanguageModel | None = None

    def describe(self) -> list[dict[str, Any]]:
        """What the page tells about them."""
        ears, mind = self.recogniser, self.language_model
        return [
            {
                "name": "Speech recognition",
                "about": ears.name if ears else "start with --asr base.en",
                "ready": bool(ears),
            },
            {
                "name": "A language model",
                "about": mind.name if mind else "start with --llm http://localhost:11434/v1 --llm-model NAME",
                "ready": bool(mind),
            },
        ]
