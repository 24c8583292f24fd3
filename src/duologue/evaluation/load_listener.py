"""Listeners: clients that ask for speech, play it in real time, and note when they would have run dry.

Each asks for known texts with known seeds, so what it gets can be compared with the same request made alone.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import httpx

from ..errors import InputError
from ..timebase import RATE_HZ
from .sentences import held_out

BYTES_PER_SECOND = 2 * RATE_HZ
PATIENCE = httpx.Timeout(60.0, connect=20.0)  # a server silent for this long counts as hanging


@dataclass(frozen=True)
class Line:
    """One request: which words, in which voice, with which seed."""

    text: str
    voice: str
    seed: int

    def body(self, model: str) -> dict[str, object]:
        """As OpenAI's route takes it."""
        return {"model": model, "input": self.text, "voice": self.voice, "seed": self.seed, "response_format": "pcm"}


@dataclass
class Heard:
    """What one listener got for one request. Times in seconds."""

    line: Line
    status: int = 0  # 0: the connection broke before an answer
    answered: float = 0.0  # until the status line, whatever it was
    first_audio: float = 0.0
    audio: float = 0.0
    under_runs: int = 0  # times when the sound would have stopped
    late: float = 0.0  # how long it would have been silent in all
    retry_after: float | None = None
    digest: str = ""
    broken: str = ""  # how the connection failed, if it did


@dataclass
class Player:
    """A player that starts with the first chunk and plays on in real time."""

    under_runs: int = 0
    late: float = 0.0
    plays_until: float = field(default=0.0)

    def chunk(self, now: float, seconds: float) -> None:
        """`seconds` of sound arrive at time `now`."""
        if self.plays_until and now > self.plays_until:
            self.under_runs += 1
            self.late += now - self.plays_until
        self.plays_until = max(now, self.plays_until) + seconds


def script(voices: Sequence[str], count: int) -> list[Line]:
    """`count` different lines of held-out sentences, the voices in turn."""
    sentences = held_out()
    return [Line(sentences[i % len(sentences)], voices[i % len(voices)], 1_000 + i) for i in range(count)]


async def listen(client: httpx.AsyncClient, line: Line, model: str, *, play: bool = True) -> Heard:
    """Ask for a line and take in its sound; with `play`, return when its sound would have been played."""
    heard, player, digest, size = Heard(line), Player(), hashlib.sha256(), 0
    began = time.perf_counter()
    try:
        async with client.stream("POST", "/v1/audio/speech", json=line.body(model)) as answer:
            heard.status, heard.answered = answer.status_code, time.perf_counter() - began
            if answer.status_code != 200:
                await answer.aread()
                given = answer.headers.get("retry-after")
                heard.retry_after = None if given is None else float(given)
                return heard
            async for data in answer.aiter_raw():
                now = time.perf_counter()
                if not size:
                    heard.first_audio = now - began
                player.chunk(now, len(data) / BYTES_PER_SECOND)
                digest.update(data)
                size += len(data)
    except httpx.HTTPError as error:
        heard.broken = type(error).__name__
    heard.audio, heard.under_runs, heard.late = size / BYTES_PER_SECOND, player.under_runs, player.late
    heard.digest = digest.hexdigest()
    if play:
        await asyncio.sleep(max(0.0, player.plays_until - time.perf_counter()))
    return heard


async def alone(url: str, model: str, lines: Sequence[Line]) -> dict[Line, str]:
    """Each line spoken with nobody else there: its digest. Lines that the model fails at are left out."""
    known: dict[Line, str] = {}
    async with httpx.AsyncClient(base_url=url, timeout=PATIENCE) as client:
        for line in lines:
            heard = await listen(client, line, model, play=False)
            if heard.status == 200 and not heard.broken:
                known[line] = heard.digest
    if not known:
        raise InputError("The model spoke none of the lines.", hint="Does `duologue say` work?", field="lines")
    return known


async def crowd(url: str, model: str, known: Mapping[Line, str], listeners: int, seconds: float) -> list[Heard]:
    """Listeners who ask, play to the end, and ask again, for a time. Whoever is sent away waits as long as told."""
    end = time.monotonic() + seconds
    limits = httpx.Limits(max_connections=listeners, max_keepalive_connections=listeners)
    async with httpx.AsyncClient(base_url=url, timeout=PATIENCE, limits=limits) as client:
        ones = (_one(client, model, list(known), number, end) for number in range(listeners))
        return [heard for each in await asyncio.gather(*ones) for heard in each]


async def _one(client: httpx.AsyncClient, model: str, lines: list[Line], number: int, end: float) -> list[Heard]:
    draw, results = random.Random(number), list[Heard]()
    await asyncio.sleep(draw.uniform(0, min(3.0, (end - time.monotonic()) / 4)))  # they don't come in step
    while time.monotonic() < end:
        heard = await listen(client, draw.choice(lines), model)
        results.append(heard)
        if heard.status != 200:
            await asyncio.sleep(min(heard.retry_after or 1.0, max(0.0, end - time.monotonic())))
    return results
