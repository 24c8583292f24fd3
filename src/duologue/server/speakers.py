"""Who is who in a conversation: voices and the speaker numbers under which the model hears them."""

from __future__ import annotations

from collections.abc import Sequence

from ..conversation import Conversation
from ..voice import Voice
from .errors import ApiError


def number_voices(voices: Sequence[Voice]) -> dict[int, Voice]:
    """A speaker number for each voice: its own where it is free, else the lowest free one."""
    numbered: dict[int, Voice] = {}
    for voice in voices:
        number = voice.speaker
        if number in numbered:
            number = next(n for n in range(len(voices) + 1) if n not in numbered)
        numbered[number] = voice
    return numbered


def speaker_of(live: Conversation, voice: Voice) -> int:
    """The number of a voice in a conversation. Raises ApiError if it isn't one of its voices."""
    for number, known in live.voices.items():
        if known.name == voice.name:
            return number
    names = ", ".join(known.name for known in live.voices.values())
    message = f"{voice.name} has no part in this conversation; its voices are: {names}."
    raise ApiError(400, message, code="voice_not_in_conversation", param="voice")


def listener_of(live: Conversation) -> int:
    """The lowest speaker number that no voice has: the person at the other end."""
    return next(number for number in range(len(live.voices) + 1) if number not in live.voices)
