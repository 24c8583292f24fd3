"""Voices over HTTP: listed for every picker, created with consent only, decoded where nothing can go wrong."""

from __future__ import annotations

import io
from pathlib import Path

import httpx
import numpy as np
import pytest
import soundfile

from duologue.server.voice_store import OPENAI_VOICES
from tests.server.conftest import Running, Serve
from tests.tiny import speech_like

WORDS = "These are the words of the sample."


def recording(seconds: float = 2.5, seed: int = 3, kind: str = "WAV") -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, speech_like(seconds, seed), 24_000, format=kind)
    return buffer.getvalue()


def consent(client: httpx.Client, data: bytes | None = None) -> httpx.Response:
    files = {"recording": ("../../consent.wav", data or recording(seed=4))}
    return client.post("/v1/audio/voice_consents", data={"name": "Ada", "language": "en-US"}, files=files)


def create(
    client: httpx.Client, name: str, given: str, data: bytes | None = None, words: str = WORDS
) -> httpx.Response:
    fields = {"name": name, "consent": given, "ref_text": words}
    return client.post("/v1/audio/voices", data=fields, files={"audio_sample": ("../../x.wav", data or recording())})


def code(answer: httpx.Response) -> str:
    return str(answer.json()["error"]["code"])


def test_the_list_has_every_shape_that_pickers_read(server: Running) -> None:
    with server.client() as client:
        listed = client.get("/v1/audio/voices").json()
    assert listed["voices"] == listed["data"]
    assert {"id", "name", "language", "description", "licence", "cloned"} <= set(listed["voices"][0])
    assert [voice["id"] for voice in listed["voices"]][:2] == ["one", "two"]


def test_openai_s_thirteen_names_each_stand_for_a_voice(server: Running) -> None:
    assert len(OPENAI_VOICES) == 13
    stood_for = {server.services.voices.find(name).id for name in OPENAI_VOICES}
    assert stood_for == {"one", "two"}


def test_a_voice_is_created_speaks_survives_and_goes(serve: Serve, tmp_path: Path) -> None:
    speech = {"model": "tiny", "input": "Hello.", "voice": "Ada", "seed": 1, "response_format": "pcm"}
    server = serve(voices_folder=tmp_path)
    with server.client() as client:
        given = consent(client).json()
        made = create(client, "Ada", given["id"])
        assert made.status_code == 200, made.text
        assert made.json()["cloned"] is True
        by_name = client.post("/v1/audio/speech", json=speech).content
        assert by_name == client.post("/v1/audio/speech", json={**speech, "voice": {"id": made.json()["id"]}}).content
        assert by_name != client.post("/v1/audio/speech", json={**speech, "voice": "one"}).content
        assert [path.name for path in tmp_path.iterdir()] == [f"{made.json()['id']}.safetensors"]
    with serve(voices_folder=tmp_path).client() as client:
        assert client.post("/v1/audio/speech", json=speech).content == by_name
        assert client.delete("/v1/audio/voices/Ada").json()["deleted"] is True
        assert client.post("/v1/audio/speech", json=speech).status_code == 404
    assert list(tmp_path.iterdir()) == []


def test_servers_over_one_folder_share_their_voices(serve: Serve, tmp_path: Path) -> None:
    first, second = serve(voices_folder=tmp_path), serve(voices_folder=tmp_path)
    with first.client() as one, second.client() as other:
        assert create(one, "Ada", consent(one).json()["id"]).status_code == 200
        assert "Ada" in [voice["name"] for voice in other.get("/v1/audio/voices").json()["voices"]]
        assert other.delete("/v1/audio/voices/Ada").status_code == 200
        speech = {"model": "tiny", "input": "Hello.", "voice": "Ada", "response_format": "pcm"}
        assert one.post("/v1/audio/speech", json=speech).status_code == 404


def test_without_consent_there_is_no_voice(server: Running) -> None:
    with server.client() as client:
        assert code(create(client, "Eve", "cons_made_up")) == "consent_required"
        fields = {"name": "Eve", "ref_text": WORDS}
        missing = client.post("/v1/audio/voices", data=fields, files={"audio_sample": ("a.wav", recording())})
        assert (missing.status_code, missing.json()["error"]["param"]) == (400, "consent")
        assert code(create(client, "Eve", consent(client, recording()).json()["id"])) == "consent_is_sample"
        used = consent(client).json()["id"]
        assert create(client, "Once", used).status_code == 200
        assert code(create(client, "Twice", used)) == "consent_required"
        client.delete("/v1/audio/voices/Once")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (recording(0.4), "Too short."),
        (recording(40), WORDS),
        (recording(), "x " * 400),
        (b"", WORDS),
        (b"RIFF" + b"\xff" * 2_000, WORDS),
        (recording()[:60], WORDS),
    ],
)
def test_a_recording_that_cannot_serve_is_refused_in_words(server: Running, data: bytes, words: str) -> None:
    with server.client() as client:
        answer = create(client, "Bad", consent(client).json()["id"], data or b"\0", words)
        assert answer.status_code == 400, answer.text
        assert answer.json()["error"]["message"]
        assert "Bad" not in client.get("/v1/audio/voices").text


def test_a_file_beyond_the_limit_is_413(serve: Serve) -> None:
    server = serve(max_upload_bytes=50_000)
    with server.client() as client:
        answer = consent(client, recording(5))
    assert (answer.status_code, code(answer)) == (413, "file_too_large")


@pytest.mark.parametrize("kind", ["FLAC", "OGG", "MP3"])
def test_other_containers_come_in_too(server: Running, kind: str) -> None:
    with server.client() as client:
        assert consent(client, recording(kind=kind)).status_code == 200


def test_what_a_browser_records_comes_in(server: Running) -> None:
    from duologue.server.audio_formats import new_encoder

    encoder = new_encoder("webm")
    data = encoder.push(np.concatenate([speech_like(3)])) + encoder.finish()
    with server.client() as client:
        assert consent(client, data).status_code == 200


def test_taken_names_and_built_in_voices_are_safe(server: Running) -> None:
    with server.client() as client:
        given = consent(client).json()["id"]
        for name in ("ONE", "alloy"):
            assert code(create(client, name, given)) == "voice_exists"
        assert code(create(client, "a/b", given)) == "voice_unusable"
        refused = client.delete("/v1/audio/voices/one")
        assert (refused.status_code, code(refused)) == (403, "voice_is_built_in")
        assert client.delete("/v1/audio/voices/..%2F..%2Fetc").status_code == 404


def test_there_is_an_end_to_voices(serve: Serve) -> None:
    server = serve(max_voices=1)
    with server.client() as client:
        assert create(client, "First", consent(client).json()["id"]).status_code == 200
        answer = create(client, "Second", consent(client).json()["id"])
    assert (answer.status_code, code(answer)) == (409, "voice_limit_reached")
