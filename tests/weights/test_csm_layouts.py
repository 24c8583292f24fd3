"""Every layout of a CSM: read, written, turned into each other bit for bit; what doesn't fit names itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from duologue.csm.config import CSM_1B, CsmConfig
from duologue.errors import InputError, LayoutMismatch, WeightsDamaged, WeightsNotFound
from duologue.weights.checkpoint import open_checkpoint
from duologue.weights.csm_files import CsmLayout, CsmWeights, load_csm, read_csm, write_csm
from duologue.weights.layout import halves, neighbours
from duologue.weights.transformers_csm import BACKBONE_AUDIO, DEPTH_AUDIO
from tests.csm.sizes import ALIGNED, BOTH, PLAIN, build

FOREIGN: list[CsmLayout] = ["sesame", "transformers-csm"]


def weights_of(config: CsmConfig) -> CsmWeights:
    return CsmWeights(config, dict(build(config).state_dict()))


def same(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def rewrite(file: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file)


@pytest.mark.parametrize("layout", FOREIGN)
def test_a_foreign_layout_gives_back_every_bit(layout: CsmLayout, tmp_path: Path) -> None:
    weights = weights_of(PLAIN)
    write_csm(weights, tmp_path, layout)
    back = read_csm(tmp_path)
    assert back.layout == layout
    assert back.config == PLAIN
    assert same(back.tensors, weights.tensors)


@pytest.mark.parametrize("config", BOTH, ids=["plain", "aligned"])
def test_our_own_file_is_all_of_a_model(config: CsmConfig, tmp_path: Path) -> None:
    weights = weights_of(config)
    write_csm(weights, tmp_path / "voice.safetensors", "duologue")
    back = read_csm(tmp_path / "voice.safetensors")
    assert (back.layout, back.config) == ("duologue", config)
    assert same(back.tensors, weights.tensors)


def test_the_way_round_through_all_layouts_changes_no_bit(tmp_path: Path) -> None:
    first = write_csm(weights_of(PLAIN), tmp_path / "a", "sesame")
    write_csm(read_csm(tmp_path / "a"), tmp_path / "b", "transformers-csm")
    write_csm(read_csm(tmp_path / "b"), tmp_path / "c.safetensors", "duologue")
    last = write_csm(read_csm(tmp_path / "c.safetensors"), tmp_path / "d", "sesame")
    assert first.read_bytes() == last.read_bytes()
    assert (tmp_path / "a/config.json").read_text() == (tmp_path / "d/config.json").read_text()
    again = write_csm(read_csm(tmp_path / "d"), tmp_path / "e", "transformers-csm")
    assert again.read_bytes() == (tmp_path / "b/model.safetensors").read_bytes()


def test_rotary_rows_are_the_only_numbers_that_move(tmp_path: Path) -> None:
    weights = weights_of(PLAIN)
    theirs = load_file(write_csm(weights, tmp_path, "transformers-csm"))
    query = weights.tensors["backbone.layers.1.attn.q_proj.weight"]
    moved = theirs["backbone_model.layers.1.self_attn.q_proj.weight"]
    # head 1 has rows 8..15; its even rows come first
    assert torch.equal(moved[8:16], query[[8, 10, 12, 14, 9, 11, 13, 15]])
    key = "depth_decoder.model.layers.0.self_attn.v_proj.weight"
    assert torch.equal(theirs[key], weights.tensors["decoder.layers.0.attn.v_proj.weight"])


def test_halves_and_neighbours_undo_each_other_for_arrays_of_any_kind() -> None:
    rows = torch.arange(48.0).reshape(24, 2)
    for heads in (1, 2, 3, 4):
        assert torch.equal(neighbours(halves(rows, heads), heads), rows)
        assert (halves(rows.numpy(), heads) == halves(rows, heads).numpy()).all()


def test_shards_with_an_index_are_one_model(tmp_path: Path) -> None:
    file = write_csm(weights_of(PLAIN), tmp_path, "transformers-csm")
    tensors = load_file(file)
    names = sorted(tensors)
    parts = {"model-00001-of-00002.safetensors": names[::2], "model-00002-of-00002.safetensors": names[1::2]}
    for part, held in parts.items():
        save_file({name: tensors[name] for name in held}, tmp_path / part)
    file.unlink()
    index = {"metadata": {}, "weight_map": {name: part for part, held in parts.items() for name in held}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    assert same(read_csm(tmp_path).tensors, weights_of(PLAIN).tensors)
    (tmp_path / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(WeightsNotFound, match="model-00002-of-00002"):
        read_csm(tmp_path)


@pytest.mark.parametrize("held", [{DEPTH_AUDIO}, {BACKBONE_AUDIO}, {DEPTH_AUDIO, BACKBONE_AUDIO}])
def test_either_copy_of_the_audio_embedding_serves(held: set[str], tmp_path: Path) -> None:
    file = write_csm(weights_of(PLAIN), tmp_path, "transformers-csm")

    def change(tensors: dict[str, torch.Tensor]) -> None:
        table = tensors.pop(DEPTH_AUDIO)
        tensors.update({name: table.clone() for name in held})

    rewrite(file, change)
    assert same(read_csm(tmp_path).tensors, weights_of(PLAIN).tensors)


def test_two_audio_embeddings_that_differ_are_refused(tmp_path: Path) -> None:
    file = write_csm(weights_of(PLAIN), tmp_path, "transformers-csm")
    rewrite(file, lambda tensors: tensors.update({BACKBONE_AUDIO: tensors[DEPTH_AUDIO] + 1}))
    with pytest.raises(LayoutMismatch, match="two audio embeddings"):
        read_csm(tmp_path)


def test_masks_that_were_saved_by_accident_are_left_aside(tmp_path: Path) -> None:
    file = write_csm(weights_of(PLAIN), tmp_path, "sesame")
    masks = {"backbone_causal_mask": torch.ones(8, 8).bool(), "decoder_causal_mask": torch.ones(4, 4).bool()}
    rewrite(file, lambda tensors: tensors.update(masks))
    assert same(read_csm(tmp_path).tensors, weights_of(PLAIN).tensors)


def test_the_codec_beside_a_model_is_kept_apart_and_written_again(tmp_path: Path) -> None:
    codec = {"encoder.layers.0.conv.bias": torch.arange(3.0)}
    weights = replace(weights_of(PLAIN), codec_tensors=codec, codec_config={"model_type": "mimi", "codebook_size": 32})
    write_csm(weights, tmp_path, "transformers-csm")
    back = read_csm(tmp_path)
    assert same(back.codec_tensors, codec)
    assert back.codec_config == weights.codec_config
    assert same(back.tensors, weights.tensors)


@pytest.mark.parametrize("layout", FOREIGN)
def test_a_missing_an_unexpected_and_a_misshapen_tensor_name_themselves(layout: CsmLayout, tmp_path: Path) -> None:
    name = {"sesame": "projection.weight", "transformers-csm": "embed_text_tokens.weight"}[layout]
    for change, words in (
        (lambda tensors: tensors.pop(name), f"1 missing: {name}"),
        (lambda tensors: tensors.update({"stray.weight": torch.zeros(2)}), "1 unexpected: stray.weight"),
    ):
        rewrite(write_csm(weights_of(PLAIN), tmp_path, layout), change)
        with pytest.raises(LayoutMismatch, match=words):
            read_csm(tmp_path)
    rewrite(write_csm(weights_of(PLAIN), tmp_path, layout), lambda tensors: tensors.update({name: torch.zeros(3, 5)}))
    with pytest.raises(LayoutMismatch, match=r"is \(3, 5\), not"):
        read_csm(tmp_path)


def test_types_are_kept_or_cast_on_request(tmp_path: Path) -> None:
    write_csm(weights_of(PLAIN), tmp_path, "sesame", dtype=torch.bfloat16)
    assert load_csm(tmp_path).audio_head.dtype == torch.bfloat16
    assert load_csm(tmp_path, torch.float32).audio_head.dtype == torch.float32


@pytest.mark.parametrize("layout", FOREIGN)
def test_departures_stay_in_our_own_layout(layout: CsmLayout, tmp_path: Path) -> None:
    if layout == "sesame":  # the house's names; only the config needs a key of ours
        write_csm(weights_of(ALIGNED), tmp_path, layout)
        assert read_csm(tmp_path).config == ALIGNED
        return
    with pytest.raises(InputError, match="departs"):
        write_csm(weights_of(ALIGNED), tmp_path, layout)


def test_a_file_of_another_kind_is_named(tmp_path: Path) -> None:
    save_file({"some.weight": torch.zeros(2)}, tmp_path / "model.safetensors")
    with pytest.raises(LayoutMismatch, match="no CSM"):
        read_csm(tmp_path)
    own = {"duologue": json.dumps({"kind": "mimi", "config": {}})}
    save_file({"some.weight": torch.zeros(2)}, tmp_path / "model.safetensors", own)
    with pytest.raises(LayoutMismatch, match="'mimi'"):
        read_csm(tmp_path)
    save_file({"some.weight": torch.zeros(2)}, tmp_path / "model.safetensors", {"duologue": "no json"})
    with pytest.raises(WeightsDamaged):
        read_csm(tmp_path)


def test_sizes_come_from_the_tensors_if_there_is_no_config(tmp_path: Path) -> None:
    """A lone model.safetensors of Sesame's: heads have the released widths."""
    stack = replace(PLAIN.backbone, heads=4, kv_heads=2, head_width=64, max_positions=2048)
    depth = replace(PLAIN.depth, heads=2, kv_heads=1, head_width=128)
    scaling = CSM_1B.backbone.rope_scaling
    config = replace(
        PLAIN,
        backbone=replace(stack, rope_scaling=scaling),
        depth=replace(depth, rope_scaling=scaling),
        codec_entries=35,
    )
    write_csm(weights_of(config), tmp_path, "sesame")
    (tmp_path / "config.json").unlink()
    assert read_csm(tmp_path).config == config


def test_one_codebook_round_trips(tmp_path: Path) -> None:
    config = replace(PLAIN, num_codebooks=1)
    write_csm(weights_of(config), tmp_path / "one.safetensors", "duologue")
    assert read_csm(tmp_path / "one.safetensors").config == config


def test_a_checkpoint_can_be_looked_at_without_loading(tmp_path: Path) -> None:
    write_csm(weights_of(PLAIN), tmp_path, "sesame", dtype=torch.bfloat16)
    seen = open_checkpoint(tmp_path)
    assert seen.layout == "sesame"
    assert seen.tensors["audio_head"].dtype == "BF16"
    assert seen.shapes["audio_head"] == (3, 24, 35)
    assert sum(info.bytes for info in seen.tensors.values()) == 2 * sum(p.numel() for p in build(PLAIN).parameters())
