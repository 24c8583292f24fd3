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
from duologue.errors import InputError, WeightsDamaged
from duologue.weights.arrays import load_arrays
from duologue.weights.checkpoint import open_checkpoint
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


def test_the_engines_own_form_is_a_file_that_speaks_and_goes_back(run: Run, tiny_folder: Path) -> None:
    told = json.loads(run("quantize", str(tiny_folder), "--type", "int4", "-o", "own.gguf", "--json").stdout)
    assert told["engine_form"] == "int4" and told["bytes"] == Path("own.gguf").stat().st_size
    facts = json.loads(run("inspect", "own.gguf", "--json").stdout)
    plain = json.loads(run("inspect", str(tiny_folder), "--json").stdout)
    assert facts["engine_form"] == "int4" and facts["codec"] == "inside" and facts["voices"] == "one, two"
    assert facts["config"] == plain["csm"]["config"] and facts["parameters"] > plain["csm"]["parameters"]
    same = ["say", "Hello.", "-o", "b.wav", "--seed", "2", "--no-check", "--max-seconds", "0.8"]
    assert run(*same, "-m", str(tiny_folder), "--engine", "native-int4").exit_code == 0
    np.testing.assert_array_equal(spoken(run, "own.gguf"), read_audio(Path("b.wav")).samples)
    assert run("convert", "own.gguf", "-o", "named.gguf").exit_code == 0
    assert run("convert", "own.gguf", "named.safetensors", "--to", "duologue").exit_code == 0
    assert run("quantize", "own.gguf", "--type", "Q8_0", "-o", "rounded.gguf").exit_code == 0
    assert len(spoken(run, "named.gguf")) > 0 and len(spoken(run, "rounded.gguf")) > 0


def test_float32_in_the_engines_form_comes_back_byte_for_byte(run: Run, tiny_folder: Path) -> None:
    for words in (
        ("convert", str(tiny_folder), "-o", "a.gguf", "--dtype", "float32"),
        ("quantize", str(tiny_folder), "--type", "float32", "-o", "own.gguf"),
        ("convert", "own.gguf", "-o", "b.gguf"),
    ):
        assert run(*words).exit_code == 0
    assert Path("a.gguf").read_bytes() == Path("b.gguf").read_bytes()


def test_groups_can_have_other_formats_of_the_engine_but_not_ggufs(run: Run, tiny_folder: Path) -> None:
    told = json.loads(
        run("quantize", str(tiny_folder), "--type", "int4", "--heads", "int8", "-o", "own.gguf", "--json").stdout
    )
    assert told["engine_form"] == "int4-mixed"
    keys = open_gguf(Path("own.gguf")).metadata
    assert keys["duologue.engine.plan.heads.kind"] == "int8" and keys["duologue.engine.plan.depth.kind"] == "int4"
    with pytest.raises(InputError, match="--depth can't be Q4_0"):
        run("quantize", str(tiny_folder), "--type", "int4", "--depth", "Q4_0", "-o", "x.gguf")
    with pytest.raises(InputError, match="heeds no importance"):
        run("quantize", str(tiny_folder), "--type", "int8", "--importance", "spoken", "-o", "x.gguf")
    with pytest.raises(InputError, match=r"end in \.gguf"):
        run("quantize", str(tiny_folder), "--type", "int8", "-o", "x.bin")
    assert not Path("x.gguf").exists()


def toy(name: str) -> None:
    write_own(Path(name), csm_part(), codec_part(), card={"name": "a", "text": "llama"}, tokenizer=tokenizer_json())


def test_each_layout_is_written_from_one_file_with_all_that_it_has_a_place_for(run: Run) -> None:
    toy("a.gguf")
    for words in (
        ("hf", "--to", "transformers"),
        ("sesame", "--to", "sesame"),
        ("csm-<component>.gguf",),
        ("kyutai-mimi.gguf", "--to", "llama"),
        ("mimi.safetensors", "--to", "kyutai"),
        ("own.safetensors", "--to", "duologue"),
    ):
        assert run("convert", "a.gguf", *words).exit_code == 0, words
    names = load_arrays(open_checkpoint(Path("hf")))
    assert sum(name.startswith("codec_model.") for name in names) > 80, "transformers' folder holds Mimi inside"
    for folder in ("hf", "sesame"):
        assert Path(folder, "tokenizer.json").read_bytes() == tokenizer_json()
    assert run("convert", "hf", "b.gguf").exit_code == 0
    a, b = (open_gguf(Path(f"{name}.gguf")).tensors for name in "ab")
    assert a.keys() == b.keys()
    same = [np.array_equal(a[name].data, b[name].data) for name in a if not name.endswith("initialized")]
    assert all(same)
    pair = run("convert", "sesame", "again-<component>.gguf", "--json")
    assert json.loads(pair.stdout)["files"] == ["again-backbone.gguf", "again-decoder.gguf"]
    assert run("convert", "csm-backbone.gguf", "back", "--to", "sesame").exit_code == 0, "no codec has to be beside"


def test_transformers_itself_loads_what_is_written(run: Run) -> None:
    from transformers import CsmForConditionalGeneration

    toy("a.gguf")
    assert run("convert", "a.gguf", "hf", "--to", "transformers").exit_code == 0
    _, told = CsmForConditionalGeneration.from_pretrained("hf", output_loading_info=True)
    assert not told["missing_keys"] and not told["unexpected_keys"] and not told["mismatched_keys"]


def test_q8_0_is_written_as_the_pull_request_does_and_not_into_float_layouts(run: Run) -> None:
    toy("a.gguf")
    assert run("convert", "a.gguf", "m-<component>.gguf", "--dtype", "q8_0").exit_code == 0
    types = {name: open_gguf(Path(f"m-{name}.gguf")).tensors["blk.0.attn_q.weight"].type
             for name in ("backbone", "decoder")}  # fmt: skip
    assert types == {"backbone": "Q8_0", "decoder": "F16"}
    assert run("convert", "a.gguf", "k-<component>.gguf", "--dtype", "q4_0").exit_code == 0
    below = [open_gguf(Path(f"k-{name}.gguf")).tensors["blk.0.attn_q.weight"].type for name in types]
    assert below == ["Q4_0", "Q4_0"], "what the pull request refuses is written where it is asked for"
    with pytest.raises(InputError, match="floating point alone"):
        run("convert", "a.gguf", "s", "--to", "sesame", "--dtype", "q8_0")


def test_names_that_belie_the_layout_are_refused(run: Run) -> None:
    toy("a.gguf")
    for words, told in (
        (("m.gguf", "--to", "kyutai"), "should end in .safetensors"),
        (("m.safetensors", "--to", "gguf"), "should end in .gguf"),
        (("m.safetensors", "--to", "transformers"), "is a folder"),
        (("model.gguf", "--to", "llama"), "neither <component> nor mimi"),
    ):
        with pytest.raises(InputError, match=told):
            run("convert", "a.gguf", *words)
    Path("junk.gguf").write_bytes(b"junk" * 100)
    with pytest.raises(WeightsDamaged, match="does not begin as GGUF"):
        run("inspect", "junk.gguf")
