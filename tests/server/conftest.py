"""A real server on a real port, speaking the noise of the tiny model."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx
import numpy as np
import pytest
import soundfile
import uvicorn
from fastapi import FastAPI

from duologue.agent.language import ChatEndpoint
from duologue.api import Model
from duologue.engine.base import Cache, Engine, Frame, FrameRequest
from duologue.server.app import create_app
from duologue.server.patience import patient_protocol
from duologue.server.services import Services
from duologue.server.settings import ServerSettings
from duologue.server.talk_parts import TalkParts
from tests.server.language_model_stub import StubLanguageModel
from tests.server.pages import RECORDING, start_browser, uncomplaining

if TYPE_CHECKING:
    from selenium.webdriver.chrome.webdriver import WebDriver


@dataclass
class Running:
    """One server process-in-a-thread."""

    url: str
    app: FastAPI

    @property
    def services(self) -> Services:
        services: Services = self.app.state.services
        return services

    def client(self, **headers: str) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=30, headers=headers)

    def wait_until_idle(self, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while self.services.streams.admission.active:
            assert time.monotonic() < deadline, "a row is still held"
            time.sleep(0.005)


@contextmanager
def running(model: Model, settings: ServerSettings, parts: TalkParts | None = None) -> Iterator[Running]:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16_384)  # so that slow readers are felt
        listener.bind(("127.0.0.1", 0))
        app = create_app(model, settings, parts)
        protocol = patient_protocol(settings.stalled_seconds)
        config = uvicorn.Config(app, http=protocol, log_level="warning", lifespan="on", timeout_graceful_shutdown=3)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.005)
        yield Running(f"http://127.0.0.1:{listener.getsockname()[1]}", app)
        server.should_exit = True
        thread.join(60)
        assert not thread.is_alive(), "the server did not end"


class PacedEngine:
    """An engine that counts its steps and holds each one until it is allowed. The steps themselves are real."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.config, self.name = engine.config, engine.name
        self.frames_drawn = 0
        self.seconds_per_step = 0.0
        self.allowed: threading.Semaphore | None = None

    def new_cache(self) -> Cache:
        return self._engine.new_cache()

    def prefill(self, cache: Cache, rows: np.ndarray, positions: np.ndarray) -> None:
        self._engine.prefill(cache, rows, positions)

    def frames(self, requests: list[FrameRequest]) -> list[Frame]:
        if self.allowed is not None:
            self.allowed.acquire()
        time.sleep(self.seconds_per_step)
        frames = self._engine.frames(requests)
        self.frames_drawn += len(requests)
        return frames


Serve = Callable[..., Running]


@pytest.fixture(scope="session")
def server(tiny_model: Model, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One server for all tests that leave it as it was."""
    folder = tmp_path_factory.mktemp("voices")
    with running(tiny_model, ServerSettings(voices_folder=folder, max_characters=300)) as started:
        yield started


@pytest.fixture
def serve(tiny_model: Model) -> Iterator[Serve]:
    """Start servers with settings of their own; `paced=True` gives `.services.engine` a paced engine."""
    from contextlib import ExitStack

    with ExitStack() as stack:

        def start(engine: Engine | None = None, **settings: object) -> Running:
            source = tiny_model
            model = Model(source.card, engine or source.engine, source.codec, source.reader, source.voices)
            return stack.enter_context(running(model, ServerSettings(**settings)))  # type: ignore[arg-type]

        yield start


@pytest.fixture
def paced(tiny_model: Model) -> Iterator[PacedEngine]:
    engine = PacedEngine(tiny_model.engine)
    yield engine
    if engine.allowed is not None:  # or a failed test would leave threads that wait for ever
        engine.allowed.release(1_000_000)


@pytest.fixture(scope="session")
def stub() -> Iterator[StubLanguageModel]:
    made = StubLanguageModel()
    yield made
    made.server.shutdown()


@pytest.fixture(scope="session")
def talker(tiny_model: Model, stub: StubLanguageModel) -> Iterator[Running]:
    """A server that can answer: with a real Whisper, and the stub to think for it."""
    from duologue.agent.recognition import Whisper
    from duologue.evaluation.asr import assemble_base

    ears = Whisper(str(assemble_base()), threads=1)
    with running(tiny_model, ServerSettings(), TalkParts(ears, ChatEndpoint(stub.url, "stub"))) as started:
        yield started


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebDriver]:
    microphone = tmp_path_factory.mktemp("microphone") / "speech.wav"
    soundfile.write(microphone, *soundfile.read(RECORDING))
    driver = start_browser(microphone)
    yield driver
    driver.quit()


@pytest.fixture
def page(browser: WebDriver, server: Running) -> Iterator[WebDriver]:
    """The Say tab."""
    with uncomplaining(browser, f"{server.url}/#say") as opened:
        yield opened
