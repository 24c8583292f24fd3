"""llama.cpp's two CSM commands run end to end on the three files of its pull request, with its flags."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from huggingface_hub import constants
from typer.testing import CliRunner, Result

from duologue.audio_files import read_audio
from duologue.cli.main import app
from duologue.compat.llama_files import BACKBONE, DECODER, MIMI, REPOSITORY
from duologue.errors import DuologueError, InputError
from tests.compat.llama_files import BOOKS, write_files
from tests.weights.hub_standin import Repository, hub_standin

Run = Callable[..., Result]
SAY = ["llama-tts-csm", "-p", "[0]hello there.\n[1]hell, hello!", "-n", "6", "--seed", "3"]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("llama")
    write_files(folder)
    return folder


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a verb in an empty folder, without a network."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DUOLOGUE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return lambda *words: CliRunner().invoke(app, [str(word) for word in words])


def ok(result: Result) -> Result:
    assert result.exit_code == 0, result.output + repr(result.exception)
    return result


def test_the_three_files_speak(run: Run, files: Path) -> None:
    result = ok(run(*SAY, "-m", files / BACKBONE, "-o", "a.wav"))
    assert "turn: [0]hello there." in result.stdout and "turn: [1]hell, hello!" in result.stdout
    match = re.search(r"decoder: +\d+ ms, (\d+) generated token \([\d.]+ tok/s\)", result.stdout)
    assert match and int(match[1]) == 12 * BOOKS
    assert re.search(r"backbone: \d+ ms, 12 generated token", result.stdout)
    assert read_audio("a.wav").seconds == pytest.approx(12 * 0.08)
    assert "output wav file: a.wav" in result.stdout


def test_the_same_seed_gives_the_same_file_whatever_the_threads(run: Run, files: Path) -> None:
    for name, more in (("a.wav", ()), ("b.wav", ("-t", "2")), ("c.wav", ("--seed", "4"))):
        ok(run(*SAY, "-m", files / BACKBONE, "-o", name, *more))
    assert Path("a.wav").read_bytes() == Path("b.wav").read_bytes() != Path("c.wav").read_bytes()


def test_llama_cpps_own_flags_are_taken_and_told_of(run: Run, files: Path) -> None:
    ok(run(*SAY, "-m", files / BACKBONE, "-o", "a.wav"))
    result = ok(run(*SAY, "-m", files / BACKBONE, "-o", "b.wav", "-ngl", "99", "-c", "2048", "-b", "512"))
    assert "not heeded" in result.stderr
    assert Path("a.wav").read_bytes() == Path("b.wav").read_bytes()


def test_prompt_files_sampling_and_codes_shown(run: Run, files: Path) -> None:
    Path("p.txt").write_text("[0]hello\nthere.\n[1]hell.\n")
    greedy = ("-m", files / BACKBONE, "-n", "3", "--temp", "0", "--top-k", "1", "-v")
    result = ok(run("llama-tts-csm", "-f", "p.txt", *greedy))
    assert "turn: [0]hello there." in result.stdout and "prompt (" in result.stdout
    frames = re.findall(r"^frame +\d+: (.+)$", result.stdout, re.MULTILINE)
    assert len(frames) == 6 and all(len(frame.split(", ")) == BOOKS for frame in frames)
    again = ok(run("llama-tts-csm", "-f", "p.txt", *greedy, "--seed", "9"))
    assert re.findall(r"^frame +\d+: (.+)$", again.stdout, re.MULTILINE) == frames
    assert read_audio("output.wav").seconds == pytest.approx(6 * 0.08)


def test_the_codec_may_lie_elsewhere(run: Run, files: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    for name in (BACKBONE, DECODER):
        (tmp_path / "elsewhere" / name).write_bytes((files / name).read_bytes())
    model = tmp_path / "elsewhere" / BACKBONE
    assert run(*SAY, "-m", model).exit_code != 0  # no codec beside it, and no network
    ok(run(*SAY, "-m", model, "-mv", files / MIMI, "-o", "b.wav"))
    ok(run(*SAY, "-m", files / BACKBONE, "-o", "a.wav"))
    assert Path("a.wav").read_bytes() == Path("b.wav").read_bytes()
    missing = run(*SAY, "-m", model, "-mv", "nowhere.gguf")
    assert isinstance(missing.exception, DuologueError) and "nowhere.gguf" in missing.exception.message


def test_files_in_this_folder_are_found_by_their_names(run: Run, files: Path) -> None:
    for name in (BACKBONE, DECODER, MIMI):
        Path(name).write_bytes((files / name).read_bytes())
    ok(run(*SAY, "-o", "a.wav"))


def test_without_files_the_published_ones_are_fetched(
    run: Run, files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = (BACKBONE, DECODER, MIMI)
    with hub_standin({REPOSITORY: Repository({name: (files / name).read_bytes() for name in names})}) as hub:
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "ENDPOINT", hub.url)
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.url + "/{repo_id}/resolve/{revision}/{filename}"
        )
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr("huggingface_hub.file_download.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
        ok(run(*SAY, "-o", "a.wav"))
    assert {path.rpartition("/")[2] for _, path in hub.requests} >= set(names)
    assert read_audio("a.wav").seconds > 0


def test_each_fault_can_be_asked_for_and_changes_the_sound(run: Run, files: Path) -> None:
    faults = (None, "logits", "mask")
    for name in faults:
        more = () if name is None else ("--parity", name)
        ok(run(*SAY, "-m", files / BACKBONE, "-o", f"{name}.wav", *more))
    assert len({Path(f"{name}.wav").read_bytes() for name in faults}) == 3
    assert read_audio("mask.wav").seconds == read_audio("None.wav").seconds
    unknown = run(*SAY, "-m", files / BACKBONE, "--parity", "speed")
    assert isinstance(unknown.exception, InputError)


@pytest.mark.parametrize("words", [(), ("-p", ""), ("-p", "hello"), ("-p", "[0]a", "-f", "x"), ("-f", "nowhere.txt")])
def test_what_is_no_prompt_is_told(run: Run, words: tuple[str, ...]) -> None:
    result = run("llama-tts-csm", *words)
    assert isinstance(result.exception, InputError) and result.exception.exit_code == 2


def test_mimi_decodes_dummies_and_lists(run: Run, files: Path) -> None:
    counted = ok(run("llama-mimi", files / MIMI, "dummy0", "a.wav"))
    assert "Number of output samples: 5760" in counted.stdout
    assert len(counted.stdout.splitlines()[2].split(", ")) == 21
    numbers = [str(number) for number in range(96)]
    for name, separator in (("lines.txt", "\n"), ("commas.txt", ", ")):
        Path(name).write_text(separator.join(numbers))
        ok(run("llama-mimi", files / MIMI, name, "b.wav"))
        assert Path("a.wav").read_bytes() == Path("b.wav").read_bytes()
    spoken = ok(run("llama-mimi", files / MIMI, "dummy1"))
    assert "Number of output samples: 61440" in spoken.stdout and Path("output.wav").is_file()
    assert np.abs(read_audio("output.wav").samples).max() > 0


def test_mimi_with_the_original_s_mask(run: Run, files: Path) -> None:
    for name, more in (("a.wav", ()), ("b.wav", ("--parity", "mask"))):
        ok(run("llama-mimi", files / MIMI, "dummy1", name, *more))
    assert Path("a.wav").read_bytes() != Path("b.wav").read_bytes()
    assert isinstance(run("llama-mimi", files / MIMI, "dummy0", "--parity", "rope").exception, InputError)


def test_mimi_refuses_codes_of_another_codec(run: Run, files: Path) -> None:
    Path("high.txt").write_text("\n".join(["128"] * BOOKS))
    result = run("llama-mimi", files / MIMI, "high.txt")
    assert isinstance(result.exception, InputError) and "127" in result.exception.message


def test_the_packaged_voice_speaks_too(run: Run) -> None:
    ok(run("llama-tts-csm", "-m", "embedded", "-p", "[0]Hello there.", "-o", "a.wav", "--seed", "1"))
    assert 0.5 < read_audio("a.wav").seconds < 5
