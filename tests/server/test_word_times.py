"""Word times: the model's own pointer tells when each word begins, in the sound that is sent and in the text."""

from __future__ import annotations

import base64
import json
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import pytest

import duologue
from duologue.reading import PhoneReader
from duologue.server.settings import ServerSettings
from duologue.server.word_times import WordTimes, places
from duologue.speaking import PlacedSentence
from tests.server.conftest import Running, running
from tests.tiny import write_tiny_model

TEXT = "Dr. Smith paid $5. It's 7 already, isn't it? Yes."
SPOKEN = "Doctor Smith paid five dollars. It's seven already, isn't it? Yes."


def events(client: httpx.Client, path: str = "/v1/audio/speech", **more: Any) -> list[dict[str, Any]]:
    body = {"model": "tiny", "voice": "one", "input": TEXT, "response_format": "pcm", "seed": 7, **more}
    with client.stream("POST", path, json={"stream_format": "sse", "word_times": True, **body}) as response:
        assert response.status_code == 200, response.read()
        return [json.loads(line[6:]) for line in response.iter_lines() if line.startswith("data: ")]


def sound_of(told: list[dict[str, Any]]) -> np.ndarray:
    return np.frombuffer(b"".join(base64.b64decode(one["audio"]) for one in told[:-1]), "<i2")


def test_every_word_is_told_once_when_it_begins_and_whole_at_the_end(server: Running) -> None:
    with server.client() as client:
        told = events(client)
        plain = events(client, word_times=False)
    begun = [word for one in told[:-1] for word in one.get("words", [])]
    whole = told[-1]["words"]
    assert [word["word"] for word in whole] == SPOKEN.split()
    assert begun == [{name: value for name, value in word.items() if name != "end"} for word in whole]
    assert all(word["start"] <= word["end"] for word in whole)
    assert all(one["end"] <= other["start"] + 1e-9 for one, other in pairwise(whole))
    assert whole[-1]["end"] <= told[-1]["usage"]["audio_seconds"]
    assert np.array_equal(sound_of(told), sound_of(plain))
    assert not any("words" in one for one in plain)


def test_a_word_comes_before_its_sound_or_with_it(server: Running) -> None:
    sent, told = 0, 0
    with server.client() as client:
        for one in events(client)[:-1]:
            begins = [word["start"] for word in one.get("words", [])]
            sent += len(base64.b64decode(one["audio"])) // 2
            told += len(begins)
            assert all(start <= sent / 24_000 for start in begins[:1])
    assert told > 3


def test_words_point_into_the_text_as_it_was_written(server: Running) -> None:
    with server.client() as client:
        whole = events(client)[-1]["words"]
    written = [TEXT[word["text_start"] : word["text_end"]] for word in whole]
    assert written == ["Dr.", "Smith", "paid", "$5.", "$5.", "It's", "7", "already,", "isn't", "it?", "Yes."]


def test_white_space_around_the_text_moves_no_word(server: Running) -> None:
    padded = f" \n {TEXT} "
    with server.client() as client:
        told, plain = events(client, input=padded), events(client)
    assert np.array_equal(sound_of(told), sound_of(plain))
    written = [padded[word["text_start"] : word["text_end"]] for word in told[-1]["words"]]
    assert written == [TEXT[word["text_start"] : word["text_end"]] for word in plain[-1]["words"]]


def test_speed_moves_the_times_and_a_conversation_has_them_too(server: Running) -> None:
    with server.client() as client:
        usual, fast = (events(client, speed=speed)[-1]["words"] for speed in (1.0, 2.0))
        assert [word["start"] for word in fast] == pytest.approx([word["start"] / 2 for word in usual], abs=0.002)
        held = client.post("/v1/conversations", json={"voices": ["one"]}).json()["id"]
        said = events(client, f"/v1/conversations/{held}/say")[-1]["words"]
        assert [word["word"] for word in said] == SPOKEN.split()
        client.delete(f"/v1/conversations/{held}")


def test_a_batch_has_them_in_its_answer(server: Running) -> None:
    item = {"model": "tiny", "voice": "one", "input": "One two.", "stream_format": "sse", "word_times": True}
    with server.client() as client:
        (made,) = client.post("/v1/audio/speech/batch", json={"items": [item]}).json()["data"]
    assert [word["word"] for word in made["words"]] == ["One", "two."]


def test_sound_alone_has_no_place_for_them(server: Running) -> None:
    body = {"model": "tiny", "voice": "one", "input": TEXT, "word_times": True}
    with server.client() as client:
        refused = client.post("/v1/audio/speech", json=body)
        assert client.get("/v1/server").json()["word_times"] is True
    assert refused.status_code == 400
    assert "stream_format" in refused.json()["error"]["message"]


def test_a_model_without_aligned_text_tells_none(tmp_path: Path) -> None:
    model = duologue.load(write_tiny_model(tmp_path, aligned=False), device="cpu")
    with running(model, ServerSettings()) as server, server.client() as client:
        assert client.get("/v1/server").json()["word_times"] is False
        assert not any("words" in one for one in events(client, input="One."))


def test_times_are_the_pointer_s(tiny_model: duologue.Model) -> None:
    text = "One two three."
    speech = tiny_model.stream(text, voice="one", seed=1, check=False)
    list(speech)
    (placed,) = speech.placed.values()
    assert placed.pointers is not None
    belongs = PhoneReader().words_of_ids(text, "american")
    assert belongs is not None
    for number, word in enumerate(WordTimes(tiny_model.reader, text).spoken(speech, 1.0)):
        own = np.flatnonzero(belongs == number)
        first = next(frame for frame, unit in enumerate(placed.pointers) if unit >= own[0])
        assert word.start == pytest.approx(first * 0.08)


def test_no_word_begins_before_its_sentence_is_heard() -> None:
    reader = PhoneReader()
    (sentence,) = reader.sentences("One two.", 0, "american", True)
    units = list(range(len(sentence.ids)))  # a frame each
    placed = PlacedSentence(sentence, start=-4_800, seam=2_400, frames=len(units), pointers=units)
    speech: Any = SimpleNamespace(placed={0: placed}, sentences=[sentence], accent="american")
    one, two = WordTimes(reader, "One two.").spoken(speech, 1.0)
    assert one.start == 0.1
    assert one.start <= one.end <= two.start < two.end


def test_held_back_and_side_by_side_speech_has_the_same_words(tiny_model: duologue.Model) -> None:
    def spoken(hold: bool, **options: Any) -> list[tuple[str, float]]:
        speech = tiny_model.stream(TEXT, voice="one", seed=1, check=False, **options)
        list(speech.checked() if hold else speech)
        return [(word.word, word.start) for word in WordTimes(tiny_model.reader, TEXT).spoken(speech, 1.0)]

    assert spoken(hold=False) == spoken(hold=True)
    assert [word for word, _ in spoken(hold=False, side_by_side=3)] == SPOKEN.split()


@pytest.mark.parametrize(
    ("written", "spoken", "wanted"),
    [
        ("a b c", "a b c", ["a", "b", "c"]),
        ("at 7:20 then", "at seven twenty then", ["at", "7:20", "7:20", "then"]),
        ("Dr. Who", "Doctor Who", ["Dr.", "Who"]),
        ("one — two", "one — two", ["one", None, "two"]),
        ("cats & dogs - mice", "cats and dogs - mice", ["cats", "&", "dogs", None, "mice"]),
        ("ends 12", "ends twelve", ["ends", "12"]),
        ("x [note](http://y) z", "x note z", ["x", "[note](http://y)", "z"]),
        ("* first\n* second", "first, second", ["first", "second"]),
        ("", "nothing there", [None, None]),
    ],
)
def test_spoken_words_find_their_place(written: str, spoken: str, wanted: list[str | None]) -> None:
    (found,) = places([spoken.split()], written)
    assert [None if place is None else written[slice(*place)] for place in found] == wanted


def test_what_follows_a_very_long_word_is_found_again() -> None:
    written = "pi is 3.1415926 as you know, so there"
    spoken = "pi is three point " + "one " * 40 + "as you know, so there"
    (found,) = places([spoken.split()], written)
    told = [None if place is None else written[slice(*place)] for place in found]
    assert told == ["pi", "is", *["3.1415926"] * 42, "as", "you", "know,", "so", "there"]


def test_words_that_can_t_be_found_point_nowhere() -> None:
    (found,) = places([[f"spoken{n}" for n in range(60)]], " ".join(f"written{n}" for n in range(60)))
    assert found == [None] * 60
