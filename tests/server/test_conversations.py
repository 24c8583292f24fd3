"""Conversations over HTTP: what was said is remembered, cut where the listener stopped, and survives being put away."""

from __future__ import annotations

import io
import os
from pathlib import Path

import httpx
import numpy as np
import pytest
import soundfile

from tests.server.conftest import PacedEngine, Running, Serve
from tests.tiny import speech_like


def start(client: httpx.Client, *voices: str) -> str:
    made = client.post("/v1/conversations", json={"voices": list(voices)})
    assert made.status_code == 200, made.text
    return str(made.json()["id"])


def say(client: httpx.Client, conversation: str, text: str, seed: int = 1, **more: object) -> bytes:
    asked = {"input": text, "seed": seed, "response_format": "pcm", **more}
    answer = client.post(f"/v1/conversations/{conversation}/say", json=asked)
    assert answer.status_code == 200, answer.text
    return answer.content


def wav_file(seconds: float = 1.5) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, speech_like(seconds), 24_000, format="WAV")
    return buffer.getvalue()


def show(client: httpx.Client, conversation: str) -> dict:
    return client.get(f"/v1/conversations/{conversation}").json()


def test_what_was_said_before_is_heard_in_what_is_said_next(server: Running) -> None:
    with server.client() as client:
        talk, other = start(client, "one"), start(client, "one")
        say(client, talk, "Good morning.", seed=1)
        after_morning = say(client, talk, "How are you?", seed=2)
        say(client, other, "Leave me alone.", seed=3)
        after_anger = say(client, other, "How are you?", seed=2)
        assert after_morning != after_anger
        assert [turn["text"] for turn in show(client, talk)["turns"]] == ["Good morning.", "How are you?"]
        assert show(client, talk)["context_seconds"] > 2


def test_it_equals_the_library_s_conversation(server: Running) -> None:
    from duologue.audio_files import to_s16le
    from duologue.speaking import GenerationConfig

    with server.client() as client:
        talk = start(client, "one", "two")
        over_http = [say(client, talk, "Good morning.", 1), say(client, talk, "And to you.", 2, voice="two")]
    model = server.services.model
    alone = model.conversation({0: "one", 1: "two"}, options=GenerationConfig(check=False))
    sounds = [alone.say("Good morning.", seed=1), alone.say("And to you.", speaker=1, seed=2)]
    assert over_http == [to_s16le(sound.samples) for sound in sounds]


def test_hearing_sound_differs_from_hearing_words(server: Running) -> None:
    with server.client() as client:
        answers = []
        for files in ({"audio": ("a.wav", wav_file())}, None):
            talk = start(client, "one")
            heard = client.post(f"/v1/conversations/{talk}/hear", data={"text": "Hello you."}, files=files)
            assert heard.status_code == 200, heard.text
            turn = heard.json()["turns"][0]
            assert (turn["spoken"], turn["speaker"]) == (False, 1)
            assert (turn["seconds"] > 1) == (files is not None)
            answers.append(say(client, talk, "Hello to you.", seed=4))
    assert answers[0] != answers[1]


def test_a_cut_leaves_what_the_listener_heard(server: Running) -> None:
    with server.client() as client:
        talk = start(client, "one")
        say(client, talk, "One two three four five six seven eight nine ten.", seed=5)
        whole = show(client, talk)["turns"][0]
        cut = client.post(f"/v1/conversations/{talk}/cut", json={"heard_ms": 2_000}).json()
        left = cut["turns"][0]
        assert left["seconds"] == pytest.approx(2.0, abs=0.08)
        assert whole["text"].startswith(cut["remains"].rstrip("."))
        assert 0 < len(cut["remains"].split()) < 10
        gone = client.post(f"/v1/conversations/{talk}/cut", json={"heard_ms": 0}).json()
        assert gone["turns"] == []


def test_a_cut_of_fast_speech_counts_the_listener_s_time(server: Running) -> None:
    with server.client() as client:
        talk = start(client, "one")
        say(client, talk, "One two three four five six seven eight nine ten.", seed=5, speed=2.0)
        cut = client.post(f"/v1/conversations/{talk}/cut", json={"heard_ms": 1_000}).json()
        assert cut["turns"][0]["seconds"] == pytest.approx(2.0, abs=0.08)


def test_one_put_away_goes_on_as_if_it_never_was(serve: Serve) -> None:
    server = serve()
    with server.client() as client:
        stays, rests = start(client, "one"), start(client, "one")
        for talk in (stays, rests):
            say(client, talk, "Good morning.", seed=1)
        server.wait_until_idle()
        conversations = server.services.conversations
        conversations.find(rests).put_away()
        assert conversations.warm == 1
        assert say(client, rests, "How are you?", seed=2) == say(client, stays, "How are you?", seed=2)
        assert conversations.warm == 2


def test_only_so_many_stay_warm_and_old_ones_go(serve: Serve) -> None:
    server = serve(max_warm_conversations=2, max_conversations=4)
    with server.client() as client:
        talks = [start(client, "one") for _ in range(4)]
        conversations = server.services.conversations
        conversations.sweep()
        assert (len(conversations), conversations.warm) == (4, 2)
        assert conversations.find(talks[-1]).live is not None
        refused = client.post("/v1/conversations", json={})
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "conversation_limit_reached")
        conversations.find(talks[0]).used -= 10_000
        conversations.sweep()
        assert client.get(f"/v1/conversations/{talks[0]}").status_code == 404


def test_they_survive_the_end_of_the_server(serve: Serve, tmp_path: Path) -> None:
    first = serve(state_folder=tmp_path)
    with first.client() as client:
        talk = start(client, "one")
        say(client, talk, "Good morning.", seed=1)
        first.wait_until_idle()
    second = serve(state_folder=tmp_path)  # the first one was never told to put anything away
    with second.client() as client:
        assert [turn["text"] for turn in show(client, talk)["turns"]] == ["Good morning."]
        assert client.delete(f"/v1/conversations/{talk}").status_code == 200
        assert list(tmp_path.iterdir()) == []


def test_a_client_that_leaves_in_the_middle_leaves_what_was_spoken(serve: Serve, paced: PacedEngine) -> None:
    paced.seconds_per_step = 0.02
    server = serve(paced)
    asked = {"input": "One two three four five six seven.", "seed": 1, "response_format": "pcm"}
    with server.client() as client:
        talk = start(client, "one")
        with client.stream("POST", f"/v1/conversations/{talk}/say", json=asked) as response:
            next(response.iter_bytes())
        turns = show(client, talk)["turns"]
        assert len(turns) == 1
        assert 0 < turns[0]["seconds"] < 3
        assert client.post(f"/v1/conversations/{talk}/cut", json={"heard_ms": 80}).json()["turns"][0]["seconds"] == 0.08


@pytest.mark.parametrize("name", ["conv_" + "0" * 24, "nonsense", "..%2F..%2Fetc%2Fpasswd", "conv_" + "0" * 23 + "/"])
def test_unknown_ones_are_404_and_never_a_path(server: Running, name: str) -> None:
    with server.client() as client:
        for answer in (
            client.get(f"/v1/conversations/{name}"),
            client.post(f"/v1/conversations/{name}/say", json={"input": "x"}),
        ):
            assert answer.status_code in (404, 307)


def test_a_voice_that_has_no_part_is_named(server: Running) -> None:
    with server.client() as client:
        talk = start(client, "one")
        answer = client.post(f"/v1/conversations/{talk}/say", json={"input": "Hello.", "voice": "two"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "voice_not_in_conversation")
        assert say(client, talk, "Hello.", 1), "and the conversation goes on"


def test_openai_s_route_takes_part_by_id(server: Running) -> None:
    with server.client() as client:
        talk = start(client, "one")
        asked = {"model": "tiny", "input": "Good morning.", "conversation": talk, "response_format": "pcm", "seed": 1}
        answer = client.post("/v1/audio/speech", json=asked)
        assert answer.headers["x-conversation-id"] == talk
        assert np.frombuffer(answer.content, "<i2").any()
        assert len(show(client, talk)["turns"]) == 1


def test_a_conversation_goes_on_where_another_process_left_it(serve: Serve, tmp_path: Path) -> None:
    """Two servers over one folder, as behind a balancer that once chose otherwise."""
    first, second = serve(state_folder=tmp_path), serve(state_folder=tmp_path)
    with first.client() as one, second.client() as other:
        talk = start(one, "one")
        say(one, talk, "Good morning.", 1)
        say(other, talk, "How are you?", 2)
        assert [turn["text"] for turn in show(one, talk)["turns"]] == ["Good morning.", "How are you?"]
        alone = start(one, "one")
        said = [say(one, alone, text, seed) for seed, text in enumerate(("Good morning.", "How are you?", "Bye."), 1)]
        assert say(one, talk, "Bye.", 3) == said[-1]


def test_a_disk_that_fails_halfway_leaves_the_file_of_the_turn_before(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from duologue.conversation import Conversation

    with serve(state_folder=tmp_path).client() as client:
        talk = start(client, "one")
        say(client, talk, "Good morning.", 1)
        whole = (tmp_path / f"{talk}.safetensors").read_bytes()

        def half(_: Conversation, path: Path) -> None:
            path.write_bytes(whole[:100])
            raise OSError("no space left on device")

        monkeypatch.setattr(Conversation, "save", half)
        say(client, talk, "How are you?", 2)
        assert len(show(client, talk)["turns"]) == 2
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {f"{talk}.safetensors": whole}


def test_what_a_former_process_left_is_removed_when_its_time_is_over(serve: Serve, tmp_path: Path) -> None:
    names = [f"conv_{'0' * 24}.safetensors", f"conv_{'1' * 24}.part", f"conv_{'2' * 24}.safetensors", "notes.txt"]
    for name in names:
        (tmp_path / name).write_bytes(b"x")
        if not name.startswith("conv_2"):
            os.utime(tmp_path / name, (0, 0))
    serve(state_folder=tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names[2:])


def test_looking_at_many_warms_no_more_than_allowed(serve: Serve) -> None:
    server = serve(max_warm_conversations=2)
    with server.client() as client:
        talks = [start(client) for _ in range(6)]
        for talk in talks:
            show(client, talk)
        assert server.services.conversations.warm <= 2
