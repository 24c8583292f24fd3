"""The lists that pickers read: models and voices, and how a voice comes in. Knows no engine."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any

from fastapi import APIRouter, File, Form, UploadFile

from .errors import ApiError
from .services import MODEL_ALIASES, Here, Services
from .voice_store import CONSENT_PHRASE, StoredVoice

router = APIRouter()
MIN_CONSENT_SECONDS, MAX_CONSENT_SECONDS = 2.0, 30.0
ShortText = Annotated[str, Form(min_length=1, max_length=60)]


def _model(name: str, here: Services) -> dict[str, Any]:
    parent = None if name == here.model_id else here.model_id
    return {"id": name, "object": "model", "created": here.started, "owned_by": "duologue", "parent": parent}


@router.get("/v1/models", summary="The model, and the names that stand for it")
async def models(here: Here) -> dict[str, Any]:
    names = (here.model_id, *MODEL_ALIASES)
    return {"object": "list", "data": [_model(name, here) for name in names]}


@router.get("/v1/models/{name:path}", summary="One model")
async def model(name: str, here: Here) -> dict[str, Any]:
    here.check_model(name)
    return _model(name, here)


@router.get("/v1/audio/voices", summary="The voices, in every shape that known clients read")
async def voices(here: Here) -> dict[str, Any]:
    listed = [stored.describe() for stored in here.voices]
    uploaded = [stored.describe() for stored in here.voices if stored.cloned]
    return {"object": "list", "data": listed, "voices": listed, "uploaded_voices": uploaded}


@router.post("/v1/audio/voice_consents", summary="Leave a spoken consent; a voice needs one")
async def give_consent(
    here: Here,
    name: ShortText,
    recording: Annotated[UploadFile, File()],
    language: Annotated[str, Form(max_length=20)] = "en-US",
) -> dict[str, Any]:
    audio = await here.uploads.read(recording, max_seconds=MAX_CONSENT_SECONDS, param="recording")
    if audio.seconds < MIN_CONSENT_SECONDS:
        message = f"{audio.seconds:.1f} s are too short for the phrase: {CONSENT_PHRASE}"
        raise ApiError(400, message, code="consent_too_short", param="recording")
    digest = hashlib.sha256(audio.samples.tobytes()).hexdigest()
    consent = here.voices.add_consent(name, language, digest)
    return {
        "id": consent.id,
        "object": "audio.voice_consent",
        "name": consent.name,
        "language": consent.language,
        "created_at": int(consent.created),
        "phrase": CONSENT_PHRASE,
        "checked": ["readable", "long enough", "not the sample itself"],
        "not_checked": ["words", "same speaker"],  # both need models that this server doesn't have
    }


@router.post("/v1/audio/voices", summary="Create a voice from a sample, its exact words and a consent")
async def create_voice(
    here: Here,
    name: ShortText,
    audio_sample: Annotated[UploadFile, File()],
    consent: Annotated[str, Form(max_length=100)],
    ref_text: Annotated[str, Form(min_length=1, max_length=1_000)],
) -> dict[str, Any]:
    given = here.voices.consent(consent)
    sample = await here.uploads.read(audio_sample, max_seconds=here.settings.max_voice_seconds, param="audio_sample")
    if hashlib.sha256(sample.samples.tobytes()).hexdigest() == given.digest:
        message = "The consent's recording can't also be the sample."
        raise ApiError(400, message, code="consent_is_sample", param="audio_sample")
    stored = here.voices.create(name, sample, ref_text, given)
    return {**stored.describe(), "warnings": list(stored.voice.warnings)}


@router.delete("/v1/audio/voices/{voice_id}", summary="Delete a created voice, its recording included")
async def delete_voice(voice_id: str, here: Here) -> dict[str, Any]:
    stored: StoredVoice = here.voices.find(voice_id)
    here.voices.delete(stored.id)
    return {"id": stored.id, "object": "audio.voice", "deleted": True}
