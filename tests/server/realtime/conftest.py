"""A server with the embedded voice, a real Whisper and the stub language model, and callers for it."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from websockets.sync.client import ClientConnection, connect

import duologue
from duologue.agent.language import ChatEndpoint
from duologue.audio import to_audio
from duologue.server.settings import ServerSettings
from duologue.server.talk_parts import TalkParts
from tests.server.conftest import Running, running
from tests.server.language_model_stub import StubLanguageModel

RECORDING = Path(__file__).parents[2] / "data" / "librivox_austen.flac"
Event = dict[str, Any]


@pytest.fixture(scope="session")
def embedded(talker: Running, stub: StubLanguageModel) -> Iterator[Running]:
    """The embedded voice behind the keys of a real server; the ears are the talker's."""
    parts = TalkParts(talker.services.talk.recogniser, ChatEndpoint(stub.url, "stub"))
    with running(duologue.load(), ServerSettings(api_keys=("sesame",)), parts) as started:
        yield started


@pytest.fixture(scope="session")
def speech() -> np.ndarray:
    """Four seconds that end within a sentence, float32 at 24 kHz."""
    return to_audio(RECORDING).samples[: 4 * 24_000]


def pcm(samples: np.ndarray) -> bytes:
    return (samples * 32_767).astype("<i2").tobytes()


class Caller:
    """A client by hand: every event that goes either way."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self.seen: list[Event] = []

    def send(self, kind: str, **fields: Any) -> None:
        self._socket.send(json.dumps({"type": kind, **fields}))

    def send_raw(self, message: str | bytes) -> None:
        self._socket.send(message)

    def say(self, samples: np.ndarray) -> None:
        for first in range(0, len(samples), 12_000):
            audio = base64.b64encode(pcm(samples[first : first + 12_000])).decode()
            self.send("input_audio_buffer.append", audio=audio)

    def next(self, kind: str = "", seconds: float = 30) -> Event:
        """The next event, or the next one of a kind; all are kept in `seen`."""
        while True:
            event = json.loads(self._socket.recv(timeout=seconds))
            self.seen.append(event)
            if kind in ("", event["type"]):
                return event

    def error(self) -> Event:
        found: Event = self.next("error")["error"]
        return found

    def kinds(self) -> list[str]:
        return [event["type"] for event in self.seen]

    def update(self, **session: Any) -> Event:
        self.send("session.update", session={"type": "realtime", **session})
        settled: Event = self.next("session.updated")["session"]
        return settled

    def speak(self, text: str, **more: Any) -> str:
        """Have the voice say something word for word; the id of its item."""
        item = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]}
        self.send("response.create", response={"input": [item], **more})
        return str(self.next("response.done")["response"]["output"][0]["id"])


Call = Callable[..., Any]


@contextmanager
def calling(server: Running, query: str = "", **options: Any) -> Iterator[Caller]:
    url = server.url.replace("http", "ws")
    with connect(f"{url}/v1/realtime{query}", max_size=None, **options) as socket:
        caller = Caller(socket)
        assert caller.next()["type"] == "session.created"
        yield caller
