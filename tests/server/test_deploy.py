"""The nginx recipe with a real nginx and two servers: conversations stay put, and outlive the server that held them."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from websockets.sync.client import connect

from duologue.evaluation.load_server import ServerProcess

RECIPE = Path(__file__).parents[2] / "recipes" / "serving" / "nginx.conf"


@dataclass
class Fleet:
    url: str
    servers: list[ServerProcess]

    def count(self, server: ServerProcess) -> float:
        """Conversations that a server holds."""
        text = httpx.get(f"{server.url}/metrics").text
        return float(next(line for line in text.splitlines() if line.startswith("duologue_conversations ")).split()[1])


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def fleet(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    nginx = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/bin")
    assert nginx, "apt-get install nginx-light"
    state, folder = tmp_path_factory.mktemp("state"), tmp_path_factory.mktemp("nginx")
    servers = [ServerProcess(["--model", str(tiny_folder), "--state", str(state)]) for _ in range(2)]
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(ServerProcess.start, servers))
    port = free_port()
    recipe = RECIPE.read_text().replace("listen 8080", f"listen 127.0.0.1:{port}")
    for written, server in zip((8001, 8002), servers, strict=True):
        assert f"127.0.0.1:{written}" in recipe
        recipe = recipe.replace(f"127.0.0.1:{written}", f"127.0.0.1:{server.port}")
    (folder / "nginx.conf").write_text(recipe)
    proxy = subprocess.Popen([nginx, "-p", str(folder), "-c", "nginx.conf", "-g", "daemon off;"])
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 60
        while not _answers(url):
            assert proxy.poll() is None, "nginx did not start"
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield Fleet(url, servers)
    finally:
        proxy.terminate()
        proxy.wait(10)
        for server in servers:
            server.stop()


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health").status_code == 200
    except httpx.HTTPError:
        return False


def say(client: httpx.Client, conversation: str, text: str, seed: int) -> bytes:
    asked = {"input": text, "seed": seed, "response_format": "pcm"}
    answer = client.post(f"/v1/conversations/{conversation}/say", json=asked)
    assert answer.status_code == 200, answer.text
    return answer.content


def test_conversations_stay_put_and_go_on_when_their_server_is_killed(fleet: Fleet) -> None:
    with httpx.Client(base_url=fleet.url, timeout=30) as client:
        talks = [client.post("/v1/conversations", json={}).json()["id"] for _ in range(8)]
        for talk in talks:
            say(client, talk, "Good morning.", 1)
        alone = client.post("/v1/conversations", json={}).json()["id"]
        expected = [say(client, alone, text, seed) for seed, text in ((1, "Good morning."), (2, "How are you?"))][1]
        held = [fleet.count(server) for server in fleet.servers]
        for talk in talks[:4]:
            assert say(client, talk, "How are you?", 2) == expected
        assert [fleet.count(server) for server in fleet.servers] == held, "each turn went where the first one went"
        assert min(held) > 0, "both have some"
        fleet.servers[0].kill()
        for talk in talks[4:]:
            assert say(client, talk, "How are you?", 2) == expected
        assert fleet.count(fleet.servers[1]) >= 4


def test_sound_is_streamed_and_sockets_pass(fleet: Fleet) -> None:
    asked = {"model": "tts-1", "input": "One two three four five six. " * 4, "response_format": "pcm", "seed": 1}
    with httpx.stream("POST", f"{fleet.url}/v1/audio/speech", json=asked, timeout=30) as answer:
        sizes = [len(data) for data in answer.iter_raw()]
    assert len(sizes) > 5
    with connect(f"{fleet.url.replace('http', 'ws')}/v1/audio/speech/stream") as socket_:
        assert "session.created" in str(socket_.recv(timeout=10))
