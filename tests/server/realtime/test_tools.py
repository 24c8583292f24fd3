"""Functions and pictures through the language model: `openai` and `@openai/agents`, as published, use them."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
from openai import AsyncOpenAI

from tests.server.conftest import Running
from tests.server.language_model_stub import StubLanguageModel
from tests.server.realtime.conftest import calling, pcm

JAVASCRIPT = Path(__file__).parents[2] / "node"
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER: dict[str, Any] = {"type": "function", "name": "weather", "description": "Of a city.", "parameters": CITY}
DOT = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk"  # enough of one
DOT += "+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def message(*parts: dict[str, Any], role: str = "user") -> dict[str, Any]:
    return {"type": "message", "role": role, "content": list(parts)}


TEXT = {"type": "input_text", "text": "What is the weather?"}


def test_openai_s_client_is_asked_for_a_function_and_hears_what_it_gave(
    talker: Running, stub: StubLanguageModel
) -> None:
    async def converse() -> list:
        client = AsyncOpenAI(base_url=f"{talker.url}/v1", api_key="none")
        seen: list = []
        async with client.realtime.connect(model="gpt-realtime") as connection:
            await connection.session.update(session={"type": "realtime", "tools": [WEATHER], "tool_choice": "auto"})  # type: ignore[typeddict-item]
            await connection.conversation.item.create(item=message(TEXT))  # type: ignore[arg-type]
            await connection.response.create()
            async for event in connection:
                seen.append(event)
                if event.type == "response.function_call_arguments.done":
                    output = {"type": "function_call_output", "call_id": event.call_id, "output": "rain"}
                if event.type == "response.done" and len(event.response.output) == 2:
                    await connection.conversation.item.create(item=output)  # type: ignore[arg-type]
                    await connection.response.create()
                elif event.type == "response.done":
                    return seen
        raise AssertionError("the connection ended")

    seen = asyncio.run(asyncio.wait_for(converse(), 120))
    first, second = [event.response for event in seen if event.type == "response.done"]
    said, called = first.output
    assert said.content[0].transcript == "Let me see."
    assert (called.type, called.name, called.status) == ("function_call", "weather", "completed")
    assert json.loads(called.arguments) == {"city": "Oslo"}
    indexes = {event.output_index for event in seen if event.type.startswith("response.function_call")}
    assert indexes == {1}, "the call is the second item"
    assert second.output[0].content[0].transcript == "It says rain."
    assert any(event.type == "response.output_audio.delta" for event in seen)
    told = stub.asked[-1]["messages"]
    assert [one["role"] for one in told[-3:]] == ["assistant", "assistant", "tool"]
    assert told[-2]["tool_calls"][0]["id"] == told[-1]["tool_call_id"] == "call_7"
    assert stub.asked[-1]["tools"] == [
        {"type": "function", "function": {k: WEATHER[k] for k in WEATHER if k != "type"}}
    ]


def test_a_call_without_an_output_does_not_break_the_talk(talker: Running, stub: StubLanguageModel) -> None:
    with calling(talker) as caller:
        caller.update(tools=[WEATHER], output_modalities=["text"])
        caller.send("conversation.item.create", item=message(TEXT))
        caller.send("response.create")
        caller.next("response.done")
        caller.send("conversation.item.create", item=message({"type": "input_text", "text": "Never mind."}))
        caller.send("response.create", response={"tool_choice": "none"})
        done = caller.next("response.done")["response"]
        assert done["output"][0]["content"][0]["text"] == "Of course. I am listening to you."
        roles = [one["role"] for one in stub.asked[-1]["messages"]]
        assert roles[-4:] == ["assistant", "assistant", "tool", "user"], "a chat endpoint wants every call answered"


def test_what_is_no_function_is_left_out_and_told(talker: Running) -> None:
    with calling(talker) as caller:
        caller.send("session.update", session={"tools": [WEATHER, {"type": "mcp", "server_url": "http://x"}]})
        assert caller.error()["param"] == "session.tools"
        settled = caller.next("session.updated")["session"]
        assert [tool["name"] for tool in settled["tools"]] == ["weather"]
        assert settled["tool_choice"] == "auto"
        assert caller.update(tools=[])["tools"] == []


def test_a_picture_goes_to_the_language_model_as_it_came(talker: Running, stub: StubLanguageModel) -> None:
    with calling(talker) as caller:
        caller.update(output_modalities=["text"])
        picture = {"type": "input_image", "image_url": DOT, "detail": "low"}
        caller.send("conversation.item.create", item=message({"type": "input_text", "text": "What is it?"}, picture))
        assert caller.next("conversation.item.done")["item"]["content"][1] == picture
        caller.send("response.create")
        assert caller.next("response.done")["response"]["status"] == "completed"
        words, shown = stub.asked[-1]["messages"][-1]["content"]
        assert words == {"type": "text", "text": "What is it?"}
        assert shown == {"type": "image_url", "image_url": {"url": DOT, "detail": "low"}}


def test_openai_s_agents_run_a_function_by_themselves(embedded: Running, speech: np.ndarray, tmp_path: Path) -> None:
    node = shutil.which("node")
    assert node, "the JavaScript client needs node"
    (tmp_path / "speech.pcm").write_bytes(pcm(speech[: 3 * 24_000]))
    url = embedded.url.replace("http", "ws") + "/v1/realtime?model=gpt-realtime"
    command = [node, str(JAVASCRIPT / "call.mjs"), url, "sesame", str(tmp_path / "speech.pcm")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=150)
    assert done.returncode == 0, done.stderr
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line for line in told if line["kind"] == "error"] == []
    assert {"kind": "called", "city": "Oslo"} in told
    assert told[-1]["texts"][-1] == "It says sunny in Oslo."
