"""What watches the server asks: /health, /ready, /metrics, and what the page asks: /v1/server."""

from __future__ import annotations

import os
from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse, PlainTextResponse, Response

from .. import __version__
from ..timebase import frames_to_seconds
from .answers import Readiness
from .consent import CONSENT_PHRASE
from .services import Here

router = APIRouter()


@router.get("/health", summary="Whether the process lives")
async def health() -> dict[str, str]:
    return {"status": "ok"}


@router.get(
    "/ready",
    summary="Whether a new request would be taken",
    response_model=Readiness,
    responses={503: {"model": Readiness, "description": "Not now."}},
)
async def ready(here: Here) -> Response:
    admission = here.streams.admission
    state = {
        "ready": admission.has_room,
        "draining": admission.draining,
        "speaking": admission.active,
        "waiting": admission.waiting,
        "capacity": admission.capacity,
    }
    return JSONResponse(state, status_code=200 if admission.has_room else 503)


@router.get("/metrics", summary="Figures for Prometheus", response_class=PlainTextResponse)
async def metrics(here: Here) -> Response:
    return Response(here.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


@router.get("/v1/server", summary="What this server is and has")
async def server(here: Here) -> dict[str, Any]:
    return {
        "model": here.model_id,
        "licence": here.model.card.licence,
        "noise": here.model.card.noise,
        "watermark": bool(here.settings.watermark_key),
        "engine": here.model.engine.name,
        "version": __version__,
        "process": os.getpid(),
        "consent_phrase": CONSENT_PHRASE,
        "word_times": here.knows_word_times,
        "written_consent": here.settings.written_consent,
        "limits": {
            "max_characters": here.settings.max_characters,
            "max_upload_bytes": here.settings.max_upload_bytes,
            "max_voice_seconds": here.settings.max_voice_seconds,
            "max_heard_seconds": here.settings.max_heard_seconds,
            "max_streams": here.settings.max_streams,
            "context_seconds": frames_to_seconds(here.model.config.backbone.max_positions),  # of sound, words aside
            "realtime_idle_seconds": here.settings.realtime_idle_seconds,
        },
        "talk": [
            {"name": "A voice that remembers the sound of the conversation", "about": here.model_id, "ready": True},
            *here.talk.describe(),
        ],
    }
