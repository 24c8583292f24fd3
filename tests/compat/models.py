"""A tiny model in Sesame's form: one text column, an all-zero frame as the end, scaled rotary positions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

import duologue
from duologue.api import Model
from duologue.csm.config import RopeScaling
from duologue.csm.model import Csm
from duologue.engine.torch_engine import TorchEngine
from tests.tiny import tiny_csm_config, write_tiny_model

SCALING = RopeScaling(factor=32.0, low_factor=1.0, high_factor=4.0, original_positions=64)


def sesame_like(folder: Path) -> Model:
    """The tiny model of random weights, turned by Llama 3's rule, on the torch engine."""
    model = duologue.load(write_tiny_model(folder, aligned=False), device="cpu", engine="torch")
    config = tiny_csm_config(aligned=False)
    config = replace(
        config,
        backbone=replace(config.backbone, rope_scaling=SCALING),
        depth=replace(config.depth, rope_scaling=SCALING),
    )
    torch.manual_seed(3)
    csm = Csm(config)
    with torch.no_grad():
        for parameter in csm.parameters():
            parameter.mul_(4.0)  # far from uniform, so that what is read makes a difference
    return Model(model.card, TorchEngine(csm), model.codec, model.reader, model.voices)
