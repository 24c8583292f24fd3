"""POST /v1/audio/speech as OpenAI's clients expect it, and its batch form. Knows no engine."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from .answers import SPEECH, BatchAnswer
from .audio_formats import FORMATS
from .delivery import answer, usage, words_of
from .errors import ApiError
from .schemas import BatchRequest, SpeechRequest
from .services import Here, Services
from .streams import SpeechStream

router = APIRouter()
INSTRUCTIONS_ANSWER = "ignored; this model takes its manner from the voice and the conversation"


@router.post("/v1/audio/speech", summary="Speak a text", response_class=Response, responses=SPEECH)
async def speech(body: SpeechRequest, request: Request, here: Here) -> Response:
    stream, headers = await _begin(body, here, request.state.client_key)
    return answer(stream, body, lambda: here.count_units(body.input), headers)


async def _begin(body: SpeechRequest, here: Services, key: str) -> tuple[SpeechStream, dict[str, str]]:
    """Check a request and speak its first frame."""
    here.check_model(body.model)
    here.check_length(body.input, "input")
    delivery = here.delivery(body)
    headers = {"x-duologue-instructions": INSTRUCTIONS_ANSWER} if body.instructions else {}
    if body.conversation is not None:
        conversation = here.conversations.find(body.conversation)
        headers["x-conversation-id"] = conversation.id
        voice = here.voices.find(body.voice_id) if body.voice is not None else None
        stream, seed = await conversation.say(body.input, voice, body, delivery, key)
    else:
        stream, seed = await here.speak(body.input, here.voices.find(body.voice_id), body, delivery, key)
    return stream, {"x-seed": str(seed), **headers}


@router.post(
    "/v1/audio/speech/batch", summary="Speak several texts; each item has its own outcome", response_model=BatchAnswer
)
async def batch(body: BatchRequest, request: Request, here: Here) -> Response:
    if len(body.items) > here.settings.max_batch_items:
        raise ApiError(400, f"At most {here.settings.max_batch_items} items go into a batch.", param="items")
    here.check_length("".join(item.input for item in body.items), "items")
    rows = asyncio.Semaphore(max(1, here.settings.max_streams // 2))  # others should still get a row

    async def one(index: int, item: SpeechRequest) -> dict[str, Any]:
        async with rows:
            return {"index": index, **await _whole(item, here, request.state.client_key)}

    outcomes = await asyncio.gather(*(one(index, item) for index, item in enumerate(body.items)))
    return JSONResponse({"object": "list", "data": outcomes})


async def _whole(item: SpeechRequest, here: Services, key: str) -> dict[str, Any]:
    """One item spoken to its end, or its error."""
    try:
        stream, headers = await _begin(item, here, key)
        data = b"".join([chunk async for chunk in stream.chunks()])
    except ApiError as error:
        return {"status": error.status, **error.body()}
    return {
        "status": 200,
        "content_type": FORMATS[item.response_format].content_type,
        "audio": base64.b64encode(data).decode(),
        "seed": int(headers["x-seed"]),
        **words_of(stream),
        "usage": usage(stream, await asyncio.to_thread(here.count_units, item.input)),
    }
