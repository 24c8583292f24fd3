"""Several texts in one request: each has its own outcome, and equals what it is alone."""

from __future__ import annotations

import base64

from tests.server.conftest import Running


def test_items_succeed_and_fail_on_their_own(server: Running) -> None:
    good = {"model": "tiny", "voice": "one", "input": "Hello there.", "response_format": "pcm", "seed": 1}
    with server.client() as client:
        alone = client.post("/v1/audio/speech", json=good).content
        items = [good, {**good, "voice": "nobody"}, {**good, "seed": 2}, {**good, "input": "?"}]
        data = client.post("/v1/audio/speech/batch", json={"items": items}).json()["data"]
    assert [item["index"] for item in data] == [0, 1, 2, 3]
    assert [item["status"] for item in data] == [200, 404, 200, 400]
    assert base64.b64decode(data[0]["audio"]) == alone != base64.b64decode(data[2]["audio"])
    assert data[0]["usage"]["output_tokens"] > 0
    assert data[1]["error"]["code"] == "voice_not_found"


def test_a_batch_has_limits(server: Running) -> None:
    item = {"model": "tiny", "input": "Hello there, everyone."}
    with server.client() as client:
        for items in ([], [item] * 33, [item] * 20):  # none, too many, too many characters together
            assert client.post("/v1/audio/speech/batch", json={"items": items}).status_code == 400
