"""The application: routes, doors and lifespan around one loaded model. Knows no model's inside."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from .. import __version__
from ..api import Model
from . import (
    answers,
    catalog,
    conversation_routes,
    errors,
    health,
    page,
    speech,
    talk,
    text_socket,
    transcription,
    voice_routes,
)
from .guard import Guard
from .realtime import routes as realtime
from .realtime.tickets import Tickets
from .services import Services
from .settings import ServerSettings
from .talk_parts import TalkParts


def create_app(model: Model, settings: ServerSettings | None = None, parts: TalkParts | None = None) -> FastAPI:
    """A server for `model`, which can answer if `parts` are given. The model's engine is the server's from here on."""
    settings = settings or ServerSettings()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        services = app.state.services = Services(model, settings, parts or TalkParts())
        if settings.real_time:
            await asyncio.to_thread(services.measure_pace)
        async with services.conversations.sweeping():
            yield
        await services.close()

    # The interactive documents of FastAPI load scripts from elsewhere, so only /openapi.json is offered.
    app = FastAPI(
        title="duologue",
        version=__version__,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        responses=answers.FAILURES,
    )
    plain = app.openapi
    app.openapi = lambda: answers.describe_key(plain())  # type: ignore[method-assign]
    errors.install(app)
    voices = (speech, catalog, voice_routes, conversation_routes)
    for routes in (*voices, transcription, talk, text_socket, realtime, health):
        app.include_router(routes.router)
    page.mount(app)
    tickets = Tickets()
    app.state.realtime = realtime.Realtime(tickets)
    app.add_middleware(Guard, settings=settings, tickets=tickets)
    return app
