"""Files that are cut off, altered or no weights at all end in a typed error, never in a crash."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from duologue.errors import DuologueError, WeightsDamaged, WeightsNotFound
from duologue.weights.checkpoint import open_checkpoint, read_header
from duologue.weights.csm_files import CsmWeights, read_csm, write_csm
from tests.csm.sizes import PLAIN, build


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("good")
    weights = CsmWeights(PLAIN, dict(build(PLAIN).state_dict()))
    return write_csm(weights, folder / "voice.safetensors", "duologue").read_bytes()


def raw(header: object, data: bytes = b"") -> bytes:
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"short",
        (2**63).to_bytes(8, "little") + b"{}",
        (10).to_bytes(8, "little") + b"not json!!",
        raw([1, 2]),
        raw({"__metadata__": {"a": 1}}),
        raw({"a": 3}),
        raw({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}),  # no data behind it
        raw({"a": {"dtype": "F32", "shape": [3], "data_offsets": [0, 8]}}, b"\0" * 8),
        raw({"a": {"dtype": "F99", "shape": [2], "data_offsets": [0, 8]}}, b"\0" * 8),
        raw({"a": {"dtype": "F32", "shape": [-2], "data_offsets": [0, -8]}}, b"\0" * 8),
        raw({"a": {"dtype": "F32", "shape": [2.0], "data_offsets": [0, 8]}}, b"\0" * 8),
        raw({"a": {"dtype": ["F32"], "shape": [2], "data_offsets": [0, 8]}}, b"\0" * 8),
        b"\x80\x04\x95" + b"pickle" * 10,
    ],
)
def test_a_damaged_header_is_named(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(content)
    with pytest.raises(WeightsDamaged, match=r"model\.safetensors"):
        read_header(file)


def test_a_file_cut_off_anywhere_is_damaged(good: bytes, tmp_path: Path) -> None:
    file = tmp_path / "voice.safetensors"
    for length in (0, 7, 8, 100, 3000, len(good) // 2, len(good) - 1):
        file.write_bytes(good[:length])
        with pytest.raises(WeightsDamaged):
            read_csm(file)


def test_altered_headers_give_an_answer_or_a_typed_error(good: bytes, tmp_path: Path) -> None:
    file, rng = tmp_path / "voice.safetensors", random.Random(5)
    header = 8 + int.from_bytes(good[:8], "little")
    refused = 0
    for _ in range(300):
        content = bytearray(good)
        for _ in range(rng.choice([1, 2, 8])):
            content[rng.randrange(header)] = rng.randrange(256)
        file.write_bytes(content)
        try:
            read_csm(file)
        except DuologueError:
            refused += 1
    assert refused > 200


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsNotFound, match="no file"):
        open_checkpoint(tmp_path / "nothing.safetensors")
    with pytest.raises(WeightsNotFound, match=r"no \.safetensors"):
        open_checkpoint(tmp_path)
    for name in ("a", "b"):
        (tmp_path / f"{name}.safetensors").write_bytes(raw({}))
    with pytest.raises(WeightsNotFound, match="2 weight files"):
        open_checkpoint(tmp_path)


@pytest.mark.parametrize("content", ["{", "[]", '"text"', "[" * 100_000])
def test_a_config_that_is_no_table_is_damaged(content: str, good: bytes, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(good)
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(WeightsDamaged, match=r"config\.json"):
        open_checkpoint(tmp_path)


def test_an_index_can_not_point_outside_its_folder(good: bytes, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "outside.safetensors").write_bytes(good)
    for name in ("../outside.safetensors", "/etc/passwd", 3):
        (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": name}}))
        with pytest.raises(WeightsDamaged):
            open_checkpoint(folder)


def test_a_tensor_in_two_shards_is_refused(tmp_path: Path) -> None:
    names = ["model-1.safetensors", "model-2.safetensors"]
    for name in names:
        (tmp_path / name).write_bytes(raw({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, b"\0" * 4))
    index = {"weight_map": {"a": names[0], "b": names[1]}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(WeightsDamaged, match="more than one"):
        open_checkpoint(tmp_path)
