"""GET /v1/realtime as a WebSocket, and POST /v1/realtime/client_secrets for browsers. Knows sessions by their door."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import Any

from fastapi import APIRouter, Request, WebSocket, WebSocketDisconnect
from pydantic import BaseModel, Field

from ..errors import ApiError, overloaded
from ..guard import KEY_PROTOCOL
from ..services import Here, Services, services_of
from .configuration import Session
from .session import RealtimeSession
from .tickets import PATH, Tickets
from .voice_activity import VoiceActivity
from .wire import Wire

router = APIRouter()
OPENAI_MODELS = ("gpt-realtime", "gpt-4o-realtime", "gpt-4o-mini-realtime", "gpt-audio")  # what clients ask for
TRY_AGAIN, POLICY = 1013, 1008


class Realtime:
    """What all sessions of a server share."""

    def __init__(self, tickets: Tickets) -> None:
        self.tickets = tickets
        self.activity = VoiceActivity()
        self.sessions: set[RealtimeSession] = set()


@router.websocket(PATH)
async def realtime(socket: WebSocket) -> None:
    here, shared = services_of(socket), _shared(socket.app.state)
    await socket.accept(_subprotocol(socket))
    wire = Wire(socket)
    with suppress(WebSocketDisconnect):
        try:
            _check_model(socket.query_params.get("model"), here)
            if len(shared.sessions) >= here.settings.max_realtime_sessions:
                message = f"{len(shared.sessions)} sessions are open already."
                raise overloaded(message, retry_after=30, status=429, code="session_limit_reached")
        except ApiError as error:
            await wire.fail(error)
            await wire.close(POLICY if error.status == 404 else TRY_AGAIN)
            return
        ticket = shared.tickets.find(socket.state.client_secret or "")
        await asyncio.to_thread(lambda: shared.activity.network)
        begin_with = {} if ticket is None else ticket.session
        session = RealtimeSession(here, wire, shared.activity, socket.state.client_key, begin_with)
        shared.sessions.add(session)
        try:
            await _serve(socket, session, here)
        finally:
            shared.sessions.discard(session)


async def _serve(socket: WebSocket, session: RealtimeSession, here: Services) -> None:
    """Until the client leaves, rests too long, or the session's time is over."""
    try:
        await session.begin()
        while True:
            left = session.terms.expires - time.time()
            try:
                async with asyncio.timeout(max(0.0, min(left, here.settings.realtime_idle_seconds))):
                    message = await socket.receive()
            except TimeoutError:
                code = "session_expired" if left <= here.settings.realtime_idle_seconds else "session_idle"
                await session.wire.fail(ApiError(408, "The session's time is over.", code=code))
                await session.wire.close()
                return
            if message["type"] == "websocket.disconnect":
                return
            await session.take(message.get("text") or message.get("bytes") or b"")
    finally:
        await session.close()


def _subprotocol(socket: WebSocket) -> str | None:
    """ "realtime" where it is offered; a key among the protocols is never echoed."""
    offered = [name for name in socket.scope.get("subprotocols", ()) if not name.startswith(KEY_PROTOCOL)]
    return "realtime" if "realtime" in offered else offered[0] if offered else None


def _check_model(name: str | None, here: Services) -> None:
    if name is not None and not name.startswith(OPENAI_MODELS):
        here.check_model(name)


def _shared(state: Any) -> Realtime:
    found: Realtime = state.realtime
    return found


class ExpiresAfter(BaseModel):
    """OpenAI's; only created_at exists as an anchor."""

    anchor: str = "created_at"
    seconds: int = Field(default=600, ge=10, le=7_200)


class ClientSecretRequest(BaseModel):
    """POST /v1/realtime/client_secrets."""

    expires_after: ExpiresAfter = ExpiresAfter()
    session: dict[str, Any] = {}


@router.post("/v1/realtime/client_secrets", summary="A short-lived key with which a browser opens a session")
async def client_secret(body: ClientSecretRequest, request: Request, here: Here) -> dict[str, Any]:
    shared = _shared(request.app.state)
    settings = Session().merged(body.session)
    here.voices.find(settings.voice_id)
    ticket = shared.tickets.issue(request.state.client_key, body.expires_after.seconds, body.session)
    shown = {**settings.model_dump(), "object": "realtime.session", "id": "", "model": here.model_id}
    return {"value": ticket.value, "expires_at": int(ticket.expires), "session": shown}
