"""A file in the CPU engine's own form: it speaks as its source does, lies where it is, and is not believed."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import gguf
import numpy as np
import pytest

import duologue
from duologue.csm.config import CsmConfig
from duologue.engine import assembly
from duologue.engine.assembly import assemble, named_weights
from duologue.engine.base import FrameRequest, FrameSampling
from duologue.engine.native_engine import NativeEngine
from duologue.engine.packed import PackedModel, pack_model
from duologue.engine.packed_file import load_part, packed_for_file
from duologue.engine.quantize import PLANS, Format, FormatPlan
from duologue.engine.unpacking import unpacked
from duologue.errors import DuologueError, InputError, LayoutMismatch, WeightsDamaged
from duologue.weights.csm_files import read_csm
from duologue.weights.gguf_file import open_gguf
from duologue.weights.gguf_own import read_own, write_own
from duologue.weights.gguf_packed import BLOCK, NewPacked, PackedPart
from duologue.weights.load import locate
from duologue.weights.model_parts import CsmPart
from duologue.weights.whole_model import read_whole, write_whole
from tests.csm.sizes import ALIGNED, PLAIN, build
from tests.weights.gguf_models import CONFIG, codec_part, csm_part, tokenizer_json

MIXED = PLANS["int4"].with_part("depth", PLANS["compact"]).with_exceptions(("head.0", Format("int8", 128)))


def part_of(config: CsmConfig) -> CsmPart:
    return CsmPart(config, {name: t.detach().numpy() for name, t in build(config, 0).state_dict().items()})


def write(path: Path, part: CsmPart, plan: FormatPlan) -> PackedPart:
    """A file of this model, and what is found in it."""
    write_own(path, packed_for_file(part.config, part.arrays, plan), codec_part(), tokenizer=tokenizer_json())
    found = read_own(open_gguf(path)).packed
    assert found is not None
    return found()


def logits(packed: PackedModel) -> np.ndarray:
    engine = NativeEngine(packed)
    grid = np.full((4, packed.config.columns), -1, np.int64)
    grid[:, packed.config.num_codebooks] = [4, 9, 2, 7]
    cache = engine.new_cache()
    engine.prefill(cache, grid[:-1], np.arange(3))
    _, trace = engine.trace(FrameRequest(cache, grid[-1], 3, 0, FrameSampling()))
    return np.concatenate([trace.first_logits.ravel(), trace.depth_logits.ravel()])


@pytest.mark.parametrize("plan", [*PLANS.values(), MIXED], ids=lambda plan: plan.name)
@pytest.mark.parametrize("config", [PLAIN, ALIGNED, CONFIG], ids=["plain", "aligned", "larger"])
def test_a_file_says_to_the_bit_what_its_source_says(config: CsmConfig, plan: FormatPlan, tmp_path: Path) -> None:
    part = part_of(config)
    found = write(tmp_path / "x.gguf", part, plan)
    packed = pack_model(config, part.arrays, plan)
    mapped, read = load_part(found), load_part(found, mapped=False)
    assert mapped.plan == plan and mapped.config == config
    for each in (mapped, read):
        np.testing.assert_array_equal(logits(each), logits(packed))


def test_a_mapped_file_stays_where_it_is(tmp_path: Path) -> None:
    found = write(tmp_path / "x.gguf", csm_part(), PLANS["int4"])
    block = load_part(found).block
    assert isinstance(block.base, np.memmap) or isinstance(block, np.memmap)
    assert not block.flags.writeable and block.ctypes.data % 64 == 0
    assert load_part(found, mapped=False).block.ctypes.data % 4096 == 0


PROGRAM = """
import sys
from pathlib import Path
import numpy as np
from duologue.engine.native_engine import NativeEngine
from duologue.engine.packed_file import load_part
from duologue.weights.load import locate

def own_memory():
    lines = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
    return sum(int(lines[kind].split()[0]) for kind in ("RssAnon", "RssShmem")) / 1024

def speak(path, mapped):
    before = own_memory()
    engine = NativeEngine(load_part(locate(path).packed, mapped=mapped))
    rows = np.full((8, engine.config.columns), -1, np.int64)
    rows[:, -1] = np.linspace(0, engine.config.text_vocab - 1, 8)
    engine.prefill(engine.new_cache(), rows, np.arange(8))
    return own_memory() - before

speak(sys.argv[2], True)  # everything is imported by now
print(speak(sys.argv[1], True), speak(sys.argv[1], False))
"""


def test_a_mapped_file_takes_no_memory_of_its_own(tmp_path: Path) -> None:
    config = replace(CONFIG, text_vocab=300_000)  # one table of 19 MB
    write(tmp_path / "small.gguf", csm_part(), PLANS["int4"])
    write(tmp_path / "large.gguf", csm_part(config), PLANS["int4"])
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "large.gguf"), str(tmp_path / "small.gguf")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    mapped, read = map(float, done.stdout.split())
    assert read > 15, "the measure sees what is read into memory"
    assert mapped < 5  # MB


def test_all_of_a_model_is_in_the_file(tiny_folder: Path, tmp_path: Path) -> None:
    whole = read_whole(locate(tiny_folder))
    packed = packed_for_file(whole.csm.config, whole.csm.arrays, PLANS["float32"])
    write_whole(replace(whole, description="Made of toys."), tmp_path / "x.gguf", packed=packed)
    files = locate(tmp_path / "x.gguf")
    again = read_whole(files, named_weights(files, as_arrays=True))
    assert again.card == whole.card and again.tokenizer == whole.tokenizer and again.description == "Made of toys."
    cards = [
        {key: value for key, value in voice.card.items() if value} | {"speaker": i}
        for i, voice in enumerate(whole.voices)
    ]
    assert [voice.card for voice in again.voices] == cards
    assert again.csm.config == whole.csm.config and again.codec.config == whole.codec.config
    said = [
        duologue.load(source, engine="native-float32").generate("Hello.", seed=1, check=False, max_seconds=0.8).samples
        for source in (tiny_folder, tmp_path / "x.gguf")
    ]
    np.testing.assert_allclose(said[0], said[1], atol=1e-5)


def test_the_gguf_packages_own_reader_opens_it(tmp_path: Path) -> None:
    found = write(tmp_path / "x.gguf", csm_part(), PLANS["compact"])
    reader = gguf.GGUFReader(tmp_path / "x.gguf")
    block = next(tensor for tensor in reader.tensors if tensor.name == BLOCK)
    assert block.tensor_type.name == "I8" and block.n_bytes == found.block.nbytes
    assert reader.fields["duologue.engine.plan.name"].contents() == "compact"
    assert reader.fields["general.alignment"].contents() == 64


@pytest.mark.parametrize("config", [PLAIN, ALIGNED, CONFIG], ids=["plain", "aligned", "larger"])
@pytest.mark.parametrize("plan", ["float32", "float16", "bfloat16", "int8", "compact"])
def test_names_come_back_and_floats_to_the_bit(config: CsmConfig, plan: str, tmp_path: Path) -> None:
    part = part_of(config)
    arrays = unpacked(load_part(write(tmp_path / "x.gguf", part, PLANS[plan])))
    assert {name: tuple(array.shape) for name, array in arrays.items()} == {
        name: array.shape for name, array in part.arrays.items()
    }
    for name, exact in part.arrays.items():
        values = np.asarray(arrays[name])
        rough = {"float32": 0.0, "float16": 2**-11, "bfloat16": 2**-8, "int8": 0.02, "compact": 0.25}[plan]
        assert np.abs(values - exact).max(initial=0) <= rough * np.abs(exact).max(initial=0), name
        assert len(arrays[name]) == len(exact) and np.array_equal(arrays[name][1:3], values[1:3])
    again = pack_model(config, arrays, PLANS["float32"])  # what came back stands for the same network
    repeated = pack_model(config, {name: np.asarray(array) for name, array in arrays.items()}, PLANS["float32"])
    np.testing.assert_array_equal(again.block, repeated.block)


def test_torch_speaks_from_it_too(tiny_folder: Path, tmp_path: Path) -> None:
    whole = read_whole(locate(tiny_folder))
    for plan in ("float32", "int8"):
        packed = packed_for_file(whole.csm.config, whole.csm.arrays, PLANS[plan])
        write_whole(whole, tmp_path / f"{plan}.gguf", packed=packed)
    exact, _ = assemble(locate(tiny_folder), engine="torch", device="cpu")
    same, _ = assemble(locate(tmp_path / "float32.gguf"), engine="torch", device="cpu")
    near, _ = assemble(locate(tmp_path / "int8.gguf"), engine="torch", device="cpu")
    states = [engine.model.state_dict() for engine in (exact, same, near)]  # type: ignore[attr-defined]
    assert all(bool((states[1][name] == tensor).all()) for name, tensor in states[0].items())
    assert any(bool((states[2][name] != tensor).any()) for name, tensor in states[0].items())


def test_another_format_than_it_has_is_refused(tiny_folder: Path, tmp_path: Path) -> None:
    whole = read_whole(locate(tiny_folder))
    packed = packed_for_file(whole.csm.config, whole.csm.arrays, PLANS["int4"])
    write_whole(whole, tmp_path / "x.gguf", packed=packed)
    assert duologue.load(tmp_path / "x.gguf").engine.name.endswith("int4")
    assert duologue.load(tmp_path / "x.gguf", engine="native-int4").engine.name.endswith("int4")
    with pytest.raises(InputError, match="in int4, not int8"):
        duologue.load(tmp_path / "x.gguf", engine="native-int8")
    with pytest.raises(LayoutMismatch, match="as the CPU engine reads them") as caught:
        read_csm(tmp_path / "x.gguf")
    assert "duologue convert" in caught.value.hint


def test_large_files_use_all_cores_and_keep_no_second_copy(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(assembly, "SMALL_PARAMETERS", 10)
    monkeypatch.setattr(assembly, "_cores", lambda: 2)
    monkeypatch.setenv("DUOLOGUE_HOME", str(tmp_path / "home"))
    whole = read_whole(locate(tiny_folder))
    write_whole(whole, tmp_path / "x.gguf", packed=packed_for_file(whole.csm.config, whole.csm.arrays, PLANS["int8"]))
    engine, _ = assemble(locate(tmp_path / "x.gguf"), device="cpu")
    assert isinstance(engine, NativeEngine) and engine.threads == 2
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("place", ["block", "vectors", "scales", "end"])
def test_damage_is_noticed(place: str, tmp_path: Path) -> None:
    path = tmp_path / "x.gguf"
    found = write(path, csm_part(), PLANS["int8"])
    data = bytearray(path.read_bytes())
    if place == "end":
        del data[len(data) // 2 :]
    else:
        pattern = getattr(found, place).tobytes()[:16]
        data[data.find(pattern) + 5] ^= 1
    path.write_bytes(data)
    with pytest.raises(WeightsDamaged, match="damaged"):
        load_part(read_own(open_gguf(path)).packed())  # type: ignore[misc]


CHANGES: dict[str, tuple[dict[str, object], type[DuologueError]]] = {
    "another order of bytes": ({"layout": 99}, LayoutMismatch),
    "fewer bytes": ({"block": np.zeros(64, np.uint8)}, WeightsDamaged),
    "more scales": ({"scales": np.ones(1000, np.float32)}, WeightsDamaged),
    "other sizes": ({"config": replace(CONFIG, text_vocab=301)}, WeightsDamaged),
    "a plan without a name": ({"plan": {}}, InputError),
    "tables of four bits": ({"tables": "int4"}, InputError),
    "groups of 31": ({"depth": {"kind": "int8", "group": 31}}, InputError),
    "an endless pattern": ({"exceptions": {"0": {"pattern": "*a" * 80, "format": {"kind": "float32"}}}}, InputError),
    "an exception that has no number": ({"exceptions": {"x": {"pattern": "*", "format": {}}}}, InputError),
}


@pytest.mark.parametrize("which", CHANGES)
def test_what_contradicts_itself_is_refused(which: str, tmp_path: Path) -> None:
    part = csm_part()
    good = packed_for_file(part.config, part.arrays, PLANS["int8"])
    values, error = CHANGES[which]
    own = {name: value for name, value in values.items() if name in NewPacked.__dataclass_fields__}
    plan = own.pop("plan", {**good.plan, **{name: value for name, value in values.items() if name not in own}})
    bad = replace(good, **{"plan": plan, **own})  # type: ignore[arg-type]
    write_own(tmp_path / "x.gguf", bad, None)
    found = read_own(open_gguf(tmp_path / "x.gguf")).packed
    assert found is not None
    with pytest.raises(error) as caught:
        load_part(found())
    assert caught.value.hint or caught.value.field, json.dumps(which)
