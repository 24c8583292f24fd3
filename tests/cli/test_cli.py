"""Every verb runs for real on a whole model of random weights: files, pipes, JSON, exit codes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from duologue.audio_files import read_audio
from duologue.cli.main import app
from duologue.errors import DuologueError
from tests.tiny import speech_like

Run = Callable[..., Result]
COMMAND = [sys.executable, "-m", "duologue.cli.main"]


@pytest.fixture
def run(tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a verb inside this process, in an empty folder, with the tiny model."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DUOLOGUE_MODEL", str(tiny_folder))
    monkeypatch.setenv("DUOLOGUE_HOME", str(tmp_path / "home"))

    def invoke(*words: str, stdin: str | None = None) -> Result:
        return CliRunner().invoke(app, list(words), input=stdin)

    return invoke


def ok(result: Result) -> Result:
    assert result.exit_code == 0, result.output + repr(result.exception)
    return result


@pytest.mark.parametrize("ending", ["wav", "flac", "mp3", "opus"])
def test_say_writes_every_format(run: Run, ending: str) -> None:
    ok(run("say", "Hello there.", "-o", f"a.{ending}", "--no-check", "--seed", "1", "--device", "cpu"))
    assert read_audio(f"a.{ending}").seconds > 0.1


def test_say_repeats_itself_with_a_seed_and_reports_as_json(run: Run) -> None:
    reports = []
    for name in ("a", "b"):
        result = ok(run("say", "Hello there.", "-o", f"{name}.wav", "--no-check", "--seed", "7", "--json"))
        reports.append(json.loads(result.stdout))
    assert Path("a.wav").read_bytes() == Path("b.wav").read_bytes()
    assert reports[0]["seed"] == 7 and reports[0]["output"] == "a.wav" and reports[0]["parts"][0]["attempts"] == 1
    assert reports[0]["seconds"] == pytest.approx(read_audio("a.wav").seconds)


def test_say_reads_stdin_and_files(run: Run) -> None:
    Path("t.txt").write_text("Hello from a file.")
    ok(run("say", "-f", "t.txt", "-o", "a.wav", "--no-check", "--seed", "1"))
    ok(run("say", "-o", "b.wav", "--no-check", "--seed", "1", stdin="Hello from a file."))
    ok(run("say", "Hello", "from", "a", "file.", "-o", "c.wav", "--no-check", "--seed", "1", "--stream"))
    assert Path("a.wav").read_bytes() == Path("b.wav").read_bytes() == Path("c.wav").read_bytes()


def test_say_without_output_or_device_writes_speech_wav_and_says_so(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    result = ok(run("say", "Hello.", "--no-check", "--seed", "1"))
    assert "speech.wav" in result.stderr and read_audio("speech.wav").seconds > 0


def test_say_obeys_max_seconds_and_voice(run: Run) -> None:
    ok(
        run(
            "say",
            "A rather long sentence to be spoken.",
            "-o",
            "a.wav",
            "--max-seconds",
            "0.4",
            "--no-check",
            "--seed",
            "1",
        )
    )
    assert read_audio("a.wav").seconds <= 0.4
    ok(run("say", "Hello there.", "-o", "one.wav", "--voice", "one", "--no-check", "--seed", "1"))
    ok(run("say", "Hello there.", "-o", "two.wav", "--voice", "two", "--no-check", "--seed", "1"))
    assert Path("one.wav").read_bytes() != Path("two.wav").read_bytes()


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["say", "", "-o", "a.wav"], 2),
        (["say", "Hi.", "-f", "t.txt"], 2),
        (["say", "-f", "absent.txt"], 2),
        (["say", "Hi.", "-o", "a.xyz"], 2),
        (["say", "Hi.", "--voice", "nobody", "-o", "a.wav"], 2),
        (["say", "Hi.", "--temperature", "-1"], 2),
        (["say", "Hi.", "--model", "./absent"], 3),
        (["say", "Hi.", "--engine", "steam"], 2),
        (["decode", "absent.txt"], 2),
        (["encode", "absent.wav", "-o", "c.txt"], 2),
        (["inspect", "absent.safetensors"], 3),
        (["dialogue", "absent.txt"], 2),
        (["voices", "show", "nobody"], 2),
    ],
)
def test_what_can_not_be_done_has_an_exit_code_and_a_message(run: Run, words: list[str], code: int) -> None:
    result = run(*words, stdin="")
    error = result.exception
    assert (error.exit_code if isinstance(error, DuologueError) else result.exit_code) == code
    assert not isinstance(error, DuologueError) or error.message
    assert not Path("a.wav").exists()


def test_dialogue_writes_the_whole_its_turns_and_their_times(run: Run) -> None:
    Path("s.txt").write_text("ANNA: Hello there.\nBEN: Hi, how are you?\nANNA: Fine.\n")
    ok(run("dialogue", "s.txt", "-o", "d.flac", "--turns", "turns", "--times", "t.json", "--seed", "3", "--no-check",
           "--voice", "ben=one", "--gap", "0.5"))  # fmt: skip
    whole, times = read_audio("d.flac"), json.loads(Path("t.json").read_text())
    assert [turn["speaker"] for turn in times["turns"]] == ["ANNA", "BEN", "ANNA"]
    assert times["seconds"] == pytest.approx(whole.seconds)
    for turn in times["turns"]:
        part = read_audio(turn["file"])
        assert part.seconds == pytest.approx(turn["end"] - turn["start"], abs=1e-4)
        start = round(turn["start"] * 24_000)
        assert np.abs(whole.samples[start : start + len(part.samples)] - part.samples).max() < 1e-3
    assert times["turns"][1]["start"] == pytest.approx(times["turns"][0]["end"] + 0.5, abs=1e-3)


def test_dialogue_reads_numbered_scripts_from_stdin(run: Run) -> None:
    result = ok(
        run("dialogue", "-", "-o", "d.wav", "--seed", "1", "--no-check", "--json", stdin="[0]Hello. [1]Hi there.")
    )
    assert [turn["speaker"] for turn in json.loads(result.stdout)["turns"]] == ["0", "1"]
    with pytest.raises(DuologueError, match="names no speaker"):
        raise run("dialogue", "-", "--voice", "carl=one", stdin="[0]Hello.").exception


@pytest.mark.parametrize("ending", ["txt", "npy", "safetensors"])
def test_sound_to_codes_and_back(run: Run, ending: str) -> None:
    from duologue.audio import Audio

    Audio(speech_like(1.0)).save("a.wav")
    facts = json.loads(ok(run("encode", "a.wav", "-o", f"c.{ending}", "--json")).stdout)
    assert facts["frames"] == 13 and facts["codebooks"] == 4
    ok(run("decode", f"c.{ending}", "-o", "b.wav"))
    assert len(read_audio("b.wav").samples) == 13 * 1920


def test_voices_are_added_shown_heard_and_removed(run: Run) -> None:
    from duologue.audio import Audio

    Audio(speech_like(3.0)).save("me.wav")
    ok(run("voices", "add", "me", "me.wav", "--text", "These are my own words.", "--speaker", "1"))
    listed = json.loads(ok(run("voices", "--json")).stdout)
    assert [(voice["name"], voice["from"]) for voice in listed] == [("one", "model"), ("two", "model"), ("me", "added")]
    assert json.loads(ok(run("voices", "show", "me")).stdout)["transcript"] == "These are my own words."
    ok(run("say", "Hello.", "--voice", "me", "-o", "a.wav", "--no-check", "--seed", "1"))
    ok(run("voices", "play", "me", "-o", "prompt.wav"))
    assert read_audio("prompt.wav").seconds == pytest.approx(3.0, abs=0.3)
    ok(run("voices", "remove", "me"))
    assert "me" not in [voice["name"] for voice in json.loads(ok(run("voices", "--json")).stdout)]


def test_a_recording_with_its_words_is_a_voice_at_once(run: Run) -> None:
    from duologue.audio import Audio

    Audio(speech_like(3.0)).save("me.wav")
    ok(
        run(
            "say", "Hello.", "--voice", "me.wav", "--voice-text", "These are my own words.", "-o", "a.wav", "--no-check"
        )
    )


def test_inspect_tells_what_files_are(run: Run, tiny_folder: Path) -> None:
    model = json.loads(ok(run("inspect", str(tiny_folder), "--json")).stdout)
    assert model["csm"]["layout"] == "duologue" and model["codec"]["layout"] == "kyutai-mimi"
    assert model["csm"]["config"]["num_codebooks"] == 4
    voice = json.loads(ok(run("inspect", str(tiny_folder / "voices" / "one.safetensors"), "--json")).stdout)
    assert voice["kind"].startswith("duologue-voice") and voice["name"] == "one"
    tensors = json.loads(ok(run("inspect", str(tiny_folder / "csm.safetensors"), "--json", "--tensors")).stdout)
    assert tensors["tensor_list"]["codebook0_head.weight"].startswith("F32 [33, 32]")
    assert "parameters" in ok(run("inspect", str(tiny_folder))).stdout


def test_convert_writes_the_codec_in_the_other_layout_and_back(run: Run, tiny_folder: Path) -> None:
    ok(run("convert", str(tiny_folder / "codec.safetensors"), "hf", "--to", "transformers"))
    ok(run("convert", "hf", "back.safetensors", "--to", "kyutai"))
    facts = [json.loads(ok(run("inspect", path, "--json")).stdout) for path in ("hf", "back.safetensors")]
    assert [each["layout"] for each in facts] == ["transformers-mimi", "kyutai-mimi"]
    ok(run("convert", str(tiny_folder), "x.safetensors", "--to", "kyutai"))  # of a whole model, its codec
    assert json.loads(ok(run("inspect", "x.safetensors", "--json")).stdout)["layout"] == "kyutai-mimi"


def test_doctor_finds_what_is_here(run: Run) -> None:
    findings = json.loads(run("doctor", "--json").stdout)
    names = {finding["what"]: finding for finding in findings}
    assert names["torch"]["ok"] and {"system", "speaks by", "embedded voice", "hub", "sound device"} <= set(names)
    assert all(finding["ok"] or finding["hint"] for finding in findings)


def environment(tiny_folder: Path) -> dict[str, str]:
    return {**os.environ, "DUOLOGUE_MODEL": str(tiny_folder), "OMP_NUM_THREADS": "1"}


def test_a_raw_stream_on_stdout_is_nothing_but_samples(tiny_folder: Path, tmp_path: Path) -> None:
    words = [*COMMAND, "say", "Hello there.", "--no-check", "--seed", "3", "-o"]
    done = subprocess.run(
        [*words, "-"], capture_output=True, env=environment(tiny_folder), cwd=tmp_path, timeout=200, check=True
    )
    subprocess.run([*words, "a.wav"], env=environment(tiny_folder), cwd=tmp_path, timeout=200, check=True)
    samples = np.frombuffer(done.stdout, "<i2")
    written = read_audio(tmp_path / "a.wav").samples * 32768
    assert len(samples) and np.abs(samples - written).max() <= 1  # each rounds in its own way
    assert b"seed 3" in done.stderr


def test_ctrl_c_leaves_a_playable_file(tiny_folder: Path, tmp_path: Path) -> None:
    text = "This is one sentence of very many. " * 400
    process = subprocess.Popen(
        [*COMMAND, "say", "--no-check", "--seed", "3", "-o", "a.wav", text],
        env=environment(tiny_folder), cwd=tmp_path, stderr=subprocess.PIPE,
        preexec_fn=_hears_ctrl_c,
    )  # fmt: skip
    try:
        began = time.monotonic()
        while time.monotonic() - began < 120 and not _holds_sound(tmp_path / "a.wav"):
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130 and b"kept" in errors
    assert read_audio(tmp_path / "a.wav").seconds > 0.1


def _hears_ctrl_c() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a test run in the background inherits that it is ignored


def _holds_sound(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 20_000


def test_errors_are_two_lines_and_no_traceback(tmp_path: Path) -> None:
    done = subprocess.run([*COMMAND, "inspect", "absent"], capture_output=True, text=True, cwd=tmp_path, timeout=60)
    assert done.returncode == 3 and "Traceback" not in done.stderr
    assert done.stderr.startswith("duologue: ") and len(done.stderr.splitlines()) == 2


def test_a_closed_pipe_is_no_traceback(tiny_folder: Path, tmp_path: Path) -> None:
    command = " ".join([*COMMAND, "say", "--no-check", "-o", "-", "'Hello. Hello. Hello.'", "|", "head", "-c", "100"])
    done = subprocess.run(
        ["bash", "-c", command], capture_output=True, env=environment(tiny_folder), cwd=tmp_path, timeout=200
    )
    assert len(done.stdout) == 100 and b"Traceback" not in done.stderr
