"""/openapi.json is true: whatever it allows is answered as it says, and nothing that a client sends is a 500."""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.server.conftest import Running

TRUE = [status_code_conformance, content_type_conformance, response_schema_conformance]
FEW = settings(
    max_examples=6,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def document(server: Running) -> Any:
    return schemathesis.openapi.from_url(f"{server.url}/openapi.json")


schema = schemathesis.pytest.from_fixture("document")


@schema.parametrize()
@FEW
def test_no_request_is_a_fault_of_the_server(case: Any) -> None:
    answer = case.call(timeout=30)
    if answer.status_code >= 500:
        assert answer.status_code == 503, answer.text
        assert case.path == "/ready" or answer.json()["error"]["code"] in ("talk_unavailable", "server_overloaded")
    case.validate_response(answer, checks=TRUE)


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
