"""The tag is found again, by its key alone, after MP3 and Opus too; and speech says that a machine made it."""

from __future__ import annotations

import io
from pathlib import Path

import av
import httpx
import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from duologue.audio_files import read_audio
from duologue.cli.main import app
from duologue.server.audio_formats import new_encoder
from duologue.server.notice import NOTICE
from duologue.server.watermark import FOUND, NoiseTag, find_tag
from tests.server.conftest import Running, Serve

SPEECH = soundfile.read(Path(__file__).parents[1] / "data" / "librivox_austen.flac", dtype="float32")[0][: 24_000 * 10]
ASKED = {"model": "tiny", "input": "Hello there.", "seed": 3, "response_format": "pcm"}


def marked(key: str, chunk: int = 1_920) -> np.ndarray:
    tag = NoiseTag(key)
    return np.concatenate([tag.push(SPEECH[at : at + chunk]) for at in range(0, len(SPEECH), chunk)])


def test_a_tag_is_found_by_its_key_alone_and_wherever_one_begins_to_listen() -> None:
    sound = marked("mine")
    assert find_tag(sound, "mine") > 2 * FOUND
    assert find_tag(sound[5_000 : 5_000 + 5 * 24_000], "mine") > FOUND
    assert find_tag(sound, "yours") < FOUND
    assert find_tag(SPEECH, "mine") < FOUND
    assert find_tag(np.zeros(48_000, np.float32), "mine") == 0


def test_it_lies_thirty_decibels_below_the_speech_and_changes_no_length() -> None:
    for chunk in (1_920, 777, 5_000):
        sound = marked("mine", chunk)
        assert len(sound) == len(SPEECH)
        ratio_db = 10 * np.log10(np.mean(SPEECH**2) / np.mean((sound - SPEECH) ** 2))
        assert ratio_db == pytest.approx(30, abs=0.5)
    assert len(NoiseTag("mine").push(np.zeros(0, np.float32))) == 0


@pytest.mark.parametrize("name", ["mp3", "opus", "aac"])
def test_it_survives_encoding(name: str) -> None:
    encoder = new_encoder(name)
    data = encoder.push(marked("mine")) + encoder.finish()
    assert find_tag(read_audio(data).samples, "mine") > FOUND


def test_a_server_with_a_key_tags_and_one_without_does_not(serve: Serve, server: Running) -> None:
    def speak(running: Running) -> np.ndarray:
        data = running.client().post("/v1/audio/speech", json=ASKED).content
        return np.frombuffer(data, "<i2").astype(np.float32) / 32_767

    plain, tagged = speak(server), speak(serve(watermark_key="mine"))
    expected = np.clip(NoiseTag("mine").push(plain), -1, 1)
    assert len(plain) == len(tagged)
    assert not np.array_equal(plain, tagged)
    assert np.abs(tagged - expected).max() < 0.01


def test_the_command_finds_it(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", marked("mine"), 24_000)
    run = CliRunner().invoke
    assert run(app, ["verify", str(tmp_path / "a.wav"), "--key", "mine"]).exit_code == 0
    other = run(app, ["verify", str(tmp_path / "a.wav"), "--key", "yours", "--json"])
    assert (other.exit_code, '"found": false' in other.stdout) == (1, True)


@pytest.mark.parametrize("name", ["mp3", "opus", "flac", "webm"])
def test_files_say_that_a_machine_spoke(server: Running, name: str) -> None:
    answer: httpx.Response = server.client().post("/v1/audio/speech", json={**ASKED, "response_format": name})
    assert answer.headers["x-duologue-notice"] == NOTICE
    with av.open(io.BytesIO(answer.content)) as file:
        told = {**file.metadata, **file.streams[0].metadata}
    assert NOTICE in {key.lower(): value for key, value in told.items()}.values()
