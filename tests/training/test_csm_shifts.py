"""Shifted copies are the same speech cut elsewhere; the loss weighs what it is told to weigh."""

import pytest
import torch

from duologue.csm.loss import Batch, LossWeights, csm_losses
from duologue.csm.model import Csm
from duologue.training.batches import Stretch
from duologue.training.code_shards import load_items
from duologue.training.csm_data import QUIET, items_of_split, make_batch
from duologue.training.shifted_codes import shifted

from .toy_corpus import MODEL, VOICES, write_toy_corpus

TURN = {"durations": [4, 3, 5, 0], "start": 6000, "samples": 7200, "voice": "af_heart"}


@pytest.mark.parametrize(("units", "cut"), [(1, 1), (3, 3), (9, 4)])
def test_a_shift_cuts_silence_only_and_keeps_the_end(units, cut):
    moved = shifted(TURN, units)
    assert moved["durations"] == [4 - cut, 3, 5, 0]
    assert moved["start"] + moved["samples"] == TURN["start"] + TURN["samples"]
    assert sum(moved["durations"]) * 600 == moved["samples"]
    assert TURN["durations"] == [4, 3, 5, 0]


@pytest.fixture(scope="module")
def batch(tmp_path_factory) -> Batch:
    codes, corpus = write_toy_corpus(tmp_path_factory.mktemp("toy"), items=8)
    items = items_of_split(load_items(codes, corpus)[0], "train", VOICES, MODEL)
    return make_batch(items, [Stretch(0, 0, 1, 0), Stretch(1, 0, 1, 0)], MODEL, QUIET, "s").batch


def test_a_falling_weight_leaves_the_first_depth_codebook_most(batch):
    torch.manual_seed(0)
    model = Csm(MODEL)
    model.audio_head.data[0] *= 40.0  # the first depth codebook is now far worse than the second
    with torch.no_grad():
        even, falling = (csm_losses(model, batch, LossWeights(depth_decay=decay)).depth.item() for decay in (1.0, 0.1))
    assert falling > 1.2 * even
