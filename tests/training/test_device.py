"""Everything that a step of the speech model computes lies on one device, and the numbers are those of the CPU.

No GPU is needed, or used: see pretended_device.py. What a GPU itself does differently is not tested here.
"""

import contextlib

import pytest
import torch

from duologue.errors import InputError
from duologue.training import csm_loop
from duologue.training.batches import Stretch
from duologue.training.code_shards import load_items
from duologue.training.csm_data import QUIET, items_of_split, make_batch
from duologue.training.csm_loop import CsmTrainer, compute_losses
from duologue.training.csm_validation import Validation
from duologue.training.lora import LoraConfig
from duologue.training.parallel import Group

from .pretended_device import DEVICE, PretendedDevice, There
from .toy_corpus import MODEL, VOICES, toy_recipe


@pytest.fixture(scope="module")
def items(corpus):
    return items_of_split(load_items(*corpus)[0], "train", VOICES, MODEL)


@pytest.fixture
def elsewhere(monkeypatch):
    """A group on the pretended device, with what no pretended device has replaced by what means the same."""
    monkeypatch.setattr(csm_loop, "autocast", lambda *_: contextlib.nullcontext())
    monkeypatch.setattr(csm_loop, "build_optimizer", lambda model, recipe: torch.optim.AdamW(model.parameters(), 1e-3))
    monkeypatch.setattr(torch.__future__, "get_overwrite_module_params_on_conversion", lambda: True)
    group = Group()
    group.device = DEVICE
    with PretendedDevice():
        yield group


@pytest.mark.parametrize("lora", [None, LoraConfig(rank=2)], ids=["whole", "adapters"])
def test_steps_and_validation_run_on_the_device_and_equal_the_cpus(items, elsewhere, lora):
    recipe = toy_recipe(lora=lora)
    here, there = CsmTrainer(recipe, items), CsmTrainer(recipe, items, elsewhere)
    parameters = list(there.model.parameters())
    assert all(isinstance(each, There) and each.device == DEVICE for each in parameters)
    for _ in range(3):
        mine, theirs = here.step(0.1), there.step(0.1)
        assert theirs == pytest.approx(mine, rel=1e-5)
    validation = Validation(items[:3], recipe)
    assert validation(there.averaged()) == pytest.approx(validation(here.averaged()), rel=1e-5)


def test_a_batch_left_behind_is_refused(items, elsewhere):
    recipe = toy_recipe()
    trainer = CsmTrainer(recipe, items, elsewhere)
    batch = make_batch(items, [Stretch(0, 0, 1, items[0][0].frames)], MODEL, QUIET, "")
    with pytest.raises(RuntimeError, match="two devices"):
        compute_losses(trainer.model, batch, recipe.loss, recipe, None)


@pytest.mark.parametrize(("device", "why"), [("cuda", "GPUs"), ("tpu", "no training on 'tpu'")])
def test_a_device_that_is_not_there_is_refused(monkeypatch, device, why):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(InputError, match=why) as refused:
        Group(device)
    assert refused.value.field == "device"
