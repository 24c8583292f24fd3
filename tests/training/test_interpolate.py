"""Weights between two models."""

from dataclasses import replace

import pytest
import torch
from typer.testing import CliRunner

from duologue.cli.main import app
from duologue.csm.model import Csm
from duologue.errors import InputError
from duologue.training.interpolate import interpolate
from duologue.weights.csm_files import CsmWeights, load_csm, write_csm

from .toy_corpus import MODEL


@pytest.fixture
def models(tmp_path):
    paths = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        paths.append(tmp_path / f"{seed}.safetensors")
        write_csm(CsmWeights(MODEL, dict(Csm(MODEL).state_dict())), paths[-1], "duologue", torch.float16)
    return paths


def weights(path):
    return load_csm(path, torch.float32).state_dict()


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_every_weight_lies_between(models, tmp_path, share):
    mixed = weights(interpolate(*models, share, tmp_path / "new" / "mixed.safetensors"))
    first, second = map(weights, models)
    assert mixed.keys() == first.keys()
    for name, weight in mixed.items():
        wanted = (1 - share) * first[name] + share * second[name]
        torch.testing.assert_close(weight, wanted, atol=2e-4, rtol=1e-3)


def test_the_command_says_where(models, tmp_path):
    words = ["train", "interpolate", *map(str, models), "--out", str(tmp_path / "m.safetensors"), "--share", "0.5"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0 and "m.safetensors" in result.output.replace("\n", "")
    assert (tmp_path / "m.safetensors").exists()


def test_what_can_t_be_mixed_is_refused(models, tmp_path):
    with pytest.raises(InputError) as refused:
        interpolate(*models, 1.5, tmp_path / "m.safetensors")
    assert refused.value.field == "share"
    smaller = replace(MODEL, text_vocab=MODEL.text_vocab - 1)
    write_csm(CsmWeights(smaller, dict(Csm(smaller).state_dict())), tmp_path / "s.safetensors", "duologue")
    with pytest.raises(InputError, match="different sizes"):
        interpolate(models[0], tmp_path / "s.safetensors", 0.5, tmp_path / "m.safetensors")
