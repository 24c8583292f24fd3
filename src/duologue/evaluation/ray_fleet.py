"""A real Ray cluster of two replicas on this machine: `python -m duologue.evaluation.ray_fleet`.

Conversations are spoken through it; the replica that holds them is killed; they have to go on with the same sound.
Streaming and the WebSocket go through the same door. Needs `pip install "ray[serve]==2.60.0"`.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx

from .load import store
from .report import versions

RESULTS = Path("benchmarks/results/ray.json")
CONVERSATIONS = 6


def run(replicas: int, streams: int) -> dict[str, Any]:
    """Start the fleet, use it, break it, and say what happened."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    import importlib

    import ray
    from ray import serve

    build = importlib.import_module("duologue.server.ray_app").build
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as state:
        ray.init(num_cpus=4, include_dashboard=False, log_to_driver=False)
        options = {"state": state, "streams": streams, "cpus": 1, "min_replicas": replicas, "max_replicas": replicas}
        serve.run(build(options), route_prefix="/")
        started = time.monotonic() - began
        try:
            with httpx.Client(base_url="http://127.0.0.1:8000", timeout=120) as client:
                return {"replicas": replicas, "started_seconds": round(started, 1), **_use(client)}
        finally:
            serve.shutdown()
            ray.shutdown()


def _use(client: httpx.Client) -> dict[str, Any]:
    talks = [client.post("/v1/conversations", json={}).raise_for_status().json()["id"] for _ in range(CONVERSATIONS)]
    first = [_say(client, talk, "Good morning to you.", 1) for talk in talks]
    expected = _say(client, talks[0], "And how did you sleep?", 2)
    stuck = [_say(client, talk, "And how did you sleep?", 2) for talk in talks[1:3]]
    places = {talk: _place(client, talk) for talk in talks}
    again = {talk: _place(client, talk) for talk in talks}
    victim = places[talks[3]]
    os.kill(victim, signal.SIGKILL)
    killed = time.monotonic()
    after = [_patiently(client, talk) for talk in talks[3:]]
    return {
        "conversations": CONVERSATIONS,
        "replicas_used": len(set(places.values())),
        "stayed": sum(places[talk] == again[talk] for talk in talks),
        "first_chunk_ms_median": round(1e3 * statistics.median(one[1] for one in first), 1),
        "chunks_of_one_answer": expected[2],
        "same_before_the_kill": sum(one[0] == expected[0] for one in stuck),
        "same_after_the_kill": sum(one[0] == expected[0] for one in after),
        "asked_after_the_kill": len(after),
        "answered_after_the_kill_seconds": round(time.monotonic() - killed, 1),
        "socket_speaks": _socket_speaks(),
    }


def _say(client: httpx.Client, talk: str, text: str, seed: int) -> tuple[bytes, float, int]:
    """The sound, seconds to its first chunk, and the number of chunks."""
    asked = {"input": text, "seed": seed, "response_format": "pcm"}
    began, first, chunks = time.perf_counter(), 0.0, []
    path = f"/v1/conversations/{talk}/say"
    with client.stream("POST", path, json=asked, headers={"x-session-id": talk}) as answer:
        answer.raise_for_status()
        for data in answer.iter_raw():
            first = first or time.perf_counter() - began
            chunks.append(data)
    return b"".join(chunks), first, len(chunks)


def _patiently(client: httpx.Client, talk: str) -> tuple[bytes, float, int]:
    """Said as soon as the fleet has noticed that a replica is gone."""
    deadline = time.monotonic() + 60
    while True:
        try:
            return _say(client, talk, "And how did you sleep?", 2)
        except httpx.HTTPError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)


def _place(client: httpx.Client, talk: str) -> int:
    """The process that answers for a conversation."""
    answer = client.get("/v1/server", headers={"x-session-id": talk}).raise_for_status()
    return int(answer.json()["process"])


def _socket_speaks() -> bool:
    from websockets.sync.client import connect

    with connect("ws://127.0.0.1:8000/v1/audio/speech/stream") as socket:
        for message in ({"type": "input.text", "text": "Hello there."}, {"type": "input.done"}):
            socket.send(json.dumps(message))
        while True:
            if isinstance(socket.recv(timeout=60), bytes):
                return True


def main() -> int:
    """Run, write, print; 0 if nothing was lost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replicas", type=int, default=2)
    parser.add_argument("--streams", type=int, default=4)
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    load = os.getloadavg()[0]
    result = {**versions(), "machine_load_before": round(load, 2), **run(arguments.replicas, arguments.streams)}
    store(arguments.out, f"{arguments.replicas} replicas", result)
    json.dump(result, sys.stdout, indent=1)
    lost = result["asked_after_the_kill"] - result["same_after_the_kill"]
    return 1 if lost or result["stayed"] < CONVERSATIONS or not result["socket_speaks"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
