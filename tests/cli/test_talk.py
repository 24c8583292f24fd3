"""`duologue talk` from files: a recording calls, a real Whisper reads, a stub thinks, a model of noise speaks."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import soundfile
from typer.testing import CliRunner, Result

from duologue.cli.main import app
from duologue.errors import BackendUnavailable, DuologueError, InputError
from duologue.evaluation.voice_to_voice_stub import ANSWERS, StubLanguageModel

RECORDING = Path(__file__).parents[1] / "data" / "librivox_austen.flac"


@pytest.fixture
def stub() -> Iterator[StubLanguageModel]:
    made = StubLanguageModel()
    yield made
    made.close()


@pytest.fixture
def caller(tmp_path: Path) -> Path:
    samples, rate = soundfile.read(RECORDING)
    path = tmp_path / "caller.wav"
    soundfile.write(path, samples[int(7.2 * rate) : int(10.1 * rate)], rate)
    return path


def talk(*words: str) -> Result:
    return CliRunner().invoke(app, ["talk", *words])


def refused(*words: str) -> DuologueError:
    result = talk(*words)
    assert isinstance(result.exception, DuologueError), result.output
    return result.exception


def test_a_call_from_a_file_to_a_file(stub: StubLanguageModel, caller: Path, tiny_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "call.wav"
    given = ["--wav", str(caller), "--out", str(out), "--fast", "--asr", "packaged", "--llm", stub.url]
    result = talk(
        *given, "--model", str(tiny_folder), "--device", "cpu", "--seed", "1", "--greeting", "Hello.", "--json"
    )
    assert result.exit_code == 0, result.output
    events = [json.loads(line) for line in result.stdout.splitlines()]
    kinds = [event["event"] for event in events]
    assert kinds[0] == "said" and events[0]["phrase"] == "Hello."
    assert "young man" in next(event["words"] for event in events if event["event"] == "heard")
    last = events[-1]
    assert last["event"] == "answered" and last["words"] == ANSWERS[0]
    assert list(last["times"]) == ["endpoint", "words", "thought", "phrase", "sound"]
    assert stub.asked[0]["messages"][0]["role"] == "system"
    call, rate = soundfile.read(out)
    assert (rate, call.shape[1]) == (24_000, 2)
    assert abs(call[:, 0]).max() > 0.05 and abs(call[:, 1]).max() > 0.001


def test_people_see_words_and_where_the_time_went(stub: StubLanguageModel, caller: Path, tiny_folder: Path) -> None:
    result = talk("--wav", str(caller), "--fast", "--asr", "packaged", "--llm", stub.url, "--model", str(tiny_folder))
    assert result.exit_code == 0, result.output
    assert "you   " in result.stderr and "ms to the first sound: " in result.stderr
    assert "machine" in result.stderr, "that it is a machine is said first"


def test_a_machine_without_sound_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    error = refused()
    assert isinstance(error, BackendUnavailable)
    assert "duologue[talk]" in error.hint


def test_file_options_without_a_file_are_refused(tmp_path: Path) -> None:
    assert isinstance(refused("--fast"), InputError)
    assert isinstance(refused("--out", str(tmp_path / "a.wav")), InputError)
    assert isinstance(refused("--wav", str(RECORDING), "--eagerness", "frantic"), InputError)


def test_wyoming_does_not_open_itself_to_everyone() -> None:
    result = CliRunner().invoke(app, ["wyoming", "--uri", "tcp://0.0.0.0:10200"])
    assert isinstance(result.exception, InputError)
    assert "--public" in result.exception.hint
    result = CliRunner().invoke(app, ["wyoming", "--uri", "http://127.0.0.1:1"])
    assert isinstance(result.exception, InputError)
