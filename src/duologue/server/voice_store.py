"""The voices that can speak here: the model's own, and those created with consent. Knows files, no routes.

A created voice is one file whose name this server chose; no name from a client ever becomes a path.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from ..audio import Audio
from ..errors import DuologueError
from ..voice import Voice
from .errors import ApiError

log = logging.getLogger("duologue.server")

CONSENT_LIFE_SECONDS = 24 * 3_600
MAX_CONSENTS = 1_000
OPENAI_NAMES = ("alloy", "ash", "ballad", "coral", "echo", "fable", "onyx", "nova", "sage", "shimmer", "verse")
OPENAI_VOICES = (*OPENAI_NAMES, "marin", "cedar")


@dataclass(frozen=True)
class Consent:
    """That somebody said, in their own voice, that it may be used."""

    name: str
    language: str
    digest: str  # of the recording, which isn't kept
    kind: str = "spoken"
    person: np.ndarray | None = field(default=None, repr=False, compare=False)  # whose voice said it
    id: str = field(default_factory=lambda: f"cons_{secrets.token_hex(12)}")
    created: float = field(default_factory=time.time)


@dataclass(frozen=True)
class StoredVoice:
    """A voice with what pickers show."""

    id: str
    voice: Voice
    cloned: bool = False
    created: int = 0

    def describe(self) -> dict[str, object]:
        """The object in GET /v1/audio/voices, with every field name that known clients read."""
        return {
            "id": self.id,
            "object": "audio.voice",
            "name": self.voice.name,
            "language": "en",
            "accent": self.voice.accent,
            "description": f"{self.voice.accent.capitalize()} English, from {self.voice.seconds:.0f} s of speech",
            "licence": self.voice.licence,
            "cloned": self.cloned,
            "created_at": self.created,
        }


class VoiceStore:
    """Built-in voices first; created ones are kept in `folder`, or in memory without one."""

    def __init__(self, own: Mapping[str, Voice], folder: Path | None, max_voices: int) -> None:
        self._voices = {name: StoredVoice(name, voice) for name, voice in own.items()}
        self._own = tuple(self._voices)
        self._folder = folder
        self._max_voices = max_voices
        self._consents: dict[str, Consent] = {}
        self._unusable: set[str] = set()
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            self._follow_folder()

    def __iter__(self) -> Iterator[StoredVoice]:
        self._follow_folder()
        return iter(tuple(self._voices.values()))

    def _follow_folder(self) -> None:
        """Take in voices that another server process made in the same folder, and let go of those it deleted."""
        if self._folder is None:
            return
        there = {path.stem: path for path in sorted(self._folder.glob("voice_*.safetensors"))}
        for name in [name for name, stored in self._voices.items() if stored.cloned and name not in there]:
            del self._voices[name]
        for name, path in there.items():
            if name not in self._voices and name not in self._unusable:
                self._take_in(path)

    def _take_in(self, path: Path) -> None:
        try:
            voice, created = Voice.load(path), int(path.stat().st_mtime)
        except (DuologueError, OSError) as error:
            self._unusable.add(path.stem)
            log.warning("the voice %s was left out: %s", path.name, error)
            return
        self._voices[path.stem] = StoredVoice(path.stem, voice, cloned=True, created=created)

    def find(self, name: str | None) -> StoredVoice:
        """By id, by name whatever its case, or by one of OpenAI's names. None is the first voice."""
        self._follow_folder()
        if name is None:
            return self._first()
        if name in self._voices:
            return self._voices[name]
        for stored in self:
            if stored.voice.name.lower() == name.lower():
                return stored
        if name.lower() in OPENAI_VOICES and self._own:
            return self._voices[self._own[OPENAI_VOICES.index(name.lower()) % len(self._own)]]
        known = ", ".join(stored.id for stored in self)
        raise ApiError(404, f"There is no voice {name[:64]!r}. Voices: {known}.", code="voice_not_found", param="voice")

    def _first(self) -> StoredVoice:
        for stored in self:
            return stored
        raise ApiError(400, "This model has no voices; create one first.", code="voice_not_found", param="voice")

    def add_consent(self, consent: Consent) -> Consent:
        """Remember a consent for a day."""
        now = time.time()
        fresh = {key: one for key, one in self._consents.items() if now - one.created < CONSENT_LIFE_SECONDS}
        if len(fresh) >= MAX_CONSENTS:
            raise ApiError(429, "Too many consents are waiting to be used.", code="rate_limit_exceeded")
        self._consents = {**fresh, consent.id: consent}
        return consent

    def consent(self, consent_id: str) -> Consent:
        found = self._consents.get(consent_id)
        if found is None or time.time() - found.created > CONSENT_LIFE_SECONDS:
            message = "This consent is unknown or older than a day. Make one at /v1/audio/voice_consents."
            raise ApiError(400, message, code="consent_required", param="consent")
        return found

    def create(self, name: str, sample: Audio, transcript: str, consent: Consent) -> StoredVoice:
        """Make a voice and keep it. Raises VoiceError if the recording can't serve, ApiError if there is no room."""
        if sum(stored.cloned for stored in self) >= self._max_voices:
            raise ApiError(409, f"{self._max_voices} voices exist already; delete one.", code="voice_limit_reached")
        if any(stored.voice.name.lower() == name.lower() for stored in self) or name.lower() in OPENAI_VOICES:
            raise ApiError(409, f"The name {name!r} is taken.", code="voice_exists", param="name")
        self.consent(consent.id)  # meanwhile another request may have used it
        given = time.strftime("%Y-%m-%d", time.gmtime(consent.created))
        source = f"{consent.kind} consent {consent.id} by {consent.name} on {given}, sha256 {consent.digest}"
        voice = Voice.from_audio(sample, transcript, name=name, source=source, licence="by consent of its owner")
        stored = StoredVoice(f"voice_{secrets.token_hex(12)}", voice, cloned=True, created=int(time.time()))
        if self._folder is not None:
            _save_whole(voice, self._folder / f"{stored.id}.safetensors")
        self._voices[stored.id] = stored
        del self._consents[consent.id]
        return stored

    def remember(self, stored: StoredVoice, voice: Voice) -> None:
        """Keep the form of a voice that already has the model's codes."""
        if stored.id in self._voices:
            self._voices[stored.id] = replace(stored, voice=voice)

    def delete(self, voice_id: str) -> None:
        """Forget a created voice, its file included."""
        stored = self.find(voice_id)
        if not stored.cloned:
            raise ApiError(403, f"{stored.id} belongs to the model and stays.", code="voice_is_built_in")
        del self._voices[stored.id]
        if self._folder is not None:
            (self._folder / f"{stored.id}.safetensors").unlink(missing_ok=True)


def _save_whole(voice: Voice, path: Path) -> None:
    part = path.with_suffix(".part")
    try:
        voice.save(part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
