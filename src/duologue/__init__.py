"""Conversational speech on your own machine: Mimi and CSM in Python, with a voice of its own.

    import duologue
    duologue.load().generate("Hello there.").save("hello.wav")

Nothing is loaded at import; each name below comes from its file when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .api import Model, load
    from .audio import Audio
    from .conversation import Conversation, Turn
    from .errors import DuologueError
    from .speaking import GenerationConfig
    from .voice import Voice

__version__ = "0.1.0"
__all__ = ["Audio", "Conversation", "DuologueError", "GenerationConfig", "Model", "Turn", "Voice", "load"]

_HOMES = {
    "Audio": "audio",
    "Conversation": "conversation",
    "DuologueError": "errors",
    "GenerationConfig": "speaking",
    "Model": "api",
    "Turn": "conversation",
    "Voice": "voice",
    "load": "api",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'duologue' has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
