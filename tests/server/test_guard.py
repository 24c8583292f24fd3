"""The door: keys, hosts, origins, sizes and headers."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from openai import AuthenticationError, OpenAI

from duologue.errors import InputError
from duologue.server.settings import ServerSettings
from tests.server.conftest import PacedEngine, Running, Serve

Log = pytest.LogCaptureFixture
SPEECH = {"model": "tiny", "input": "Hello.", "response_format": "pcm"}


def code(answer: httpx.Response) -> str:
    return str(answer.json()["error"]["code"])


def test_with_keys_only_they_open_the_door(serve: Serve) -> None:
    server = serve(api_keys=("first-secret", "second-secret"))
    wrong = OpenAI(base_url=f"{server.url}/v1", api_key="wrong", max_retries=0)
    with wrong, pytest.raises(AuthenticationError) as caught:
        wrong.models.list()
    assert caught.value.code == "invalid_api_key"
    with server.client() as client:
        assert code(client.post("/v1/audio/speech", json=SPEECH)) == "invalid_api_key"
        assert client.get("/metrics").status_code == client.get("/openapi.json").status_code == 401
        for path in ("/", "/page/page.js", "/health", "/ready"):
            assert client.get(path).status_code == 200, path
    for key in server.services.settings.api_keys:
        with server.client(authorization=f"Bearer {key}") as client:
            assert client.get("/v1/models").status_code == 200
            assert key not in client.get("/metrics").text + client.get("/v1/server").text


def test_on_localhost_a_foreign_host_name_is_refused(server: Running) -> None:
    """Otherwise any web page could reach the server by rebinding its own name to 127.0.0.1."""
    with server.client(host="evil.example") as client:
        answer = client.get("/v1/models")
    assert (answer.status_code, code(answer)) == (403, "host_not_allowed")


def test_a_foreign_page_is_refused_and_ours_is_not(server: Running) -> None:
    with server.client() as client:
        foreign = client.post("/v1/conversations", json={}, headers={"origin": "https://evil.example"})
        assert (foreign.status_code, code(foreign)) == (403, "origin_not_allowed")
        assert client.get("/v1/models", headers={"origin": server.url}).status_code == 200


def test_an_allowed_page_gets_its_cors_headers(serve: Serve) -> None:
    server = serve(allowed_origins=("https://friend.example",))
    with server.client(origin="https://friend.example") as client:
        preflight = client.options("/v1/audio/speech", headers={"access-control-request-method": "POST"})
        assert preflight.status_code == 204
        answer = client.get("/v1/models")
    for each in (preflight, answer):
        assert each.headers["access-control-allow-origin"] == "https://friend.example"


@pytest.mark.parametrize("claimed", [True, False])
def test_a_body_beyond_the_limit_is_413_whatever_it_claims(serve: Serve, claimed: bool) -> None:
    server = serve(max_request_bytes=10_000)
    body = b'{"model":"tiny","input":"' + b"x" * 50_000 + b'"}'
    content = body if claimed else iter([body[:30_000], body[30_000:]])
    with server.client() as client:
        answer = client.post("/v1/audio/speech", content=content, headers={"content-type": "application/json"})
        assert answer.status_code == 413
        assert client.post("/v1/audio/speech", json=SPEECH).status_code == 200


def test_every_answer_carries_its_request_id_and_safe_headers(server: Running) -> None:
    with server.client() as client:
        page = client.get("/", headers={"x-request-id": "my-own.id_1"})
        assert page.headers["x-request-id"] == "my-own.id_1"
        assert client.get("/health", headers={"x-request-id": "bad id\t!"}).headers["x-request-id"].startswith("req_")
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert page.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b'{"model":1}', b'{"model":"tiny","input":{"a":1}}', b"\xff\xfe", b"[" * 5_000]
)
def test_a_malformed_body_is_a_400(server: Running, body: bytes) -> None:
    with server.client() as client:
        answer = client.post("/v1/audio/speech", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize("path", ["/page/../app.py", "/page/%2e%2e/app.py", "/page/..%2fapp.py", "/page//etc/passwd"])
def test_the_page_gives_nothing_beside_itself(server: Running, path: str) -> None:
    with server.client() as client:
        assert client.get(path).status_code == 404


def test_the_page_needs_nothing_from_elsewhere(server: Running) -> None:
    from duologue.server.page import FOLDER

    with server.client() as client:
        sizes = 0
        for path in FOLDER.iterdir():
            answer = client.get(f"/page/{path.name}" if path.name != "index.html" else "/")
            assert answer.status_code == 200
            sizes += len(answer.content)
            links = answer.text.replace("http://www.w3.org/2000/svg", "").replace("https pages", "")
            assert "http://" not in links and "https:" not in links, path.name
    assert sizes < 200_000


def test_a_public_address_is_known_as_such() -> None:
    assert not any(ServerSettings(host=host).is_public for host in ("127.0.0.1", "::1", "localhost", "127.8.8.8"))
    assert all(ServerSettings(host=host).is_public for host in ("0.0.0.0", "::", "192.168.1.5", "my-machine"))


def test_settings_that_make_no_sense_are_named() -> None:
    for name in ("max_streams", "max_characters"):
        with pytest.raises(InputError, match=name):
            ServerSettings(**{name: 0})  # type: ignore[arg-type]
    with pytest.raises(InputError, match="key"):
        ServerSettings(api_keys=("good", " "))


def test_health_answers_in_a_blink_while_speech_is_made(server: Running) -> None:
    with ThreadPoolExecutor(1) as threads, server.client() as client:
        speaking = threads.submit(server.client().post, "/v1/audio/speech", json=SPEECH)
        began = time.monotonic()
        assert client.get("/health").json() == {"status": "ok"}
        assert time.monotonic() - began < 2
        assert speaking.result().status_code == 200


def test_more_requests_than_can_be_under_way_are_told_when_to_come_back(serve: Serve, paced: PacedEngine) -> None:
    paced.allowed = threading.Semaphore(0)
    server = serve(paced, max_requests=2)
    with ThreadPoolExecutor(2) as threads, server.client() as client:
        waiting = [threads.submit(client.post, "/v1/audio/speech", json=SPEECH) for _ in range(2)]
        deadline = time.monotonic() + 60
        while client.get("/ready").json()["speaking"] < 2:
            assert time.monotonic() < deadline
        refused = client.get("/v1/models")
        assert (refused.status_code, code(refused)) == (503, "server_overloaded")
        assert int(refused.headers["retry-after"]) >= 1
        assert client.get("/health").status_code == 200
        paced.allowed.release(10_000)
        assert all(one.result().status_code == 200 for one in waiting)
        assert client.get("/v1/models").status_code == 200


def test_bodies_of_everybody_together_have_a_limit(serve: Serve) -> None:
    server = serve(max_bytes_under_way=3_000)
    with server.client() as client:
        files = {"recording": ("a.wav", b"x" * 5_000)}
        refused = client.post("/v1/audio/voice_consents", data={"name": "Ada"}, files=files)
        assert refused.status_code == 503, refused.text
        assert "retry-after" in refused.headers
        assert client.post("/v1/audio/speech", json=SPEECH).status_code == 200, "what was counted is given back"


def test_what_nobody_foresaw_is_a_500_with_its_id_and_without_details(serve: Serve, caplog: Log) -> None:
    server = serve(api_keys=("very-secret-key",))

    def broken(*_: object) -> None:
        raise RuntimeError("inside information")

    server.services.check_model = broken  # type: ignore[method-assign,assignment]
    with server.client(authorization="Bearer very-secret-key") as client:
        answer = client.post("/v1/audio/speech", json={**SPEECH, "input": "my private words"})
    assert (answer.status_code, code(answer)) == (500, "internal_error")
    assert answer.headers["x-request-id"].startswith("req_")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "inside information" not in answer.text
    assert "inside information" in caplog.text
    assert "very-secret-key" not in caplog.text
    assert "my private words" not in caplog.text
