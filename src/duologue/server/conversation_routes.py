"""/v1/conversations: speech that has heard what was said before. Knows no engine."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, File, Form, Request, UploadFile
from fastapi.responses import Response

from .answers import SPEECH, ConversationAnswer, CutAnswer, Deleted
from .delivery import answer
from .schemas import ConversationRequest, CutRequest, SayRequest
from .services import Here

router = APIRouter(prefix="/v1/conversations")


@router.post(
    "", summary="Start a conversation between the voices given and the listener", response_model=ConversationAnswer
)
async def create(here: Here, body: ConversationRequest) -> dict[str, Any]:
    voices = [here.voices.find(name) for name in dict.fromkeys(body.voice_ids)]
    held = await here.conversations.create(voices)
    return await held.describe()


@router.get("/{conversation_id}", summary="Its voices and turns", response_model=ConversationAnswer)
async def show(conversation_id: str, here: Here) -> dict[str, Any]:
    return await here.conversations.find(conversation_id).describe()


@router.delete("/{conversation_id}", summary="Forget it", response_model=Deleted)
async def delete(conversation_id: str, here: Here) -> dict[str, Any]:
    here.conversations.delete(conversation_id)
    return {"id": conversation_id, "object": "conversation", "deleted": True}


@router.post(
    "/{conversation_id}/hear",
    summary="Let it hear what somebody else said, as words and, better, as sound",
    response_model=ConversationAnswer,
)
async def hear(
    conversation_id: str,
    here: Here,
    text: Annotated[str, Form(min_length=1, max_length=4_000)],
    audio: Annotated[UploadFile | None, File()] = None,
    speaker: Annotated[int | None, Form(ge=0, lt=1_000)] = None,
) -> dict[str, Any]:
    held = here.conversations.find(conversation_id)
    limit = here.settings.max_heard_seconds
    sound = None if audio is None else await here.uploads.read(audio, max_seconds=limit, param="audio")
    await held.hear(sound, text, speaker)
    return await held.describe()


@router.post("/{conversation_id}/say", summary="Speak the next turn", response_class=Response, responses=SPEECH)
async def say(conversation_id: str, body: SayRequest, request: Request, here: Here) -> Response:
    here.check_length(body.input, "input")
    held = here.conversations.find(conversation_id)
    voice = here.voices.find(body.voice_id) if body.voice is not None else None
    stream, seed = await held.say(body.input, voice, body, here.delivery(body), request.state.client_key)
    headers = {"x-seed": str(seed), "x-conversation-id": held.id}
    return answer(stream, body, lambda: here.count_units(body.input), headers)


@router.post(
    "/{conversation_id}/cut",
    summary="The listener interrupted: keep what was heard of the last turn",
    response_model=CutAnswer,
)
async def cut(conversation_id: str, body: CutRequest, here: Here) -> dict[str, Any]:
    held = here.conversations.find(conversation_id)
    remains = await held.cut(body.heard_ms / 1000)
    return {**await held.describe(), "remains": remains}
