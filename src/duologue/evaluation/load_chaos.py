"""What a server survives: `python -m duologue.evaluation.load_chaos`.

A thousand clients that leave at random moments, slow readers, malformed frames and bodies, oversize uploads, and
`kill -9` with conversations under way. After each, the server must be as before: no row, thread, open file or memory
held, and the next request gets the same sound as the first one did.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from .load import store
from .load_hostile import exchange, form, nonsense, post, slow_reader, speech, vanish
from .load_listener import PATIENCE
from .load_server import MIB, Footprint, ServerProcess
from .report import versions

RESULTS = Path("benchmarks/results/chaos.json")
AT_ONCE = 32
SETTLE_SECONDS = 90.0
SPARE_FILES = 3  # open files that may come and go: a connection just closed, the one that asks
PROBE = {"model": "tts-1", "input": "The next request works.", "seed": 7, "response_format": "pcm"}


@dataclass
class Chaos:
    """A running server, what it sounded like in peace, and how much of each evil it gets."""

    server: ServerProcess
    scale: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        self.draw = random.Random(self.seed)
        self.in_peace = b""

    def count(self, full: int) -> int:
        """A number of clients at this scale, at least three."""
        return max(3, round(full * self.scale))

    async def leaving(self) -> dict[str, Any]:
        """Clients that leave at random moments, politely or by a reset."""
        number, memory = self.count(1_000), []
        for part in range(4):
            await _crowd(lambda: vanish(self.server.port, self.draw), number // 4 + (part < number % 4))
            await self.settled()
            memory.append(round(self.server.footprint().resident_mib, 1))
        return {"clients": number, "resident_mib_after_each_quarter": memory}

    async def slow_readers(self) -> dict[str, Any]:
        """Readers that take nothing, while somebody else is served."""
        number = self.count(8)
        request = speech(1, response_format="wav", speed=0.25)
        connections = [slow_reader(self.server.port, request) for _ in range(number)]
        await asyncio.sleep(1.0)
        began = time.monotonic()
        others = await self.probe()
        waited = time.monotonic() - began
        for connection in connections:
            connection.close()
        return {"clients": number, "others_served": others == self.in_peace, "others_waited_seconds": round(waited, 2)}

    async def malformed(self) -> dict[str, Any]:
        """Bodies, frames and requests that make no sense; never a 5xx."""
        statuses: Counter[str] = Counter()

        async def one() -> None:
            received = await exchange(self.server.port, nonsense(self.draw), 3.0, take=12)
            statuses[received[9:12].decode(errors="replace") if received.startswith(b"HTTP/") else "closed"] += 1

        number = self.count(400)
        await _crowd(one, number)
        return {"clients": number, "statuses": dict(sorted(statuses.items()))}

    async def oversize(self) -> dict[str, Any]:
        """Uploads beyond every limit, told and untold, and texts as long as books."""
        big = bytes(12 * MIB)
        upload = form("/v1/audio/voice_consents", {"name": b"Big"}, "recording", big)
        untold = (
            b"POST /v1/audio/voice_consents HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n"
            b"Content-Type: multipart/form-data; boundary=x\r\n\r\n" + (b"100000\r\n" + bytes(MIB) + b"\r\n") * 20
        )
        kinds = {
            "file too large": upload,
            "request too large": post("/v1/audio/speech", bytes(20 * MIB)),
            "endless": untold,
            "book": speech(1, "word " * 100_000),
        }
        statuses: dict[str, Counter[str]] = {kind: Counter() for kind in kinds}

        async def one() -> None:
            kind = self.draw.choice(list(kinds))
            received = await exchange(self.server.port, kinds[kind], 30.0, take=12)
            statuses[kind][received[9:12].decode(errors="replace") or "closed"] += 1

        number = self.count(60)
        await _crowd(one, number, at_once=8)
        return {"clients": number, "statuses": {kind: dict(counts) for kind, counts in statuses.items()}}

    async def killed(self) -> dict[str, Any]:
        """`kill -9` while it speaks; after a restart every conversation goes on as if nothing had happened."""
        number = self.count(12)
        async with self.client() as client:
            ids = [(await _json(client, "/v1/conversations", {}))["id"] for _ in range(number)]
            for conversation in ids:
                await _say(client, conversation, "Good morning to you.", 1)
            unbroken = await _say(client, ids[0], "And how did you sleep?", 2)
            running = asyncio.create_task(exchange(self.server.port, speech(3), 5.0))
            await asyncio.sleep(0.3)
        self.server.kill()
        await running
        started = self.server.start()
        async with self.client() as client:
            again = [await _say(client, conversation, "And how did you sleep?", 2) for conversation in ids[1:]]
            left = await client.get(f"/v1/conversations/{ids[0]}")
            turns = len(left.raise_for_status().json()["turns"])
            for conversation in ids:
                (await client.delete(f"/v1/conversations/{conversation}")).raise_for_status()
        same = sum(sound == unbroken for sound in again)
        return {
            "conversations": number,
            "ready_again_after_seconds": round(started, 2),
            "went_on_the_same": same,
            "lost": number - 1 - same + (turns != 2),
        }

    def client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self.server.url, timeout=PATIENCE)

    async def probe(self) -> bytes:
        """A request like any other, tried again for as long as it is told to wait."""
        async with self.client() as client:
            for _ in range(30):
                answer = await client.post("/v1/audio/speech", json=PROBE)
                if answer.status_code != 503:
                    return answer.raise_for_status().content
                await asyncio.sleep(min(2.0, float(answer.headers["retry-after"])))
        return b""

    async def settled(self) -> Footprint:
        """Wait until no row is held and nobody waits."""
        end = time.monotonic() + SETTLE_SECONDS
        async with self.client() as client:
            while time.monotonic() < end:
                state = (await client.get("/ready")).json()
                if not state["speaking"] and not state["waiting"] and not self.server.footprint().children:
                    break
                await asyncio.sleep(0.2)
        return self.server.footprint()


async def run(server: ServerProcess, names: list[str], scale: float, seed: int) -> dict[str, Any]:
    """Each evil in turn, and after each the comparison with the time before."""
    chaos = Chaos(server, scale, seed)
    chaos.in_peace = await chaos.probe()
    await Chaos(server, 0.05, seed).leaving()  # threads and buffers that stay are there before it counts
    results: dict[str, Any] = {}
    for name in names:
        began, before = time.monotonic(), await chaos.settled()
        told = await SCENES[name](chaos)
        after = await chaos.settled()
        alike = await chaos.probe() == chaos.in_peace
        results[name] = {
            **told,
            "seconds": round(time.monotonic() - began, 1),
            "next_request_is_the_same": alike,
            "before": before.as_dict(),
            "after": after.as_dict(),
        }
    return results


def faults(results: dict[str, Any]) -> list[str]:
    """What should not be."""
    found = []
    for name, one in results.items():
        before, after = one["before"], one["after"]
        found += [f"{name}: the next request failed or sounded otherwise"] * (not one["next_request_is_the_same"])
        if name != "killed":  # that is another process
            leaked = after["open_files"] - before["open_files"]
            found += [f"{name}: {leaked} files stayed open"] * (leaked > SPARE_FILES)
            found += [f"{name}: {after['children']} children stayed"] * bool(after["children"])
        found += [f"{name}: {one.get('lost')} conversations were lost"] * bool(one.get("lost"))
        found += [f"{name}: others were not served"] * (one.get("others_served") is False)
        statuses = one.get("statuses", {})
        flat = [code for key, value in statuses.items() for code in (value if isinstance(value, dict) else [key])]
        found += [f"{name}: answered {code}" for code in flat if code in ("500", "502", "504")]
    return found


async def _crowd(one: Callable[[], Awaitable[object]], number: int, at_once: int = AT_ONCE) -> None:
    room = asyncio.Semaphore(at_once)

    async def careful() -> None:
        async with room:
            await one()

    await asyncio.gather(*(careful() for _ in range(number)))


async def _json(client: httpx.AsyncClient, path: str, body: object) -> dict[str, Any]:
    answer: dict[str, Any] = (await client.post(path, json=body)).raise_for_status().json()
    return answer


async def _say(client: httpx.AsyncClient, conversation: str, text: str, seed: int) -> bytes:
    asked = {"input": text, "seed": seed, "response_format": "pcm"}
    return (await client.post(f"/v1/conversations/{conversation}/say", json=asked)).raise_for_status().content


SCENES: dict[str, Callable[[Chaos], Awaitable[dict[str, Any]]]] = {
    "leaving": Chaos.leaving,
    "slow_readers": Chaos.slow_readers,
    "malformed": Chaos.malformed,
    "oversize": Chaos.oversize,
    "killed": Chaos.killed,
}


def main() -> int:
    """Do it, write it, print it; 0 if nothing is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenes", nargs="*", default=list(SCENES), help=f"of {', '.join(SCENES)}; all if left out")
    parser.add_argument("--scale", type=float, default=1.0, help="1 is a thousand clients that leave")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as state, ServerProcess(["--any-pace", "--state", state]) as server:
        results = asyncio.run(run(server, arguments.scenes, arguments.scale, arguments.seed))
    found = faults(results)
    for name, one in results.items():
        store(arguments.out, name, {**versions(), "scale": arguments.scale, **one})
    json.dump({"faults": found, **results}, sys.stdout, indent=1)
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
