"""`duologue convert` and `quantize` with GGUF, run for real on the tiny model."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from typer.testing import CliRunner, Result

from duologue.audio_files import read_audio
from duologue.cli.main import app
from duologue.errors import InputError
from duologue.weights.gguf_file import open_gguf
from duologue.weights.gguf_own import write_own
from tests.weights.gguf_models import codec_part, csm_part, tokenizer_json

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)

    def invoke(*words: str) -> Result:
        done = CliRunner().invoke(app, list(words))
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done

    return invoke


def spoken(run: Run, model: str | Path) -> np.ndarray:
    words = ["say", "Hello.", "-m", str(model), "-o", "a.wav", "--seed", "2", "--no-check", "--max-seconds", "0.8"]
    assert run(*words).exit_code == 0
    return read_audio(Path("a.wav")).samples


def test_a_folder_becomes_a_file_that_speaks_alike(run: Run, tiny_folder: Path) -> None:
    assert run("convert", str(tiny_folder), "-o", "voice.gguf").exit_code == 0
    facts = json.loads(run("inspect", "voice.gguf", "--json").stdout)
    assert facts["layout"] == "duologue-gguf" and facts["codec"] == "inside" and facts["voices"] == "one, two"
    assert np.abs(spoken(run, tiny_folder) - spoken(run, "voice.gguf")).max() < 1e-3


def test_quantize_tells_what_it_wrote_and_the_result_speaks(run: Run, tiny_folder: Path) -> None:
    done = run("quantize", str(tiny_folder), "--type", "Q8_0", "--depth", "F16", "-o", "small.gguf", "--json")
    told = json.loads(done.stdout)
    assert told["bytes"] == Path("small.gguf").stat().st_size and told["tensors_by_type"]["Q8_0"] > 5
    types = {name: tensor.type for name, tensor in open_gguf(Path("small.gguf")).tensors.items()}
    assert types["backbone.layers.0.attn.q_proj.weight"] == "Q8_0"
    assert types["decoder.layers.0.attn.q_proj.weight"] == "F16"
    assert len(spoken(run, "small.gguf")) > 0


def test_an_importance_file_changes_the_rounding(run: Run) -> None:
    write_own(Path("a.gguf"), csm_part(), codec_part(), card={"name": "a", "text": "llama"}, tokenizer=tokenizer_json())
    name = "backbone.layers.0.attn.q_proj.weight"
    save_file({name: np.logspace(-3, 3, 64).astype(np.float32)}, "importance.safetensors")
    run("quantize", "a.gguf", "--type", "Q4_0", "-o", "plain.gguf")
    run("quantize", "a.gguf", "--type", "Q4_0", "--importance", "importance.safetensors", "-o", "heeded.gguf")
    plain, heeded = (open_gguf(Path(f"{kind}.gguf")).tensors for kind in ("plain", "heeded"))
    changed = [n for n in plain if not np.array_equal(plain[n].data, heeded[n].data)]
    assert changed == [name]


def test_the_pull_requests_files_are_written_and_read(run: Run) -> None:
    write_own(Path("a.gguf"), csm_part(), codec_part(), card={"name": "a", "text": "llama"}, tokenizer=tokenizer_json())
    assert run("convert", "a.gguf", "m-<component>.gguf", "--to", "llama", "--dtype", "float32").exit_code == 0
    write_own(Path("codec-only.gguf"), None, codec_part())
    assert run("convert", "codec-only.gguf", "kyutai-mimi.gguf", "--to", "llama").exit_code == 0
    run("convert", "m-backbone.gguf", "-o", "back.gguf")
    same = (open_gguf(Path(f"{name}.gguf")).tensors["audio_head.weight"].data for name in ("a", "back"))
    assert np.array_equal(*same)


def test_what_is_not_said_is_asked_for(run: Run, tiny_folder: Path) -> None:
    with pytest.raises(InputError, match="Which layout"):
        run("convert", str(tiny_folder), "somewhere")
    with pytest.raises(InputError, match="one file or folder"):
        run("convert", str(tiny_folder))
    with pytest.raises(InputError, match="IQ1_S"):
        run("quantize", str(tiny_folder), "--type", "IQ1_S", "-o", "x.gguf")
