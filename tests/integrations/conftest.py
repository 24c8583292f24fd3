"""What the checks of the frameworks share: the embedded voice, and a real server that speaks with it."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator

import pytest

import duologue
from duologue.api import Model


@pytest.fixture(scope="session")
def model() -> Model:
    return duologue.load()


@pytest.fixture(scope="session")
def partner() -> str:
    """Address of a server that can answer; test_frameworks.py has started it."""
    return os.environ["DUOLOGUE_PARTNER"]


@pytest.fixture(scope="session")
def url(model: Model) -> Iterator[str]:
    """Base URL of a running server."""
    import uvicorn

    from duologue.server.app import create_app
    from duologue.server.settings import ServerSettings

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(create_app(model, ServerSettings()), log_level="warning"))
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        server.should_exit = True
        thread.join(20)
