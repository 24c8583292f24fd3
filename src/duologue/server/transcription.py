"""POST /v1/audio/transcriptions in OpenAI's shape: the recogniser for whoever needs one. Knows no conversation."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Literal

from fastapi import APIRouter, File, Form, UploadFile
from fastapi.responses import JSONResponse, PlainTextResponse, Response

from .answers import TranscriptAnswer
from .errors import ApiError
from .services import Here

router = APIRouter(prefix="/v1/audio")


@router.post(
    "/transcriptions",
    summary="What is said in a recording; needs --asr",
    response_model=TranscriptAnswer,
    responses={200: {"content": {"text/plain": {}}}},
)
async def transcribe(
    here: Here,
    file: Annotated[UploadFile, File()],
    model: Annotated[str, Form(max_length=200)] = "whisper-1",
    language: Annotated[str | None, Form(max_length=20)] = None,
    response_format: Annotated[Literal["json", "text", "verbose_json"], Form()] = "json",
) -> Response:
    """`model` and `language` are taken as they come: the recogniser is the one that the server was started with."""
    recogniser = here.talk.recogniser
    if recogniser is None:
        message = "This server reads no speech: start it with --asr."
        raise ApiError(503, message, code="transcription_unavailable")
    audio = await here.uploads.read(file, max_seconds=here.settings.max_heard_seconds, param="file")
    words = await asyncio.to_thread(recogniser.transcribe, audio)
    if response_format == "text":
        return PlainTextResponse(words + "\n")
    told: dict[str, Any] = {"text": words}
    if response_format == "verbose_json":
        told |= {"task": "transcribe", "language": "english", "duration": round(audio.seconds, 3)}
    return JSONResponse(told)
