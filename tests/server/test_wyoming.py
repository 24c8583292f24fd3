"""Contract with Home Assistant: the real `wyoming` client against our session, over TCP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from wyoming.asr import Transcribe, Transcript
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.client import AsyncTcpClient
from wyoming.error import Error
from wyoming.event import Event
from wyoming.info import Describe, Info
from wyoming.server import AsyncTcpServer
from wyoming.tts import (
    Synthesize,
    SynthesizeChunk,
    SynthesizeStart,
    SynthesizeStop,
    SynthesizeStopped,
    SynthesizeVoice,
)  # fmt: skip

from duologue.api import Model
from duologue.audio import Audio, resample, to_audio
from duologue.server.conversations import HeldConversation
from duologue.server.services import Services
from duologue.server.settings import ServerSettings
from duologue.server.talk_parts import TalkParts
from duologue.server.wyoming import sessions

RECORDING = Path(__file__).parents[1] / "data" / "librivox_austen.flac"


class ParrotEars:
    """Says how much sound it got."""

    name = "parrot"

    def transcribe(self, audio: Audio) -> str:
        return f"{audio.seconds:.2f} seconds"


@asynccontextmanager
async def connected(model: Model, parts: TalkParts | None = None) -> AsyncIterator[tuple[AsyncTcpClient, Services]]:
    services = Services(model, ServerSettings(max_characters=400), parts or TalkParts())
    server = AsyncTcpServer("127.0.0.1", 0)
    await server.start(sessions(services))
    assert server._server is not None
    client = AsyncTcpClient(*server._server.sockets[0].getsockname()[:2])
    await client.connect()
    try:
        yield client, services
    finally:
        await client.disconnect()
        await server.stop()
        await services.close()


async def until(client: AsyncTcpClient, last: str) -> list[Event]:
    events = []
    async with asyncio.timeout(20):
        while not events or events[-1].type != last:
            event = await client.read_event()
            assert event is not None, "the server hung up"
            events.append(event)
    return events


def sound(events: list[Event]) -> np.ndarray:
    chunks = [AudioChunk.from_event(event) for event in events if AudioChunk.is_type(event.type)]
    assert {(chunk.rate, chunk.width, chunk.channels) for chunk in chunks} == {(24_000, 2, 1)}
    return np.frombuffer(b"".join(chunk.audio for chunk in chunks), "<i2")


def test_it_describes_its_voices_and_that_it_streams(tiny_model: Model) -> None:
    async def run() -> Info:
        async with connected(tiny_model, TalkParts(ParrotEars())) as (client, _):
            await client.write_event(Describe().event())
            return Info.from_event((await until(client, "info"))[0])

    info = asyncio.run(run())
    (program,) = info.tts
    assert program.supports_synthesize_streaming
    assert [voice.name for voice in program.voices] == [*tiny_model.voices]
    assert [model.name for model in info.asr[0].models] == ["parrot"]


def test_a_whole_text_is_one_stretch_of_sound(tiny_model: Model) -> None:
    async def run() -> list[Event]:
        async with connected(tiny_model) as (client, services):
            voice = SynthesizeVoice(name=next(iter(tiny_model.voices)))
            await client.write_event(Synthesize("One is here. Two is there.", voice=voice).event())
            events = await until(client, "audio-stop")
            assert len(services.conversations) == 0, "a finished text leaves nothing behind"
            return events

    events = asyncio.run(run())
    assert [events[0].type, events[-1].type] == ["audio-start", "audio-stop"]
    assert sum(AudioStart.is_type(event.type) for event in events) == 1
    assert sound(events).any()


def test_text_in_bits_is_joined_and_sounds_before_its_end(tiny_model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    spoken: list[str] = []
    say = HeldConversation.say

    async def noted(held: HeldConversation, text: str, *given: Any) -> Any:
        spoken.append(text)
        return await say(held, text, *given)

    monkeypatch.setattr(HeldConversation, "say", noted)

    async def run() -> tuple[list[Event], list[Event]]:
        async with connected(tiny_model) as (client, _):
            await client.write_event(SynthesizeStart().event())
            for bit in ("One is he", "re. Two is", " there. Thr"):
                await client.write_event(SynthesizeChunk(bit).event())
            early = await until(client, "audio-chunk")
            await client.write_event(SynthesizeChunk("ee.").event())
            await client.write_event(Synthesize("One is here. Two is there. Three.").event())  # for older servers
            await client.write_event(SynthesizeStop().event())
            return early, await until(client, "synthesize-stopped")

    early, rest = asyncio.run(run())
    assert early[0].type == "audio-start"
    assert sum(AudioStop.is_type(event.type) for event in rest) == 1
    assert not any(AudioStart.is_type(event.type) for event in rest)
    assert spoken == ["One is here.", "Two is there.", "Three."], "the repeated whole text is not spoken again"
    assert SynthesizeStopped.is_type(rest[-1].type)


def test_an_unknown_voice_is_an_error_and_the_connection_lives(tiny_model: Model) -> None:
    async def run() -> tuple[Error, list[Event]]:
        async with connected(tiny_model) as (client, _):
            await client.write_event(Synthesize("Hello.", voice=SynthesizeVoice(name="nobody")).event())
            error = Error.from_event((await until(client, "error"))[-1])
            await client.write_event(Synthesize("Hello.").event())
            return error, await until(client, "audio-stop")

    error, events = asyncio.run(run())
    assert "nobody" in error.text
    assert sound(events).any()


def test_sound_of_any_rate_becomes_words(tiny_model: Model) -> None:
    samples = resample(to_audio(RECORDING).samples[:48_000], 24_000, 16_000)
    pcm = (samples * 32_767).astype("<i2").tobytes()

    async def run() -> Transcript:
        async with connected(tiny_model, TalkParts(ParrotEars())) as (client, _):
            await client.write_event(Transcribe().event())
            await client.write_event(AudioStart(rate=16_000, width=2, channels=1).event())
            for start in range(0, len(pcm), 3_200):
                chunk = AudioChunk(rate=16_000, width=2, channels=1, audio=pcm[start : start + 3_200])
                await client.write_event(chunk.event())
            await client.write_event(AudioStop().event())
            return Transcript.from_event((await until(client, "transcript"))[0])

    words = asyncio.run(run()).text
    assert float(words.split()[0]) == pytest.approx(2.0, abs=0.02)
