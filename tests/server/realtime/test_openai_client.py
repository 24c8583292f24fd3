"""`openai`'s realtime client, as published: a turn is heard, answered, cut and gone on with."""

from __future__ import annotations

import asyncio
import base64
import contextlib

import numpy as np
import pytest
from openai import AsyncOpenAI

from tests.server.conftest import Running
from tests.server.realtime.conftest import pcm

ORDER = [
    "session.created", "session.updated", "input_audio_buffer.speech_started", "input_audio_buffer.speech_stopped",
    "input_audio_buffer.committed", "conversation.item.added", "conversation.item.done",
    "conversation.item.input_audio_transcription.delta", "conversation.item.input_audio_transcription.completed",
    "response.created", "response.output_item.added", "conversation.item.added", "response.content_part.added",
    "response.output_audio_transcript.delta", "response.output_audio.delta", "response.output_audio.done",
    "response.output_audio_transcript.done", "response.content_part.done", "response.output_item.done",
    "conversation.item.done", "response.done",
]  # fmt: skip


@pytest.mark.parametrize("detection", ["server_vad", "semantic_vad"])
def test_a_spoken_turn_is_answered_in_the_documented_order(
    embedded: Running, speech: np.ndarray, detection: str
) -> None:
    async def converse() -> list:
        client = AsyncOpenAI(base_url=f"{embedded.url}/v1", api_key="sesame")
        seen: list = []
        async with client.realtime.connect(model="gpt-realtime") as connection:
            settings = {"transcription": {"model": "whisper-1"}, "turn_detection": {"type": detection}}
            await connection.session.update(session={"type": "realtime", "audio": {"input": settings}})  # type: ignore[typeddict-item]
            sound = pcm(np.concatenate([speech, np.zeros(60_000, np.float32)]))
            for first in range(0, len(sound), 24_000):
                audio = base64.b64encode(sound[first : first + 24_000]).decode()
                await connection.input_audio_buffer.append(audio=audio)
            while detection == "semantic_vad" and not any(event.type.endswith("committed") for event in seen):
                await connection.input_audio_buffer.append(audio=base64.b64encode(bytes(9_600)).decode())
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.1):
                        seen.append(await connection.recv())
            async for event in connection:
                seen.append(event)
                if event.type == "response.done":
                    item = event.response.output[0].id
                    await connection.conversation.item.truncate(item_id=item, content_index=0, audio_end_ms=400)
                if event.type == "conversation.item.truncated":
                    await connection.conversation.item.retrieve(item_id=event.item_id)
                if event.type == "conversation.item.retrieved":
                    return seen
        raise AssertionError("the connection ended")

    seen = asyncio.run(asyncio.wait_for(converse(), 60))
    kinds = [event.type for event in seen]
    found = iter(kinds)
    assert all(kind in found for kind in ORDER), f"not in order: {kinds}"
    heard = next(event for event in seen if event.type.endswith("transcription.completed"))
    assert "Dashwood" in heard.transcript
    done = next(event for event in seen if event.type == "response.done").response
    assert done.status == "completed"
    assert done.usage.output_token_details.audio_tokens > 0
    assert done.output[0].content[0].transcript == "Of course. I am listening to you."
    sound = b"".join(base64.b64decode(event.delta) for event in seen if event.type == "response.output_audio.delta")
    assert len(sound) % 2 == 0
    assert len(sound) > 48_000
    cut = seen[-1].item.content[0].transcript
    assert len(cut.split()) <= 2, "only what was heard is remembered"
