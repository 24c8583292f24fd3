"""Our CSM and transformers' are the same function: logits, greedy speech, files, losses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from duologue.csm.frames import Segment, lay_out
from duologue.csm.loss import collate, csm_losses
from duologue.csm.model import Csm
from duologue.engine.torch_engine import TorchEngine
from duologue.evaluation import parity_csm
from duologue.weights.csm_files import CsmWeights, build_csm, read_csm, write_csm
from duologue.weights.transformers_csm import from_file, split_codec

CONFIG = parity_csm.SIZES["small"]
PROMPTS = parity_csm.prompts(CONFIG)
FRAMES = 64


@pytest.fixture(scope="module")
def reference() -> Any:
    return parity_csm.build_reference(CONFIG, parity_csm.SMALL_CODEC)


@pytest.fixture(scope="module")
def ours(reference: Any) -> Csm:
    return parity_csm.build_ours(reference, CONFIG)


@pytest.mark.parametrize("together", [False, True], ids=["alone", "in a batch"])
def test_logits_agree_and_greedy_speech_is_identical(together: bool, reference: Any, ours: Csm) -> None:
    comparisons = parity_csm.compare(reference, ours, PROMPTS, FRAMES, together)
    assert [found.prompt for found in comparisons] == ["single turn", "text turns", "two speakers' audio"]
    for found in comparisons:
        assert found.frames == FRAMES
        assert found.distinct_frames > FRAMES // 2
        assert found.differing_codes == 0
        assert found.backbone_logits < 1e-4
        assert found.depth_logits < 1e-4


@pytest.fixture(scope="module")
def saved(reference: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What transformers itself writes, in shards."""
    folder = tmp_path_factory.mktemp("saved")
    reference.save_pretrained(folder, max_shard_size="200KB")
    assert (folder / "model.safetensors.index.json").exists()
    return folder


def test_transformers_loads_what_we_save_and_says_the_same(saved: Path, tmp_path: Path) -> None:
    weights = read_csm(saved)
    write_csm(weights, tmp_path, "transformers-csm")
    loaded, report = transformers.CsmForConditionalGeneration.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(report[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys", "error_msgs"))
    engine = TorchEngine(build_csm(CsmWeights(CONFIG, weights.tensors)))
    inputs, segments = zip(*(parity_csm._their_inputs(loaded, turns) for turns in PROMPTS.values()), strict=True)
    theirs = parity_csm._their_speech(loaded.eval(), inputs, 16)
    spoken = parity_csm._our_speech(engine, segments, 16)
    assert all(np.array_equal(left, right) for left, right in zip(theirs, spoken, strict=True))


def test_we_load_what_transformers_saves(saved: Path, reference: Any) -> None:
    back = read_csm(saved)
    tensors, codec = split_codec(reference.state_dict())
    wanted = from_file(tensors, CONFIG)
    assert back.config == replace(CONFIG, codec_entries=64)
    assert back.tensors.keys() == wanted.keys()
    assert all(torch.equal(back.tensors[name], wanted[name]) for name in wanted)
    assert len(back.codec_tensors) == len(codec)  # transformers names them otherwise in memory than on disk


def test_training_losses_agree(reference: Any, ours: Csm) -> None:
    """Their labels for every frame and EOS of two turns, against our losses of the same."""
    turns = [
        parity_csm.Turn(t.text, w.wav)
        for t, w in zip(PROMPTS["text turns"], PROMPTS["two speakers' audio"], strict=False)
    ]
    turns = turns[:2]
    inputs, segments = parity_csm._their_inputs(reference, turns)
    ids = inputs["input_ids"]
    config = reference.config
    labels = torch.where((ids == config.audio_token_id) | (ids == config.audio_eos_token_id), ids, -100)
    with torch.inference_mode():
        theirs = reference(**inputs, labels=labels)
        found = csm_losses(ours, collate([lay_out(CONFIG, [Segment(s.text, s.codes) for s in segments])]))
    torch.testing.assert_close(found.first, theirs.backbone_loss, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found.depth, theirs.depth_decoder_loss, rtol=1e-5, atol=1e-5)
