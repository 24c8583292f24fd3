"""Recognisers: a real Whisper in windows that fit, and an endpoint over HTTP."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest

from duologue.agent.recognition import PACKAGED, TranscriptionEndpoint, Whisper, open_recogniser, repeats
from duologue.audio import Audio, to_audio
from duologue.errors import BackendUnavailable, WeightsNotFound

SPEECH = to_audio(Path(__file__).parents[1] / "data" / "librivox_austen.flac").samples


@pytest.fixture(scope="module")
def whisper() -> Whisper:
    return Whisper(PACKAGED, threads=1)


def test_short_and_long_turns_are_read_without_repeats(whisper: Whisper) -> None:
    short = whisper.transcribe(Audio(SPEECH[int(7.25 * 24_000) : int(10.1 * 24_000)])).lower()
    assert "he was not an" in short and "young man" in short
    assert len(short.split()) <= 10
    long = whisper.transcribe(Audio(SPEECH[: int(15.4 * 24_000)]))
    assert 30 <= len(long.split()) <= 50


def test_speech_longer_than_its_window_is_read_to_the_end(whisper: Whisper) -> None:
    """25 s of reading, then its first sentence again: the last words lie beyond 30 s."""
    words = whisper.transcribe(Audio(np.concatenate([SPEECH, SPEECH[: 7 * 24_000]])))
    assert words.lower().count("for them") == 2, words


def test_repeated_words_are_noticed() -> None:
    assert repeats("He was not an ill man. He was not an ill man")
    assert not repeats("No, no, no, I did not say that I did.")
    assert not repeats("")


def test_silence_and_noise_have_no_words(whisper: Whisper) -> None:
    noise = 0.02 * np.random.default_rng(1).standard_normal(48_000).astype(np.float32)
    assert whisper.transcribe(Audio(np.zeros(48_000, np.float32))) == ""
    assert whisper.transcribe(Audio(noise)) == ""


def test_a_result_that_loops_is_read_again_in_the_full_window(
    whisper: Whisper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("duologue.agent.recognition.TOKENS_PER_SECOND", 0.2)  # everything seems too long to be true
    words = whisper.transcribe(Audio(SPEECH[int(7.25 * 24_000) : int(10.1 * 24_000)]))
    assert "young man" in words


def test_a_missing_whisper_says_so() -> None:
    with pytest.raises(WeightsNotFound, match="no-such-whisper"):
        open_recogniser("/no-such-whisper")


class Endpoint(BaseHTTPRequestHandler):
    bodies: list[bytes]

    def do_POST(self) -> None:
        self.bodies.append(self.rfile.read(int(self.headers["content-length"])))
        body = json.dumps({"text": " Hello there. "}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def endpoint() -> Iterator[tuple[str, list[bytes]]]:
    Endpoint.bodies = []
    server = HTTPServer(("127.0.0.1", 0), Endpoint)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1", Endpoint.bodies
    server.shutdown()
    server.server_close()


def test_an_openai_compatible_endpoint_gets_a_wav_and_its_model(endpoint: tuple[str, list[bytes]]) -> None:
    url, bodies = endpoint
    ears = open_recogniser(url, "tiny", "secret")
    assert isinstance(ears, TranscriptionEndpoint)
    assert ears.transcribe(Audio(SPEECH[:24_000])) == "Hello there."
    assert b"RIFF" in bodies[0] and b"tiny" in bodies[0]


def test_an_endpoint_that_is_gone_is_said() -> None:
    with pytest.raises(BackendUnavailable, match="didn't answer"):
        TranscriptionEndpoint("http://127.0.0.1:9/v1", "tiny").transcribe(Audio(SPEECH[:24_000]))
