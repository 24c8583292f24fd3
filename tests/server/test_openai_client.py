"""What the openai package, unmodified, gets from this server."""

from __future__ import annotations

import base64
import io
import threading
from collections.abc import Iterator

import av
import numpy as np
import openai
import pytest
from openai import OpenAI

from tests.server.conftest import PacedEngine, Running, Serve

TEXT = "Hello there."
READABLE = ("mp3", "opus", "aac", "flac", "wav")


@pytest.fixture(scope="module")
def client(server: Running) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0, timeout=30) as made:
        yield made


def sound_of(data: bytes) -> np.ndarray:
    with av.open(io.BytesIO(data)) as container:
        frames = [frame.to_ndarray().reshape(-1) for frame in container.decode(audio=0)]
    return np.concatenate(frames)


def test_models_are_listed_and_found(client: OpenAI) -> None:
    names = [model.id for model in client.models.list()]
    assert names[0] == "tiny"
    assert "gpt-4o-mini-tts" in names
    assert client.models.retrieve("tiny").owned_by == "duologue"


@pytest.mark.parametrize("name", READABLE)
def test_every_format_is_readable_and_typed(client: OpenAI, name: str) -> None:
    types = {"mp3": "audio/mpeg", "opus": "audio/ogg", "aac": "audio/aac", "flac": "audio/flac", "wav": "audio/wav"}
    with client.audio.speech.with_streaming_response.create(
        model="tts-1", voice="alloy", input=TEXT, response_format=name, extra_body={"seed": 1}
    ) as response:
        data = b"".join(response.iter_bytes(1024))
    assert response.headers["content-type"] == types[name]
    assert "content-encoding" not in response.headers
    assert "content-length" not in response.headers
    assert len(sound_of(data)) > 24_000


def test_pcm_is_plain_and_a_seed_repeats_it_in_any_form(client: OpenAI) -> None:
    def speak(**more: object) -> np.ndarray:
        made = client.audio.speech.create(
            model="tiny", voice="one", input=TEXT, response_format="pcm", extra_body={"seed": 7}, **more
        )
        assert len(made.content) % 2 == 0
        return np.frombuffer(made.content, "<i2")

    assert np.array_equal(speak(), speak())
    wav = client.audio.speech.create(
        model="tiny", voice="one", input=TEXT, response_format="wav", extra_body={"seed": 7}
    ).content
    assert np.array_equal(np.frombuffer(wav[44:], "<i2"), speak())


def test_the_speech_equals_the_library_s(client: OpenAI, server: Running) -> None:
    from duologue.audio_files import to_s16le

    over_http = client.audio.speech.create(
        model="tiny", voice="two", input=TEXT, response_format="pcm", extra_body={"seed": 3}
    ).content
    alone = server.services.model.generate(TEXT, voice="two", seed=3, check=False)
    assert over_http == to_s16le(alone.samples)


def test_sse_ends_with_usage(client: OpenAI) -> None:
    with client.audio.speech.with_streaming_response.create(
        model="tiny", voice="one", input=TEXT, response_format="pcm", stream_format="sse", extra_body={"seed": 7}
    ) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        import json

        events = [json.loads(line[6:]) for line in response.iter_lines() if line.startswith("data: ")]
    assert {event["type"] for event in events[:-1]} == {"speech.audio.delta"}
    assert len(events) > 5
    assert events[-1]["type"] == "speech.audio.done"
    usage = events[-1]["usage"]
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"] > usage["output_tokens"] > 0
    sound = b"".join(base64.b64decode(event["audio"]) for event in events[:-1])
    whole = client.audio.speech.create(
        model="tiny", voice="one", input=TEXT, response_format="pcm", extra_body={"seed": 7}
    ).content
    assert sound == whole
    assert usage["audio_seconds"] == pytest.approx(len(sound) / 48_000, abs=0.01)


def test_both_shapes_of_a_voice_work(client: OpenAI) -> None:
    def speak(voice: object) -> bytes:
        return client.audio.speech.create(
            model="tiny", voice=voice, input=TEXT, response_format="pcm", extra_body={"seed": 7}
        ).content

    assert speak({"id": "two"}) == speak("two") != speak("one")


def test_speed_is_heard_while_streaming(client: OpenAI) -> None:
    def seconds(speed: float) -> float:
        made = client.audio.speech.create(
            model="tiny", voice="one", input=TEXT, response_format="pcm", speed=speed, extra_body={"seed": 7}
        )
        return len(made.content) / 48_000

    assert seconds(2.0) == pytest.approx(seconds(1.0) / 2, rel=0.05)


def test_instructions_are_taken_and_answered(client: OpenAI) -> None:
    response = client.audio.speech.with_raw_response.create(
        model="tiny", voice="one", input=TEXT, response_format="pcm", instructions="whisper"
    )
    assert "ignored" in response.headers["x-duologue-instructions"]
    assert response.headers["x-request-id"].startswith("req_")


@pytest.mark.parametrize(
    ("change", "kind", "code", "param"),
    [
        ({"model": "gpt-9"}, openai.NotFoundError, "model_not_found", "model"),
        ({"voice": "nobody"}, openai.NotFoundError, "voice_not_found", "voice"),
        ({"input": ""}, openai.BadRequestError, "invalid_value", "input"),
        ({"input": "…!?"}, openai.BadRequestError, "invalid_value", "text"),
        ({"input": "word " * 100}, openai.BadRequestError, "string_above_max_length", "input"),
        ({"speed": 9.0}, openai.BadRequestError, "invalid_value", "speed"),
        ({"response_format": "midi"}, openai.BadRequestError, "invalid_value", "response_format"),
        ({"extra_body": {"conversation": "conv_x"}}, openai.NotFoundError, "conversation_not_found", None),
    ],
)
def test_errors_arrive_as_the_client_s_classes(
    client: OpenAI, change: dict, kind: type[openai.APIStatusError], code: str, param: str | None
) -> None:
    asked = {"model": "tiny", "voice": "one", "input": TEXT, **change}
    with pytest.raises(kind) as caught:
        client.audio.speech.create(**asked)
    assert (caught.value.code, caught.value.param) == (code, param)
    assert caught.value.type == "invalid_request_error"
    assert caught.value.request_id.startswith("req_")


def test_an_unknown_route_has_the_same_body(client: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.embeddings.create(model="tiny", input="x")
    assert caught.value.code == "not_found"


def test_keys_limits_and_faults_arrive_as_the_client_s_classes(serve: Serve, paced: PacedEngine) -> None:
    paced.allowed = threading.Semaphore(3)
    server = serve(paced, api_keys=("one", "two"), max_streams=1, max_streams_per_key=1, max_waiting=0)

    def client(key: str) -> OpenAI:
        return OpenAI(base_url=f"{server.url}/v1", api_key=key, max_retries=0)

    def speak(key: str) -> None:
        client(key).audio.speech.create(model="tts-1", voice="one", input="Hello there.")

    with client("one").audio.speech.with_streaming_response.create(
        model="tts-1", voice="one", input="Hello there, all of you.", response_format="pcm"
    ) as response:
        next(response.iter_bytes())
        for key, kind, status in (
            ("none", openai.AuthenticationError, 401),
            ("one", openai.RateLimitError, 429),
            ("two", openai.InternalServerError, 503),
        ):
            with pytest.raises(kind) as caught:
                speak(key)
            assert caught.value.status_code == status
            assert caught.value.code
            assert caught.value.request_id
        paced.allowed.release(1_000_000)
    server.wait_until_idle()

    def fault(*_: object) -> None:
        raise ZeroDivisionError

    server.services.voices.find = fault  # type: ignore[method-assign]
    with pytest.raises(openai.InternalServerError) as caught:
        speak("one")
    assert caught.value.status_code == 500
    assert "ZeroDivision" not in str(caught.value)
