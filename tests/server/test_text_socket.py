"""Text in bits, sound out: sentences continue one another, can be stopped at once, and errors don't close the door."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from duologue.audio_files import to_s16le
from duologue.server.sentences import SentenceBuffer
from duologue.speaking import GenerationConfig
from tests.server.conftest import PacedEngine, Running, Serve

TEXT = "Good morning to you. How are you today? I am fine"


@contextmanager
def session(server: Running, **more: object) -> Iterator[ClientConnection]:
    url = server.url.replace("http", "ws") + "/v1/audio/speech/stream"
    with connect(url, **more) as socket:  # type: ignore[arg-type]
        assert json.loads(socket.recv())["type"] == "session.created"
        yield socket


def send(socket: ClientConnection, kind: str, **fields: object) -> None:
    socket.send(json.dumps({"type": kind, **fields}))


def until(socket: ClientConnection, kind: str) -> tuple[list[dict], list[bytes]]:
    """Events up to one of a kind, and the sound of each sentence."""
    events: list[dict] = []
    sounds: list[bytes] = []
    while not events or events[-1]["type"] != kind:
        message = socket.recv(timeout=20)
        if isinstance(message, bytes):
            if sounds:
                sounds[-1] += message
            continue
        events.append(json.loads(message))
        if events[-1]["type"] == "audio.start":
            sounds.append(b"")
    return events, sounds


@given(st.lists(st.integers(1, 12), max_size=30))
def test_wherever_the_text_is_broken_the_sentences_are_the_same(sizes: list[int]) -> None:
    buffer, at, sentences = SentenceBuffer(), 0, []
    for size in sizes:
        sentences += buffer.push(TEXT[at : at + size])
        at += size
    sentences += [*buffer.push(TEXT[at:]), *buffer.flush()]
    assert sentences == ["Good morning to you.", "How are you today?", "I am fine"]


def test_a_sentence_leaves_as_soon_as_the_next_begins() -> None:
    buffer = SentenceBuffer()
    assert buffer.push("Good morning. ") == []
    assert buffer.push("H") == ["Good morning."]
    assert buffer.flush() == ["H"]
    assert buffer.push(" … ") + buffer.flush() == []


def test_sentences_continue_one_conversation(server: Running) -> None:
    with session(server) as socket:
        send(socket, "session.config", voice="one", seed=3)
        for piece in ("Good mor", "ning to you. How a", "re you today?"):
            send(socket, "input.text", text=piece)
        send(socket, "input.done")
        events, sounds = until(socket, "input.finished")
    kinds = [event["type"] for event in events]
    assert kinds == ["session.configured", *["audio.start", "audio.done"] * 2, "input.finished"]
    alone = server.services.model.conversation("one", options=GenerationConfig(check=False))
    expected = [alone.say(text, seed=3) for text in ("Good morning to you.", "How are you today?")]
    assert sounds == [to_s16le(sound.samples) for sound in expected]


def test_cancelling_stops_the_sound_and_cuts_the_memory(serve: Serve, paced: PacedEngine) -> None:
    paced.seconds_per_step = 0.02
    server = serve(paced)
    with server.client() as client, session(server) as socket:
        talk = client.post("/v1/conversations", json={}).json()["id"]
        send(socket, "session.config", conversation=talk)
        send(socket, "input.text", text="One two three four five six. And then some more of it. ")
        send(socket, "input.done")
        for _ in range(4):
            socket.recv(timeout=20)
        send(socket, "input.cancel", heard_ms=160)
        events, _ = until(socket, "input.cancelled")
        assert events[-1]["remains"]
        turns = client.get(f"/v1/conversations/{talk}").json()["turns"]
        assert [turn["seconds"] for turn in turns] == [0.16]
        paced.seconds_per_step = 0
        send(socket, "input.text", text="A fresh start.")
        send(socket, "input.done")
        events, _ = until(socket, "input.finished")
        assert "A fresh start." in [event.get("sentence_text") for event in events]


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("{", "invalid_event"),
        ('{"type":"input.fly"}', "invalid_event"),
        ('{"type":"input.text"}', "invalid_event"),
        ('{"type":"session.config","speed":99}', "invalid_event"),
        ('{"type":"session.config","voice":"nobody"}', "voice_not_found"),
        ('{"type":"session.config","conversation":"conv_x"}', "conversation_not_found"),
        (json.dumps({"type": "input.text", "text": "x" * 301}), "string_above_max_length"),
        (b"\xff\xfe", "invalid_event"),
    ],
)
def test_errors_are_events_and_the_socket_goes_on(server: Running, message: str | bytes, code: str) -> None:
    with session(server) as socket:
        socket.send(message)
        events, _ = until(socket, "error")
        assert events[-1]["error"]["code"] == code
        send(socket, "input.done")
        until(socket, "input.finished")


def test_what_cannot_be_spoken_is_an_error_of_its_sentence(server: Running) -> None:
    with session(server) as socket:
        send(socket, "input.text", text="Good morning. Well.")
        send(socket, "input.done")
        events, sounds = until(socket, "input.finished")
    assert len(sounds) == 2
    assert all(event["type"] != "error" for event in events)


def test_a_socket_that_vanishes_leaves_nothing_behind(server: Running) -> None:
    before = len(server.services.conversations)
    for _ in range(5):
        with session(server) as socket:
            send(socket, "input.text", text="One two three four five six seven. Eight.")
            send(socket, "input.done")
            socket.recv(timeout=20)
    server.wait_until_idle(10)
    deadline = time.monotonic() + 60
    while len(server.services.conversations) > before:
        assert time.monotonic() < deadline, "a vanished socket's conversation is still there"
        time.sleep(0.01)


def test_keys_and_origins_hold_for_sockets_too(serve: Serve) -> None:
    server = serve(api_keys=("secret",))
    for more in ({}, {"additional_headers": {"Authorization": "Bearer wrong"}}):
        with pytest.raises((InvalidStatus, ConnectionClosed)), session(server, **more):
            pass
    with pytest.raises((InvalidStatus, ConnectionClosed)), session(server, origin="https://evil.example"):
        pass
    with session(server, additional_headers={"Authorization": "Bearer secret"}) as socket:
        send(socket, "session.close")
    with session(server, subprotocols=["realtime", "openai-insecure-api-key.secret"]) as socket:
        assert socket.subprotocol == "realtime"
