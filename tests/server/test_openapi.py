"""/openapi.json is true: whatever it allows is answered as it says, and nothing that a client sends is a 500.

`OPENAPI_EXAMPLES=300 python -m pytest tests/server/test_openapi.py` sends more requests to each route.
"""

from __future__ import annotations

import os
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.server.conftest import Running

EXAMPLES = int(os.environ.get("OPENAPI_EXAMPLES", "4"))
TRUE = [status_code_conformance, content_type_conformance, response_schema_conformance]
EXPECTED_503 = ("talk_unavailable", "transcription_unavailable", "server_overloaded", "conversation_limit_reached")


@pytest.fixture(scope="module")
def document(server: Running) -> Any:
    return schemathesis.openapi.from_url(f"{server.url}/openapi.json")


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=lambda mode: mode.name.lower())
def test_no_request_is_a_fault_of_the_server(document: Any, mode: GenerationMode) -> None:
    """Requests that fit the document, and requests that don't."""
    operations = [found.ok() for found in document.get_all_operations()]
    assert len(operations) > 12
    if mode == GenerationMode.NEGATIVE:
        operations = [operation for operation in operations if operation.body]  # elsewhere there is little to get wrong
    seen: list[int] = []
    for operation in operations:

        @given(operation.as_strategy(generation_mode=mode))
        @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
        def check(case: Any) -> None:
            seen.append(_check(case))

        check()
    assert seen.count(200 if mode == GenerationMode.POSITIVE else 400) > 5


def _check(case: Any) -> int:
    answer = case.call(timeout=60)
    if answer.status_code >= 500:
        assert answer.status_code == 503, f"{case.as_curl_command()}\n{answer.text}"
        assert case.path == "/ready" or answer.json()["error"]["code"] in EXPECTED_503, answer.text
    case.validate_response(answer, checks=TRUE)
    return int(answer.status_code)


def test_every_route_tells_its_failures_and_none_tells_fastapi_s_own(server: Running) -> None:
    with server.client() as client:
        paths = client.get("/openapi.json").json()["paths"]
    for path, operations in paths.items():
        for operation in operations.values():
            assert {"4XX", "5XX"} <= set(operation["responses"]), path
            assert "422" not in operation["responses"], path


def test_speech_s_content_types_are_those_that_come(server: Running) -> None:
    with server.client() as client:
        told = client.get("/openapi.json").json()["paths"]["/v1/audio/speech"]["post"]["responses"]["200"]["content"]
        for name in ("mp3", "opus", "aac", "flac", "wav", "pcm", "ogg", "webm"):
            asked = {"model": "tiny", "input": "Hi.", "response_format": name, "seed": 1}
            assert client.post("/v1/audio/speech", json=asked).headers["content-type"] in told
