"""A spoken exchange end to end without a network: a recording as the caller, a real Whisper, a language model stub.

The stub (language_model_stub.py) streams canned text.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path

import httpx
import numpy as np
import pytest
from openai import InternalServerError, OpenAI

from duologue.agent.language import ChatEndpoint
from duologue.api import Model
from duologue.audio import to_audio
from duologue.server.settings import ServerSettings
from duologue.server.talk_parts import TalkParts
from tests.server.conftest import Running, running
from tests.server.language_model_stub import StubLanguageModel

RECORDING = Path(__file__).parents[1] / "data" / "librivox_austen.flac"


def caller(seconds: float = 4.0) -> bytes:
    samples = to_audio(RECORDING).samples[: int(seconds * 24_000)]
    return (samples * 32767).astype("<i2").tobytes()


def reply(client: httpx.Client, talk: str, sound: bytes) -> list[dict]:
    answer = client.post(f"/v1/conversations/{talk}/reply", content=sound, headers={"content-type": "audio/pcm"})
    assert answer.status_code == 200, answer.text
    return [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: ")]


def test_it_hears_thinks_and_answers_with_both_sides_in_memory(talker: Running, stub: StubLanguageModel) -> None:
    with talker.client() as client:
        talk = client.post("/v1/conversations", json={}).json()["id"]
        events = reply(client, talk, caller())
        kinds = [event["type"] for event in events]
        assert kinds[:2] == ["talk.heard", "talk.sentence"]
        assert kinds[-1] == "talk.done"
        assert [event["text"] for event in events if event["type"] == "talk.sentence"] == [
            "Of course.",
            "I am listening to you.",
        ]
        heard = events[0]["text"]
        assert len(heard.split()) >= 5
        sound = b"".join(base64.b64decode(event["audio"]) for event in events if event["type"] == "talk.audio")
        assert np.frombuffer(sound, "<i2").any()
        turns = client.get(f"/v1/conversations/{talk}").json()["turns"]
        assert [turn["spoken"] for turn in turns] == [False, True, True]
        assert turns[0]["seconds"] == pytest.approx(4.0, abs=0.1)
        assert set(events[-1]["times"]) == {"heard_ms", "first_sentence_ms", "first_audio_ms", "done_ms"}
        client.post(f"/v1/conversations/{talk}/cut", json={"heard_ms": 160})
        reply(client, talk, caller())
    roles = [message["role"] for message in stub.asked[-1]["messages"]]
    assert roles == ["system", "user", "assistant", "user"]
    assert len(stub.asked[-1]["messages"][2]["content"].split()) < 7, "only what was heard is remembered"


def test_silence_is_not_answered(talker: Running, stub: StubLanguageModel) -> None:
    before = len(stub.asked)
    with talker.client() as client:
        talk = client.post("/v1/conversations", json={}).json()["id"]
        events = reply(client, talk, bytes(48_000))
        assert [event["type"] for event in events] == ["talk.heard", "talk.done"]
        assert events[0]["text"] == ""
        assert client.get(f"/v1/conversations/{talk}").json()["turns"] == []
    assert len(stub.asked) == before


def test_a_language_model_that_is_gone_is_said(tiny_model: Model, talker: Running) -> None:
    parts = TalkParts(talker.services.talk.recogniser, ChatEndpoint("http://127.0.0.1:9/v1", "gone"))
    with running(tiny_model, ServerSettings(), parts) as server, server.client() as client:
        talk = client.post("/v1/conversations", json={}).json()["id"]
        events = reply(client, talk, caller(2))
    assert events[-1]["type"] == "error"
    assert events[-1]["error"]["code"] == "backend_unavailable"


def test_without_its_parts_a_server_says_what_it_lacks(server: Running) -> None:
    with server.client() as client:
        talk = client.post("/v1/conversations", json={}).json()["id"]
        answer = client.post(f"/v1/conversations/{talk}/reply", content=caller(1))
        assert answer.status_code == 503
        assert answer.json()["error"]["message"] == (
            "This server can't answer: it lacks speech recognition and a language model."
        )
        assert [part["ready"] for part in client.get("/v1/server").json()["talk"]] == [True, False, False]


def test_sound_of_an_impossible_length_is_refused(talker: Running) -> None:
    with talker.client() as client:
        talk = client.post("/v1/conversations", json={}).json()["id"]
        for sound in (b"", bytes(100), bytes(61 * 48_000)):
            answer = client.post(f"/v1/conversations/{talk}/reply", content=sound)
            assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_audio_length")


def test_openai_s_client_has_recordings_read(talker: Running, server: Running) -> None:
    recording = RECORDING.read_bytes()
    client = OpenAI(base_url=f"{talker.url}/v1", api_key="none", max_retries=0)
    found = client.audio.transcriptions.create(model="whisper-1", file=("a.flac", recording))
    assert "Dashwood" in found.text
    plain = client.audio.transcriptions.create(model="whisper-1", file=("a.flac", recording), response_format="text")
    assert str(plain).strip() == found.text
    deaf = OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)
    with pytest.raises(InternalServerError) as caught:
        deaf.audio.transcriptions.create(model="whisper-1", file=("a.flac", recording))
    assert caught.value.code == "transcription_unavailable"
