"""A thousand damaged events in one session: each is taken or told as the client's mistake, never as ours."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

from tests.server.conftest import Running
from tests.server.realtime.conftest import calling

ODD: list[Any] = [
    None,
    "",
    "x",
    0,
    -1,
    1e300,
    True,
    [],
    {},
    [[]],
    {"type": []},
    "\u0000",
    "a" * 5_000,
    [None],
    {"id": 3},
]
PART = {"type": "input_audio", "audio": "AAAA", "transcript": "Hello."}
PICTURE = {"type": "input_image", "image_url": "data:image/png;base64,AAAA"}
FUNCTION = {"type": "function", "name": "f", "description": "d", "parameters": {"type": "object"}}
TURNS = {"type": "server_vad", "threshold": 0.5, "silence_duration_ms": 200, "create_response": False}
SOUND = {"format": {"type": "audio/pcm", "rate": 24_000}, "voice": {"id": "one"}, "speed": 1.0}
EVENTS: list[dict[str, Any]] = [
    {
        "type": "session.update",
        "session": {
            "type": "realtime",
            "instructions": "Hi.",
            "output_modalities": ["audio"],
            "audio": {"input": {"turn_detection": TURNS, "transcription": {"model": "m"}}, "output": SOUND},
        },
    },
    {"type": "input_audio_buffer.append", "audio": "AAAA"},
    {
        "type": "conversation.item.create",
        "previous_item_id": None,
        "item": {"type": "message", "role": "user", "content": [PART]},
    },
    {
        "type": "conversation.item.create",
        "item": {
            "type": "message",
            "role": "user",
            "content": [{**PICTURE, "detail": "low"}, {"type": "input_text", "text": "?"}],
        },
    },
    {
        "type": "conversation.item.create",
        "item": {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}", "status": "completed"},
    },
    {
        "type": "conversation.item.create",
        "item": {"type": "function_call_output", "call_id": "c", "output": "7"},
    },
    {"type": "session.update", "session": {"tools": [FUNCTION], "tool_choice": {"type": "function", "name": "f"}}},
    {"type": "conversation.item.retrieve", "item_id": "x"},
    {"type": "conversation.item.delete", "item_id": "x"},
    {"type": "conversation.item.truncate", "item_id": "x", "content_index": 0, "audio_end_ms": 10},
    {"type": "response.cancel", "response_id": "x"},
    {
        "type": "response.create",
        "response": {
            "conversation": "none",
            "output_modalities": ["text"],
            "metadata": {"a": "b"},
            "audio": {"output": SOUND},
            "input": [{"role": "assistant", "content": [{"type": "output_text", "text": "Hm."}]}],
        },
    },
]


def damaged(event: dict[str, Any], chance: random.Random) -> dict[str, Any]:
    """A copy with one thing in it replaced by an odd one."""
    broken = copy.deepcopy(event)
    place: Any = broken
    while True:
        key = chance.choice([*place] if isinstance(place, dict) else range(len(place)))
        below = place[key]
        if isinstance(below, dict | list) and below and chance.random() < 0.8:
            place = below
            continue
        if key == "type" and place is broken:
            return broken
        place[key] = copy.deepcopy(chance.choice(ODD))
        return broken


def test_damaged_events_are_the_clients_mistakes(server: Running) -> None:
    chance = random.Random(11)
    with calling(server) as caller:
        for number in range(1_000):
            event = damaged(chance.choice(EVENTS), chance)
            caller.send_raw(json.dumps({**event, "event_id": f"n{number}"}))
        caller.send("conversation.item.retrieve", item_id="the last", event_id="last")
        while caller.error()["event_id"] != "last":
            pass
    told = [event["error"] for event in caller.seen if event["type"] == "error"]
    assert [error for error in told if error["type"] == "server_error"] == []
    assert len(told) > 300
    done = [event["response"] for event in caller.seen if event["type"] == "response.done"]
    assert all(response["status"] != "failed" for response in done)
