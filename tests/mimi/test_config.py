"""Sizes come from the config, and the released model's are right."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from duologue.configuration import from_dict, to_dict
from duologue.errors import InputError
from duologue.mimi.codec import Mimi
from duologue.mimi.config import MIMI, MimiConfig, QuantizerConfig, SeanetConfig, TransformerConfig


def test_the_released_sizes_give_the_released_model():
    with torch.device("meta"):
        codec = Mimi(MIMI)
    counts = {name: sum(p.numel() for p in part.parameters()) for name, part in codec.named_children()}
    assert counts == {
        "encoder": 12_628_256,
        "encoder_transformer": 25_190_400,
        "downsample": 1_048_576,
        "quantizer": 524_288,
        "upsample": 2_048,
        "decoder_transformer": 25_190_400,
        "decoder": 14_724_641,
    }
    values = codec.state_dict().values()
    assert len(values) == 318 and sum(value.numel() for value in values) == 96_151_393


def test_the_released_time_base():
    assert (MIMI.rate_hz, MIMI.hop_samples, MIMI.frame_samples) == (24_000, 960, 1_920)
    assert [MIMI.frames_covering(samples) for samples in (1, 1920, 1921)] == [1, 1, 2]


def test_a_config_survives_json():
    assert from_dict(MimiConfig, to_dict(MIMI)) == MIMI


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: QuantizerConfig(codebooks=1),
        lambda: QuantizerConfig(entries=0),
        lambda: QuantizerConfig(codebooks=10**9),
        lambda: SeanetConfig(ratios=()),
        lambda: SeanetConfig(ratios=(8, 0)),
        lambda: SeanetConfig(filters=5),
        lambda: TransformerConfig(layers=10**6),
        lambda: MimiConfig(width=30),
        lambda: dataclasses.replace(MIMI, frontend="spectral"),
        lambda: dataclasses.replace(MIMI, seanet=None),
    ],
)
def test_sizes_that_cannot_be_are_refused(wrong):
    with pytest.raises(InputError):
        wrong()
