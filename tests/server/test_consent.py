"""A voice needs its owner's consent: the words are heard, the person is compared, and what wasn't checked is said."""

from __future__ import annotations

import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest
import soundfile

import duologue
from duologue.api import Model
from duologue.audio import Audio
from duologue.server.consent import CONSENT_PHRASE, alike
from duologue.server.settings import ServerSettings
from duologue.server.talk_parts import TalkParts
from tests.server.conftest import Running, Serve, running
from tests.server.test_voices import WORDS, code, consent, create, recording


class TableOfWords:
    """Stands in for a recogniser: it knows recordings by their length."""

    name = "a table"

    def __init__(self) -> None:
        self.words: dict[int, str] = {}

    def transcribe(self, audio: Audio) -> str:
        return self.words.get(round(audio.seconds * 10), "")


@pytest.fixture(scope="module")
def table() -> TableOfWords:
    return TableOfWords()


@pytest.fixture(scope="module")
def listening(tiny_model: Model, table: TableOfWords) -> Iterator[Running]:
    with running(tiny_model, ServerSettings(), TalkParts(recogniser=table)) as started:
        yield started


@pytest.fixture(scope="module")
def people() -> dict[str, list[bytes]]:
    """Two recordings of each of two people: the halves of the embedded voices' prompts."""
    return {name: _halves(voice.audio) for name, voice in duologue.load().voices.items() if name in ("emma", "michael")}


def _halves(audio: Audio) -> list[bytes]:
    files = []
    for half in np.array_split(audio.samples, 2):
        buffer = io.BytesIO()
        soundfile.write(buffer, half, 24_000, format="WAV")
        files.append(buffer.getvalue())
    return files


def test_other_words_are_no_consent(listening: Running, table: TableOfWords) -> None:
    with listening.client() as client:
        table.words = {40: "I would like a cup of tea please, and a biscuit, if there is one."}
        refused = consent(client, recording(4.0))
        assert (refused.status_code, code(refused)) == (400, "consent_words_differ")
        assert "cup of tea" in refused.json()["error"]["message"]
        table.words = {40: CONSENT_PHRASE.replace("synthetic", "sympathetic").lower()}
        given = consent(client, recording(4.0)).json()
        assert "words" in given["checked"]


def test_a_transcript_that_is_not_what_was_said_is_refused(listening: Running, table: TableOfWords) -> None:
    table.words = {40: CONSENT_PHRASE, 25: "Something quite different was said here."}
    with listening.client() as client:
        given = consent(client, recording(4.0)).json()["id"]
        assert code(create(client, "Eve", given)) == "transcript_differs"
        table.words[25] = WORDS
        made = create(client, "Eve", given).json()
        assert made["checked"] == ["same speaker", "transcript"]
        client.delete("/v1/audio/voices/Eve")


def test_what_was_not_checked_is_said(server: Running) -> None:
    with server.client() as client:
        given = consent(client).json()
        assert (given["not_checked"], "words" in given["checked"]) == (["words"], False)
        made = create(client, "Ada2", given["id"]).json()
        assert (made["checked"], made["not_checked"]) == (["same speaker"], ["transcript"])
        client.delete("/v1/audio/voices/Ada2")


def test_somebody_else_s_consent_does_not_serve(server: Running, people: dict[str, list[bytes]]) -> None:
    with server.client() as client:
        given = consent(client, people["emma"][0]).json()["id"]
        words = "These are the words of this sample, about as many as fit."
        refused = create(client, "Emma2", given, people["michael"][0], words)
        assert (refused.status_code, code(refused)) == (400, "consent_by_somebody_else"), refused.text
        made = create(client, "Emma2", given, people["emma"][1], words)
        assert made.status_code == 200, made.text
        client.delete("/v1/audio/voices/Emma2")


def test_a_consent_serves_once_even_for_two_at_once(server: Running) -> None:
    with server.client() as client, ThreadPoolExecutor(2) as threads:
        given = consent(client).json()["id"]
        both = list(threads.map(lambda name: create(client, name, given), ("Castor", "Pollux")))
        assert sorted(answer.status_code for answer in both) == [200, 400], [answer.text for answer in both]
        client.delete(f"/v1/audio/voices/{next(a.json()['id'] for a in both if a.status_code == 200)}")


def test_a_consent_grows_old(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    server = serve()
    with server.client() as client:
        given = consent(client).json()["id"]
        monkeypatch.setattr("duologue.server.voice_store.CONSENT_LIFE_SECONDS", -1)
        assert code(create(client, "Late", given)) == "consent_required"


def test_a_typed_consent_serves_only_where_the_operator_said_so(serve: Serve, server: Running) -> None:
    def write(client: httpx.Client, statement: str) -> httpx.Response:
        return client.post("/v1/audio/voice_consents", data={"name": "Ada", "statement": statement})

    with server.client() as client:
        refused = write(client, CONSENT_PHRASE)
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, "recording")
    with serve(written_consent=True).client() as client:
        assert code(write(client, "Yes, do it.")) == "consent_words_differ"
        given = write(client, CONSENT_PHRASE.upper()).json()
        assert given["not_checked"] == ["who wrote it"]
        assert create(client, "Ada", given["id"]).json()["not_checked"] == ["same speaker", "transcript"]


def test_likeness_of_words_forgives_mishearing_and_nothing_more() -> None:
    heard = "i am the owner of this boys and i consent to the server using it to create a synthetic voice"
    assert alike(CONSENT_PHRASE, heard) > 0.8
    assert alike(CONSENT_PHRASE, "I do not consent to anything") < 0.4
    assert alike(CONSENT_PHRASE, "") == 0.0
