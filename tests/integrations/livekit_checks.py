"""Contract with the real livekit-agents: our own class, and its OpenAI plugin against our server."""

from __future__ import annotations

import asyncio
import contextlib
import time
from pathlib import Path

import numpy as np
import pytest
from livekit import rtc
from livekit.agents import APIConnectionError, APIConnectOptions, APIStatusError, APITimeoutError
from livekit.agents import tts as agents_tts
from livekit.plugins import openai as openai_plugin

from duologue.api import Model
from duologue.audio import Audio, to_audio
from duologue.integrations.livekit import TTS
from duologue.integrations.pcm import to_pcm

RECORDING = Path(__file__).parents[1] / "data" / "librivox_austen.flac"


async def collected(stream: agents_tts.ChunkedStream | agents_tts.SynthesizeStream) -> np.ndarray:
    pieces = []
    async with asyncio.timeout(60), stream:
        async for event in stream:
            assert (event.frame.sample_rate, event.frame.num_channels) == (24_000, 1)
            pieces.append(np.frombuffer(event.frame.data, np.int16))
    return np.concatenate(pieces)


def test_a_whole_text_is_spoken(model: Model) -> None:
    async def run() -> np.ndarray:
        voice = TTS(model=model, voice="heart", seed=1)
        assert (voice.model, voice.provider, voice.sample_rate) == (model.name, "duologue", 24_000)
        try:
            return await collected(voice.synthesize("Hello there, my friend."))
        finally:
            await voice.aclose()

    sound = asyncio.run(run())
    assert 0.5 < len(sound) / 24_000 < 8
    assert np.abs(sound).max() > 1_000


def test_text_in_bits_sounds_before_its_end_and_is_one_turn(model: Model) -> None:
    async def run() -> tuple[bool, list[str]]:
        voice = TTS(model=model, voice="heart", seed=1)
        stream = voice.stream()
        for bit in ("Good mor", "ning to you. I am gl", "ad that"):
            stream.push_text(bit)
        first = await asyncio.wait_for(anext(stream), 30)
        stream.push_text(" you came.")
        stream.end_input()
        async for _ in stream:
            pass
        await stream.aclose()
        turns = [turn.text for turn in voice.mouth.conversation.turns]
        await voice.aclose()
        return bool(len(first.frame.data)), turns

    sounded, turns = asyncio.run(run())
    assert sounded
    assert turns == ["Good morning to you.", "I am glad that you came."]


def test_closing_a_stream_stops_the_voice_and_cut_keeps_what_was_heard(model: Model) -> None:
    async def run() -> tuple[float, str, list[str]]:
        voice = TTS(model=model, voice="heart", seed=1)
        await voice.hear(Audio((0.1 * np.sin(np.arange(24_000) / 20)).astype(np.float32)), "Tell me a story.")
        stream = voice.stream()
        stream.push_text("Once upon a time there was a king who had three daughters and a very old and quiet horse. ")
        stream.push_text("They lived in a house by the sea, and nobody came to see them for many years.")
        stream.end_input()
        await asyncio.wait_for(anext(stream), 30)
        began = time.monotonic()
        await stream.aclose()
        remains = await voice.cut(0.8)
        took = time.monotonic() - began
        turns = [turn.text for turn in voice.mouth.conversation.turns]
        await voice.aclose()
        return took, remains, turns

    took, remains, turns = asyncio.run(run())
    assert took < 3
    assert 0 < len(remains.split()) < 12
    assert turns == ["Tell me a story.", remains]


@pytest.mark.parametrize("model_name", ["tts-1", "gpt-4o-mini-tts"])
@pytest.mark.parametrize("form", ["mp3", "pcm", "opus"])
def test_the_openai_plugin_speaks_through_our_server(url: str, model_name: str, form: str) -> None:
    async def run() -> np.ndarray:
        voice = openai_plugin.TTS(model=model_name, voice="heart", base_url=url, api_key="none", response_format=form)
        try:
            return await collected(voice.synthesize("Hello there."))
        finally:
            await voice.aclose()

    assert np.abs(asyncio.run(run())).max() > 1_000


def test_the_openai_plugin_gets_our_errors(url: str) -> None:
    async def run() -> None:
        voice = openai_plugin.TTS(model="nobody", voice="heart", base_url=url, api_key="none")
        await collected(voice.synthesize("Hello."))

    with pytest.raises(APIStatusError) as caught:
        asyncio.run(run())
    assert caught.value.status_code == 404


async def told(generation: object) -> tuple[str, float]:
    """The words of one answer, and how many seconds it sounded."""
    words, samples = "", 0
    async for message in generation.message_stream:  # type: ignore[attr-defined]
        words += "".join([str(bit) async for bit in message.text_stream])
        samples += sum([frame.samples_per_channel async for frame in message.audio_stream])
    return words, samples / 24_000


def test_its_realtime_model_answers_what_is_asked_and_what_is_spoken(partner: str) -> None:
    async def run() -> tuple[tuple[str, float], tuple[str, float]]:
        model = openai_plugin.realtime.RealtimeModel(base_url=f"{partner}/v1", api_key="none", voice="alloy")
        session = model.session()
        asked = await told(await session.generate_reply(instructions="Say that you listen."))
        answered: asyncio.Future = asyncio.get_running_loop().create_future()
        session.on("generation_created", lambda created: answered.done() or answered.set_result(created))
        speech = np.concatenate([to_audio(RECORDING).samples[: 3 * 24_000], np.zeros(24_000, np.float32)])
        for first in range(0, len(speech), 2_400):
            piece = to_pcm(speech[first : first + 2_400])
            session.push_audio(rtc.AudioFrame(piece, 24_000, 1, len(piece) // 2))
            await asyncio.sleep(0.05)
        while not answered.done():  # a microphone goes on while nobody speaks
            session.push_audio(rtc.AudioFrame(bytes(4_800), 24_000, 1, 2_400))
            await asyncio.sleep(0.1)
        spoken = await told(answered.result())
        await session.aclose()
        return asked, spoken

    asked, spoken = asyncio.run(asyncio.wait_for(run(), 150))
    for words, seconds in (asked, spoken):
        assert words.strip() == "Of course. I am listening to you."
        assert seconds > 1


def test_a_server_that_says_nothing_becomes_an_error_not_a_silence() -> None:
    async def run() -> None:
        async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(ConnectionError):
                await reader.read()

        silent = await asyncio.start_server(never, "127.0.0.1", 0)
        base = f"http://127.0.0.1:{silent.sockets[0].getsockname()[1]}/v1"
        voice = openai_plugin.TTS(model="tts-1", voice="heart", base_url=base, api_key="none")
        await collected(voice.synthesize("Hello.", conn_options=APIConnectOptions(max_retry=0, timeout=1.0)))

    with pytest.raises((APITimeoutError, APIConnectionError)):
        asyncio.run(run())
