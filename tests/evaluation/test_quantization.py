"""Rounding touches what it says and nothing else, sizes add up, and the table's command writes what it measured."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import duologue
from duologue.csm.model import Csm
from duologue.engine.native_engine import NativeEngine
from duologue.errors import InputError
from duologue.evaluation import quantization
from duologue.evaluation.logit_agreement import record
from duologue.evaluation.quantization_codec import codec_rows
from duologue.evaluation.quantization_importance import activation_squares
from duologue.evaluation.quantization_page import write_page
from duologue.evaluation.quantization_rows import REFERENCE, RowKey, build_row, engine_plan, row_keys
from duologue.evaluation.quantization_speech import Heard, compared
from duologue.evaluation.quantization_weights import PARTS, rounded
from duologue.weights.csm_files import CsmWeights, read_csm
from duologue.weights.quantized_types import dequantize, quantize
from duologue.weights.type_policy import group_of
from tests.tiny import speech_like
from tests.weights.gguf_models import codec_part

PAGE = "".join(f"<!-- {name} -->\nold\n<!-- end of {name} -->\n" for name in
               ("settings", "whole", "parts", "importance", "codec", "speed"))  # fmt: skip


@pytest.fixture(scope="module")
def weights(tiny_folder: Path) -> CsmWeights:
    return read_csm(tiny_folder / "csm.safetensors", as_arrays=True)


@pytest.mark.parametrize("part", PARTS)
def test_only_the_matrices_of_the_part_are_rounded(weights: CsmWeights, part: str) -> None:
    made = rounded(weights.tensors, "Q4_0", part).tensors
    for name, before in weights.tensors.items():
        chosen = before.ndim > 1 and part in ("all", group_of(name)) and before.size > 0
        assert np.array_equal(before, made[name]) != chosen, name


def test_f32_changes_nothing_and_counts_every_byte(weights: CsmWeights) -> None:
    made = rounded(weights.tensors, "F32", "all")
    assert all(np.array_equal(made.tensors[name], values) for name, values in weights.tensors.items())
    assert made.file_bytes == sum(4 * values.size for values in weights.tensors.values())
    assert made.bits_per_weight == 32


def test_rows_that_blocks_of_256_dont_divide_take_the_next_type(weights: CsmWeights) -> None:
    plain, larger = (rounded(weights.tensors, kind, "backbone") for kind in ("Q5_0", "Q4_K"))
    assert larger.fallback_percent == 100 and larger.file_bytes == plain.file_bytes


def test_the_depth_heads_are_rounded_along_what_they_are_multiplied_by(weights: CsmWeights) -> None:
    heads = np.ascontiguousarray(np.swapaxes(weights.tensors["audio_head"], 1, 2), np.float32)
    padded = np.concatenate([heads] * 2, axis=-1)  # rows of 32 values
    made = rounded({"audio_head": np.swapaxes(padded, 1, 2)}, "Q8_0", "heads").tensors["audio_head"]
    assert np.array_equal(np.swapaxes(made, 1, 2), dequantize(quantize(padded, "Q8_0"), "Q8_0"))


def test_importance_is_the_mean_square_of_what_each_column_meets(tiny_folder: Path, weights: CsmWeights) -> None:
    model = duologue.load(tiny_folder, device="cpu", engine="native")
    turns = record(model, ["Hello there."])
    squares = activation_squares(weights.config, weights.tensors, turns)
    csm = Csm(weights.config)
    csm.load_state_dict({name: torch.from_numpy(np.array(values)) for name, values in weights.tensors.items()})
    found = []
    with torch.inference_mode():
        for turn in turns:
            hidden = csm.hidden_states(torch.from_numpy(turn.rows)[None], torch.from_numpy(turn.positions)[None])[0]
            found.append(hidden[sorted(turn.codes)])
    assert np.allclose(squares["codebook0_head.weight"], torch.cat(found).square().mean(0), rtol=1e-4)
    assert squares["audio_head"].shape == (weights.config.num_codebooks - 1, weights.config.depth.width)
    matrices = {name for name, values in weights.tensors.items() if values.ndim > 1 and group_of(name) != "embeddings"}
    assert set(squares) == matrices


def test_importance_moves_the_error_to_where_it_matters_less() -> None:
    drawn = np.random.default_rng(0)
    values = drawn.standard_normal((64, 64)).astype(np.float32)
    importance = np.where(np.arange(64) % 4 == 0, 100.0, 1.0).astype(np.float32)
    name = "backbone.layers.0.mlp.w1.weight"
    errors = [
        float((importance * (rounded({name: values}, "Q4_0", "backbone", given).tensors[name] - values) ** 2).sum())
        for given in (None, {name: importance})
    ]
    assert errors[1] < 0.8 * errors[0]


def test_engine_formats_reach_one_part_alone() -> None:
    assert engine_plan("int4", "depth").depth.kind == "int4"
    assert {engine_plan("int4", "depth").backbone.kind, engine_plan("int4", "depth").heads.kind} == {"float32"}
    assert engine_plan("int4", "embeddings").tables == "int8"
    assert engine_plan("int8", "all").name == "int8"
    depth = engine_plan("compact", "depth")
    assert depth.format_of("depth.1.down").kind == "uneven3" and depth.format_of("depth.1.qkv").kind == "uneven4"
    assert depth.format_of("backbone.1.down").kind == depth.format_of("head.2").kind == "float32"
    assert engine_plan("compact", "backbone").exceptions == ()
    with pytest.raises(InputError, match="no part"):
        engine_plan("int8", "codec")


def test_every_type_stands_in_the_table_and_the_reference_comes_first() -> None:
    keys = list(row_keys())
    assert keys[0] == REFERENCE and len(set(keys)) == len(keys)
    assert {"Q6_K", "Q4_0", "BF16", "int8", "int4", "compact"} <= {key.type for key in keys}
    assert [key.part for key in keys if key.type == "Q4_K_M"] == ["all"]
    assert RowKey("Q4_0", "depth").spoken and not RowKey("Q6_K", "depth").spoken


def test_an_engine_of_rounded_weights_speaks(weights: CsmWeights) -> None:
    for key in (RowKey("Q8_0", "depth"), RowKey("int8", "all")):
        row = build_row(key, weights.config, weights.tensors, {})
        assert isinstance(row.engine, NativeEngine) and not row.same_weights and row.bits_per_weight > 8


def test_bits_are_the_mean_of_a_parts_matrices(weights: CsmWeights) -> None:
    bits = {part: build_row(RowKey("compact", part), weights.config, weights.tensors, {}).bits_per_weight
            for part in PARTS}  # fmt: skip
    assert bits["backbone"] == 4.125 and bits["heads"] == 8.25 and bits["embeddings"] == 8
    assert 3.25 < bits["depth"] < 4.25 and bits["depth"] < bits["all"] < bits["heads"]
    assert build_row(RowKey("int4", "all"), weights.config, weights.tensors, {}).bits_per_weight == 4.5


def test_a_quick_run_keeps_what_was_heard_and_speech_can_be_added_later(tiny_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "q.json"
    quick = run(tiny_folder, out)
    assert quick["settings"]["sentences"] == 0 and not any("speech" in row for row in quick["rows"])
    later = SimpleNamespace(settings={**quick["settings"], "sentences": 40, "judge": "j"}, listening=True, heard=None)
    assert len(quantization._kept_rows(out, later)) == len(quick["rows"]) and later.settings["judge"] == "j"  # type: ignore[arg-type]
    spoken = {**quick, "settings": later.settings, "date": "2020-02-02T02:02:02"}
    for row in spoken["rows"]:
        del row["date"]
    spoken["rows"][0]["speech"] = {"clips_heard": heard([1.0], [3.0]).as_dict()}
    out.write_text(json.dumps(spoken))
    again = run(tiny_folder, out, "--resume")
    assert again["settings"] == spoken["settings"]
    assert again["rows"] == [{**row, "date": "2020-02-02"} for row in spoken["rows"]]
    other = SimpleNamespace(settings={**quick["settings"], "sentences": 20, "judge": "j"}, listening=True, heard=None)
    with pytest.raises(InputError, match="other settings"):
        quantization._kept_rows(out, other)  # type: ignore[arg-type]


def test_the_codec_loses_more_with_fewer_bits() -> None:
    part = codec_part()
    for name, values in part.arrays.items():
        if "transformer" in name and "weight" in name and values.ndim == 2:
            values *= 30  # of a fresh codec the transformers say next to nothing
    rows = {row["type"]: row for row in codec_rows(part, [speech_like(1.0)])}
    assert rows["F16"]["snr_db"] > rows["Q8_0"]["snr_db"] > rows["Q4_0"]["snr_db"]
    assert rows["F16"]["mel_distance"] < rows["Q4_0"]["mel_distance"]
    assert rows["F16"]["megabytes"] > rows["Q8_0"]["megabytes"] > rows["Q4_0"]["megabytes"]
    assert 0 < rows["Q4_0"]["fallback_percent"] < 100 and rows["F16"]["fallback_percent"] == 0
    assert codec_rows(part, []) == []


def heard(errors: list[float], dnsmos: list[float]) -> Heard:
    count = len(errors)
    ones = np.ones(count)
    return Heard(np.arange(count), 10 * ones, np.array(errors), 0.8 * ones, np.array(dnsmos), ones)


def test_differences_come_with_the_spread_over_sentences() -> None:
    reference = heard([1, 2, 3, 2], [3.0, 3.0, 3.0, 3.0])
    same = compared(reference, reference)
    assert same["wer_percent"] == {"mean": 20.0, "difference": 0.0, "interval_95": [0.0, 0.0]}
    worse = compared(heard([2, 3, 4, 3], [2.5, 3.5, np.nan, 3.0]), reference)
    assert worse["wer_percent"] == {"mean": 30.0, "difference": 10.0, "interval_95": [10.0, 10.0]}
    low, high = worse["dnsmos"]["interval_95"]
    assert worse["dnsmos"]["difference"] == 0 and low < 0 < high  # the clip without sound is left out on both sides
    again = Heard.from_dict(json.loads(json.dumps(reference.as_dict())))
    assert compared(again, reference) == same


def run(folder: Path, out: Path, *further: str) -> dict[str, Any]:
    arguments = ["--model", str(folder), "--logit-sentences", "1", "--sentences", "0", "--types", "Q8_0"]
    quantization.main([*arguments, "--out", str(out), *further])
    result: dict[str, Any] = json.loads(out.read_text())
    return result


def test_the_command_writes_rows_a_page_and_a_plot(tiny_folder: Path, tmp_path: Path) -> None:
    out, page = tmp_path / "q.json", tmp_path / "page.md"
    page.write_text(PAGE)
    result = run(tiny_folder, out, "--docs", str(page))
    rows = {(row["type"], row["part"]): row for row in result["rows"]}
    assert set(rows) == {("F32", "all"), *(("Q8_0", part) for part in PARTS)}
    assert rows["F32", "all"]["logits"]["greedy_codes_percent"] == 100
    assert rows["Q8_0", "all"]["logits"]["kl_per_frame"] > 0
    assert rows["Q8_0", "all"]["megabytes"] < rows["F32", "all"]["megabytes"]
    assert [speed["engine"].rpartition("-")[2] for speed in result["speed"]] == [
        "float32", "float16", "bfloat16", "int8", "int4", "compact",
    ]  # fmt: skip
    text = page.read_text()
    assert "old" not in text and "| Q8_0 |" in text and "tiny" in text
    assert (tmp_path / "page.svg").read_text().startswith("<?xml")
    kept = run(tiny_folder, out, "--resume")
    assert [row["seconds"] for row in kept["rows"]] == [row["seconds"] for row in result["rows"]]


def test_rows_of_another_run_are_not_taken_over(tiny_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "q.json"
    out.write_text(json.dumps({"settings": {"model": "other"}, "rows": []}))
    with pytest.raises(InputError, match="other settings"):
        run(tiny_folder, out, "--resume")


def test_a_page_without_its_marks_is_refused(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Nothing to fill\n")
    result = {"settings": {"model": "m", "weights_blake2": "", "sentences": 0, "seeds": [1], "frames": 1,
                           "logit_sentences": 1}, "machine": {"cpu": ""}, "date": "2026", "versions": {"duologue": ""},
              "rows": [], "speed": [], "codec": []}  # fmt: skip
    with pytest.raises(InputError, match="no place"):
        write_page(result, page)
