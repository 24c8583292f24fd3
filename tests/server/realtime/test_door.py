"""Who may open a session, how, and how many."""

from __future__ import annotations

import asyncio
import json
import time

import pytest
from openai import AsyncOpenAI, OpenAI
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from tests.server.conftest import Running, Serve
from tests.server.realtime.conftest import calling


@pytest.fixture
def locked(serve: Serve) -> Running:
    return serve(api_keys=("sesame",))


def test_a_key_opens_it_as_header_or_as_subprotocol(locked: Running) -> None:
    with calling(locked, additional_headers={"authorization": "Bearer sesame"}):
        pass
    protocols = ["realtime", "openai-insecure-api-key.sesame", "openai-agents-sdk.0.20.0"]
    with calling(locked, subprotocols=protocols) as caller:
        assert caller._socket.subprotocol == "realtime"
    for options in ({}, {"additional_headers": {"authorization": "Bearer wrong"}}):
        with pytest.raises(InvalidStatus) as refused, calling(locked, **options):
            pass
        assert refused.value.response.status_code == 401
        assert json.loads(refused.value.response.body)["error"]["code"] == "invalid_api_key"


def test_a_client_secret_opens_it_for_a_while_with_its_settings(locked: Running) -> None:
    client = OpenAI(base_url=f"{locked.url}/v1", api_key="sesame")
    secret = client.realtime.client_secrets.create(
        expires_after={"anchor": "created_at", "seconds": 10},
        session={"type": "realtime", "instructions": "From the secret."},
    )
    assert secret.value.startswith("ek_")
    assert secret.expires_at == pytest.approx(time.time() + 10, abs=2)

    async def open_with_it() -> str:
        caller = AsyncOpenAI(base_url=f"{locked.url}/v1", api_key=secret.value)
        async with caller.realtime.connect(model="gpt-realtime") as connection:
            event = await connection.recv()
            return str(event.session.instructions)

    assert asyncio.run(open_with_it()) == "From the secret."
    with locked.client(authorization=f"Bearer {secret.value}") as other:
        assert other.get("/v1/models").status_code == 401, "it opens sessions alone"
    tickets = locked.app.state.realtime.tickets
    tickets._tickets[secret.value] = tickets._tickets[secret.value].__class__(secret.value, "", time.time() - 1, {})
    with pytest.raises(InvalidStatus), calling(locked, additional_headers={"authorization": f"Bearer {secret.value}"}):
        pass


def test_a_secret_with_impossible_settings_is_not_given(locked: Running) -> None:
    with locked.client(authorization="Bearer sesame") as client:
        session = {"audio": {"output": {"speed": 9}}}
        answer = client.post("/v1/realtime/client_secrets", json={"session": session})
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, "session.audio.output.speed")
        assert client.post("/v1/realtime/client_secrets", json={"expires_after": {"seconds": 1}}).status_code == 400


def test_unknown_models_and_too_many_sessions_are_told_before_the_door_closes(serve: Serve) -> None:
    server = serve(max_realtime_sessions=1)
    with calling(server, "?model=gpt-realtime-2"):
        for query, code in (("", "session_limit_reached"), ("?model=parrot", "model_not_found")):
            with connect(f"{server.url.replace('http', 'ws')}/v1/realtime{query}") as socket:
                assert json.loads(socket.recv())["error"]["code"] == code
                with pytest.raises(ConnectionClosed):
                    socket.recv()


def test_a_session_that_rests_or_grows_old_is_closed(serve: Serve) -> None:
    for settings, code in (
        ({"realtime_idle_seconds": 0.2}, "session_idle"),
        ({"realtime_session_seconds": 1.2}, "session_expired"),
    ):
        with calling(serve(**settings)) as caller:
            assert caller.error()["code"] == code
            with pytest.raises(ConnectionClosed):
                caller.next()
