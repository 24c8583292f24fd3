"""How a voice comes in, with its owner's consent, and how it goes. Knows no engine."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, File, Form, UploadFile

from ..audio import Audio
from .answers import ConsentAnswer, Deleted, NewVoice
from .consent import CONSENT_PHRASE, same_statement, split_checks
from .errors import ApiError
from .services import Here, Services
from .voice_store import Consent, StoredVoice

router = APIRouter(prefix="/v1/audio")
MIN_CONSENT_SECONDS, MAX_CONSENT_SECONDS = 2.0, 30.0
ShortText = Annotated[str, Form(min_length=1, max_length=60)]


@router.post("/voice_consents", summary="Leave a consent; a new voice needs one", response_model=ConsentAnswer)
async def give_consent(
    here: Here,
    name: ShortText,
    recording: Annotated[UploadFile | None, File()] = None,
    statement: Annotated[str | None, Form(max_length=400)] = None,
    language: Annotated[str, Form(max_length=20)] = "en-US",
) -> dict[str, Any]:
    """`recording` says the phrase that GET /v1/server tells; a typed `statement` serves where the server allows it."""
    if recording is not None:
        consent, checks = await _spoken(here, name, language, recording)
    else:
        consent, checks = _written(here, name, language, statement)
    here.voices.add_consent(consent)
    checked, not_checked = split_checks(checks)
    return {
        "id": consent.id,
        "object": "audio.voice_consent",
        "name": consent.name,
        "language": consent.language,
        "created_at": int(consent.created),
        "phrase": CONSENT_PHRASE,
        "checked": checked,
        "not_checked": not_checked,
    }


async def _spoken(
    here: Services, name: str, language: str, recording: UploadFile
) -> tuple[Consent, Mapping[str, bool]]:
    audio = await here.uploads.read(recording, max_seconds=MAX_CONSENT_SECONDS, param="recording")
    if audio.seconds < MIN_CONSENT_SECONDS:
        message = f"{audio.seconds:.1f} s are too short for the phrase: {CONSENT_PHRASE}"
        raise ApiError(400, message, code="consent_too_short", param="recording")
    checks = here.consent_checks
    await checks.phrase(audio)
    person = await checks.voice_of(audio)
    consent = Consent(name, language, _digest(audio), person=person)
    return consent, {"readable": True, "long enough": True, "words": checks.hears_words}


def _written(here: Services, name: str, language: str, statement: str | None) -> tuple[Consent, Mapping[str, bool]]:
    if not here.settings.written_consent:
        message = "A spoken consent is needed: a recording of the phrase."
        raise ApiError(400, message, code="missing_required_parameter", param="recording")
    if statement is None or not same_statement(statement):
        message = f"The statement has to be: {CONSENT_PHRASE}"
        raise ApiError(400, message, code="consent_words_differ", param="statement")
    digest = hashlib.sha256(statement.encode()).hexdigest()
    return Consent(name, language, digest, kind="written"), {"words": True, "who wrote it": False}


def _digest(audio: Audio) -> str:
    return hashlib.sha256(audio.samples.tobytes()).hexdigest()


@router.post("/voices", summary="Create a voice from a sample, its exact words and a consent", response_model=NewVoice)
async def create_voice(
    here: Here,
    name: ShortText,
    audio_sample: Annotated[UploadFile, File()],
    consent: Annotated[str, Form(max_length=100)],
    ref_text: Annotated[str, Form(min_length=1, max_length=1_000)],
) -> dict[str, Any]:
    given, checks = here.voices.consent(consent), here.consent_checks
    sample = await here.uploads.read(audio_sample, max_seconds=here.settings.max_voice_seconds, param="audio_sample")
    if _digest(sample) == given.digest:
        message = "The consent's recording can't also be the sample."
        raise ApiError(400, message, code="consent_is_sample", param="audio_sample")
    await checks.same_person(given.person, sample)
    await checks.transcript(sample, ref_text)
    stored = here.voices.create(name, sample, ref_text, given)
    checked, not_checked = split_checks({"same speaker": given.person is not None, "transcript": checks.hears_words})
    told = {"warnings": list(stored.voice.warnings), "checked": checked, "not_checked": not_checked}
    return {**stored.describe(), **told}


@router.delete("/voices/{voice_id}", summary="Delete a created voice, its recording included", response_model=Deleted)
async def delete_voice(voice_id: str, here: Here) -> dict[str, Any]:
    stored: StoredVoice = here.voices.find(voice_id)
    here.voices.delete(stored.id)
    return {"id": stored.id, "object": "audio.voice", "deleted": True}
