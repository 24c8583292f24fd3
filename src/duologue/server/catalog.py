"""The lists that pickers read: models and voices. Knows no engine."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from .answers import ModelAnswer, ModelList, VoiceList
from .services import MODEL_ALIASES, Here, Services

router = APIRouter()


def _model(name: str, here: Services) -> dict[str, Any]:
    parent = None if name == here.model_id else here.model_id
    return {"id": name, "object": "model", "created": here.started, "owned_by": "duologue", "parent": parent}


@router.get("/v1/models", summary="The model, and the names that stand for it", response_model=ModelList)
async def models(here: Here) -> dict[str, Any]:
    names = (here.model_id, *MODEL_ALIASES)
    return {"object": "list", "data": [_model(name, here) for name in names]}


@router.get("/v1/models/{name:path}", summary="One model", response_model=ModelAnswer)
async def model(name: str, here: Here) -> dict[str, Any]:
    here.check_model(name)
    return _model(name, here)


@router.get("/v1/audio/voices", summary="The voices, in every shape that known clients read", response_model=VoiceList)
async def voices(here: Here) -> dict[str, Any]:
    listed = [stored.describe() for stored in here.voices]
    uploaded = [stored.describe() for stored in here.voices if stored.cloned]
    return {"object": "list", "data": listed, "voices": listed, "uploaded_voices": uploaded}
