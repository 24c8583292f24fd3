"""The settings that hold in one session: what was asked for, as far as this server has the parts for it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from ..errors import ApiError
from ..services import Services
from .configuration import ByClock, BySense, Session, without_refused
from .memory import Memory
from .wire import new_id

Fields = Mapping[str, Any]


class Terms:
    """Changed by session.update, all of it or nothing."""

    def __init__(self, here: Services, memory: Memory, can_detect: bool) -> None:
        self._here, self._memory, self._can_detect = here, memory, can_detect
        self.id = new_id("sess")
        self.expires = int(time.time() + here.settings.realtime_session_seconds)
        self.session = self._possible(Session(), {})

    @property
    def turns(self) -> ByClock | BySense | None:
        """How turns are found; None: the client commits."""
        return self.session.turns

    def update(self, patch: Fields) -> list[ApiError]:
        """Take over what a patch changes. Raises ApiError 400 that names the field; returns what was left out."""
        patch, left_out = without_refused(patch, "session", self._here.talk.language_model is not None)
        session = self._possible(self.session.merged(patch), patch)
        stored, voice = self._here.voices.find(session.voice_id), self._memory.voice
        if self._memory.has_begun and voice is not None and stored.id != voice.id:
            message = "The voice can't change once the conversation has begun."
            raise ApiError(400, message, code="cannot_update_voice", param="session.audio.output.voice")
        self._memory.voice = stored
        self.session = session
        return left_out

    def _possible(self, session: Session, patch: Fields) -> Session:
        """Raises ApiError where something was asked for by name that isn't here; defaults give way in silence."""
        if session.turns is None:
            return session
        asked = ((patch.get("audio") or {}).get("input") or {}).get("turn_detection") or {}
        place = "session.audio.input.turn_detection"
        if not self._can_detect:
            if asked:
                message = "This server can't detect turns: it lacks onnxruntime or the voice activity network."
                raise ApiError(400, message, code="unsupported", param=place)
            session.audio.input.turn_detection = None
            return session
        can_answer = self._here.talk.recogniser is not None and self._here.talk.language_model is not None
        if asked.get("create_response") and not can_answer:
            message = "This server can't answer by itself: it needs --asr and --llm."
            raise ApiError(400, message, code="unsupported", param=f"{place}.create_response")
        wants = session.turns.create_response
        session.turns.create_response = can_answer and wants is not False
        return session

    def shown(self) -> dict[str, Any]:
        """In OpenAI's shape, as they hold."""
        recogniser = self._here.talk.recogniser
        heard, spoken = self.session.audio.input, self.session.audio.output
        transcribes = heard.transcription is not None and recogniser is not None
        return {
            "type": "realtime",
            "object": "realtime.session",
            "id": self.id,
            "model": self._here.model_id,
            "instructions": self.session.instructions,
            "output_modalities": self.session.output_modalities,
            "max_output_tokens": self.session.max_output_tokens,
            "audio": {
                "input": {
                    "format": heard.format.told(),
                    "transcription": {"model": recogniser.name} if transcribes and recogniser else None,
                    "noise_reduction": None,
                    "turn_detection": None if heard.turn_detection is None else heard.turn_detection.model_dump(),
                },
                "output": {
                    "format": spoken.format.told(),
                    "voice": self._here.voices.find(self.session.voice_id).id,
                    "speed": spoken.speed,
                },
            },
            "tools": [tool.told() for tool in self.session.tools],
            "tool_choice": self.session.model_dump()["tool_choice"],
            "tracing": None,
            "truncation": "auto",
            "prompt": None,
            "include": None,
            "expires_at": self.expires,
        }
