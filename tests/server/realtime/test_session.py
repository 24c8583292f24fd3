"""The protocol by hand, on a server without ears and mind: what is spoken, remembered, cut, refused."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from duologue.server.realtime.session import RealtimeSession
from duologue.spoken_context import HeardTurn
from tests.server.conftest import PacedEngine, Running, Serve
from tests.server.realtime.conftest import Caller, calling, pcm


@pytest.fixture
def caller(server: Running) -> Iterator[Caller]:
    with calling(server) as opened:
        yield opened


def session_of(server: Running, caller: Caller) -> RealtimeSession:
    found = [s for s in server.app.state.realtime.sessions if s.terms.id == caller.seen[0]["session"]["id"]]
    (session,) = found
    return session


def remembered(server: Running, caller: Caller) -> list[HeardTurn]:
    return session_of(server, caller).memory.turns


def message(role: str, text: str) -> dict[str, Any]:
    kind = "output_text" if role == "assistant" else "input_text"
    return {"type": "message", "role": role, "content": [{"type": kind, "text": text}]}


def test_without_a_language_model_the_client_gives_the_words(server: Running, caller: Caller) -> None:
    caller.speak("Hello there. How are you?")
    caller.send("response.create", response={"instructions": "I am well.", "metadata": {"client_event_id": "7"}})
    assert caller.next("response.created")["response"]["metadata"] == {"client_event_id": "7"}
    done = caller.next("response.done")["response"]
    assert done["status"] == "completed"
    assert done["metadata"] == {"client_event_id": "7"}
    assert done["output"][0]["content"] == [{"type": "output_audio", "transcript": "I am well."}]
    assert [turn.text for turn in remembered(server, caller)] == ["Hello there.", "How are you?", "I am well."]
    caller.send("response.create", event_id="mine")
    error = caller.error()
    assert error["code"] == "language_model_unavailable"
    assert error["event_id"] == "mine"


def test_the_memory_holds_both_sides_with_their_sound(server: Running, caller: Caller, speech: np.ndarray) -> None:
    part = {"type": "input_audio", "audio": base64.b64encode(pcm(speech)).decode(), "transcript": "And Mr. John."}
    caller.send("conversation.item.create", item={"type": "message", "role": "user", "content": [part]})
    added = caller.next("conversation.item.done")["item"]
    assert added["content"] == [{"type": "input_audio", "transcript": "And Mr. John."}]
    caller.speak("Yes, I know him.")
    theirs, ours = remembered(server, caller)
    assert (theirs.own, theirs.frames) == (False, 50)
    assert ours.own
    assert theirs.speaker != ours.speaker


def test_truncating_cuts_what_the_voice_remembers_of_itself(server: Running, caller: Caller) -> None:
    first = caller.speak("One two three four five six seven eight.")
    caller.speak("Another thing.")
    before = remembered(server, caller)
    assert before[0].frames > 8
    caller.send("conversation.item.truncate", item_id=first, content_index=0, audio_end_ms=660)
    caller.next("conversation.item.truncated")
    after = remembered(server, caller)
    assert after[0].frames == 8, "660 ms are eight whole frames"
    np.testing.assert_array_equal(after[0].segment.codes, before[0].segment.codes[:, :8])
    assert len(after[0].text.split()) < 8
    assert after[1].text == "Another thing."
    caller.send("conversation.item.retrieve", item_id=first)
    assert caller.next("conversation.item.retrieved")["item"]["content"][0]["transcript"] == after[0].text
    caller.send("conversation.item.truncate", item_id=first, content_index=0, audio_end_ms=999_999)
    assert caller.error()["param"] == "audio_end_ms"
    assert remembered(server, caller)[0].frames == 8


def test_items_come_and_go_with_their_turns(server: Running, caller: Caller) -> None:
    first = caller.speak("The first.")
    caller.speak("The third.")
    caller.send("conversation.item.create", item=message("user", "The second."), previous_item_id=first)
    second = caller.next("conversation.item.done")
    assert second["previous_item_id"] == first
    caller.send(
        "conversation.item.create", item={**message("system", "Be kind."), "id": "mine"}, previous_item_id="root"
    )
    assert caller.next("conversation.item.done")["previous_item_id"] is None
    caller.speak("The fourth.")  # after it, what was given is in memory
    texts = lambda: [turn.text for turn in remembered(server, caller)]  # noqa: E731
    assert texts() == ["The first.", "The second.", "The third.", "The fourth."]
    caller.send("conversation.item.delete", item_id=second["item"]["id"])
    caller.next("conversation.item.deleted")
    assert texts() == ["The first.", "The third.", "The fourth."]
    for kind in ("retrieve", "delete", "truncate"):
        caller.send(f"conversation.item.{kind}", item_id=second["item"]["id"], content_index=0, audio_end_ms=0)
        assert caller.error()["code"] == f"item_{kind}_invalid_item_id"


def test_a_response_can_be_cancelled_and_there_is_one_at_a_time(serve: Serve, paced: PacedEngine) -> None:
    paced.seconds_per_step = 0.02
    server = serve(paced)
    with calling(server) as caller:
        item = message("assistant", "One two three four five six seven eight nine ten.")
        caller.send("response.cancel")
        assert caller.error()["code"] == "response_cancel_not_active"
        caller.send("response.create", response={"input": [item]})
        caller.next("response.output_audio.delta")
        caller.send("response.create", response={"input": [item]})
        assert caller.error()["code"] == "conversation_already_has_active_response"
        caller.send("response.cancel")
        done = caller.next("response.done")["response"]
        assert (done["status"], done["status_details"]["reason"]) == ("cancelled", "client_cancelled")
        assert done["output"][0]["status"] == "incomplete"
        assert caller.kinds().count("response.output_audio.delta") < 12, "it stopped at once"
        closing = caller.kinds()
        for kind in ("response.output_audio.done", "response.content_part.done", "response.output_item.done"):
            assert kind in closing
        server.wait_until_idle()
        drawn = paced.frames_drawn
        caller.speak("Again.")
        assert paced.frames_drawn > drawn


def test_leaving_in_the_middle_frees_the_row(serve: Serve, paced: PacedEngine) -> None:
    paced.seconds_per_step = 0.02
    server = serve(paced)
    with calling(server) as caller:
        item = message("assistant", "One two three four five six seven eight nine ten.")
        caller.send("response.create", response={"input": [item]})
        caller.next("response.output_audio.delta")
    server.wait_until_idle(2)
    assert server.app.state.realtime.sessions == set()


def test_text_alone_and_speech_outside_of_the_conversation(server: Running, caller: Caller) -> None:
    caller.send(
        "response.create", response={"input": [message("assistant", "Only text.")], "output_modalities": ["text"]}
    )
    assert caller.next("response.output_text.delta")["delta"] == "Only text."
    assert caller.next("response.done")["response"]["output"][0]["content"] == [
        {"type": "output_text", "text": "Only text."}
    ]
    assert "response.output_audio.delta" not in caller.kinds()
    before = len(remembered(server, caller))
    other = server.services.voices.find("two").id
    caller.speak("An aside.", conversation="none", audio={"output": {"voice": other}})
    done = caller.seen[-1]["response"]
    assert done["conversation_id"] is None
    assert done["audio"]["output"]["voice"] == other
    assert "response.output_audio.delta" in caller.kinds()
    assert len(remembered(server, caller)) == before
    caller.send("conversation.item.retrieve", item_id=done["output"][0]["id"])
    assert caller.error()["code"] == "item_retrieve_invalid_item_id"


def test_the_voice_can_be_chosen_until_the_conversation_has_begun(server: Running, caller: Caller) -> None:
    other = server.services.voices.find("two").id
    assert caller.update(audio={"output": {"voice": other}})["audio"]["output"]["voice"] == other
    caller.speak("Hello.")
    caller.send("session.update", session={"audio": {"output": {"voice": "one"}}})
    assert caller.error()["code"] == "cannot_update_voice"
    assert caller.update(audio={"output": {"voice": other}})


@pytest.mark.parametrize("name", ["audio/pcmu", "audio/pcma"])
def test_telephone_sound(server: Running, caller: Caller, name: str) -> None:
    settled = caller.update(audio={"input": {"turn_detection": None}, "output": {"format": {"type": name}}})
    assert settled["audio"]["output"]["format"] == {"type": name}
    caller.speak("One two three four.")
    sound = b"".join(base64.b64decode(e["delta"]) for e in caller.seen if e["type"] == "response.output_audio.delta")
    frames = remembered(server, caller)[-1].frames
    assert len(sound) == pytest.approx(frames * 640, abs=8)


def test_a_limit_of_tokens_ends_the_speech(server: Running, caller: Caller) -> None:
    caller.speak("One two three four five six seven eight nine ten.", max_output_tokens=5)
    done = caller.seen[-1]["response"]
    assert (done["status"], done["status_details"]["reason"]) == ("incomplete", "max_output_tokens")
    assert done["usage"]["output_token_details"]["audio_tokens"] <= 7


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        ("no json", "invalid_json"),
        ("[1, 2]", "missing_required_parameter"),
        (b"\x00\x01", "invalid_json"),
        ("[" * 100_000, "invalid_json"),
        ('{"type": "nonsense"}', "invalid_value"),
        ('{"type": "session.update"}', "missing_required_parameter"),
        ('{"type": "session.update", "session": {"audio": 7}}', "invalid_value"),
        ('{"type": "session.update", "session": {"audio": {"input": 7}}}', "invalid_value"),
        ('{"type": "session.update", "session": {"audio": {"output": {"voice": "nobody"}}}}', "voice_not_found"),
        ('{"type": "session.update", "session": {"audio": {"output": {"format": {"type": "mp3"}}}}}', "invalid_value"),
        ('{"type": "session.update", "session": {"audio": {"input": {"turn_detection": {"type": "server_vad", '
         '"threshold": 2}}}}}', "invalid_value"),
        ('{"type": "session.update", "session": {"tools": [{"type": "function", "name": "f"}]}}', "unsupported"),
        ('{"type": "input_audio_buffer.append"}', "missing_required_parameter"),
        ('{"type": "input_audio_buffer.append", "audio": "%%"}', "invalid_audio"),
        ('{"type": "input_audio_buffer.append", "audio": "AAA="}', None),
        ('{"type": "input_audio_buffer.append", "audio": "AA=="}', "invalid_audio"),
        ('{"type": "input_audio_buffer.commit"}', "input_audio_buffer_commit_empty"),
        ('{"type": "conversation.item.create"}', "missing_required_parameter"),
        ('{"type": "conversation.item.create", "item": {"type": "mcp_call"}}', "unsupported"),
        ('{"type": "conversation.item.create", "item": {"type": "function_call", "name": 3}}', "invalid_value"),
        ('{"type": "conversation.item.create", "item": {"type": "function_call_output", "call_id": "x", "output": ""}}',
         "invalid_value"),
        ('{"type": "conversation.item.create", "item": {"role": "user", "content": [{"type": "input_image", '
         '"image_url": "http://127.0.0.1/secret.png"}]}}', "invalid_value"),
        ('{"type": "session.update", "session": {"prompt": {"id": "p"}}}', "unsupported"),
        ('{"type": "conversation.item.create", "item": {"role": "user", "content": [{"type": "input_image"}]}}',
         "invalid_value"),
        ('{"type": "conversation.item.create", "item": {"role": [], "content": 3}}', "invalid_value"),
        ('{"type": "conversation.item.create", "item": {"role": "user", "content": [{"type": []}]}}', "invalid_value"),
        ('{"type": "conversation.item.truncate", "item_id": {}}', "item_truncate_invalid_item_id"),
        ('{"type": "response.create", "response": {"metadata": 3}}', "invalid_value"),
        ('{"type": "response.create", "response": {"audio": {"output": 3}, "instructions": "Hi."}}', "invalid_value"),
    ],
)  # fmt: skip
def test_mistakes_are_told_and_the_socket_stays_open(caller: Caller, sent: str | bytes, code: str | None) -> None:
    caller.send_raw(sent)
    if code is not None:
        error = caller.error()
        assert error["code"] == code, error
        assert error["message"]
    caller.update(instructions="Still here.")


def test_settings_are_merged_and_told_as_they_hold(caller: Caller) -> None:
    settled = caller.update(
        instructions="Be brief.",
        tracing="auto",
        audio={"input": {"transcription": {"model": "whisper-1"}, "noise_reduction": {"type": "near_field"}}},
    )
    assert settled["instructions"] == "Be brief."
    assert settled["audio"]["input"]["transcription"] is None, "there is nobody to transcribe"
    assert settled["audio"]["input"]["turn_detection"]["create_response"] is False
    semantic = {"type": "semantic_vad", "eagerness": "high"}
    settled = caller.update(audio={"input": {"turn_detection": semantic}})
    assert settled["audio"]["input"]["turn_detection"]["eagerness"] == "high"
    assert settled["instructions"] == "Be brief."
    assert caller.update(audio={"input": {"turn_detection": None}})["audio"]["input"]["turn_detection"] is None
    wanted = {"type": "server_vad", "create_response": True}
    caller.send("session.update", session={"audio": {"input": {"turn_detection": wanted}}})
    assert caller.error()["code"] == "unsupported"


def test_a_buffer_has_its_limits(serve: Serve) -> None:
    with calling(serve(max_heard_seconds=1.0)) as caller:
        caller.update(audio={"input": {"turn_detection": None}})
        caller.say(np.zeros(24_000, np.float32))
        caller.say(np.zeros(2_400, np.float32))
        assert caller.error()["code"] == "input_audio_buffer_full"
        caller.send("input_audio_buffer.clear")
        caller.next("input_audio_buffer.cleared")
        caller.say(np.zeros(2_400, np.float32))
        caller.send("input_audio_buffer.commit")
        committed = caller.next("input_audio_buffer.committed")
        failed = caller.next("conversation.item.input_audio_transcription.failed")
        assert failed["item_id"] == committed["item_id"]
        assert failed["error"]["code"] == "transcription_unavailable"
