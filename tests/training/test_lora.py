"""Adapters change nothing at first, learn without touching what they sit on, and fold into plain weights exactly."""

import copy
import json

import numpy as np
import pytest
import torch

from duologue.csm.frames import Segment, lay_out
from duologue.errors import InputError
from duologue.training.checkpoints import load_checkpoint, save_checkpoint
from duologue.training.code_shards import load_items
from duologue.training.csm_data import QUIET, items_of_split
from duologue.training.csm_loop import CsmTrainer
from duologue.training.csm_recipe import Optimization, load_recipe
from duologue.training.lora import AdaptedLinear, LoraConfig, adapters, add_adapters, frozen_names, merged

from .toy_corpus import MODEL, toy_recipe, write_toy_corpus

LORA = LoraConfig(rank=4, alpha=8.0, whole=("text_embeddings.weight",))


CALM = Optimization(peak_rate=1e-2, warmup_steps=2, dropout=0.0, average_decay=0.9)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return load_items(*write_toy_corpus(tmp_path_factory.mktemp("toy"), items=40))[0]


@pytest.fixture(scope="module")
def items(corpus):
    """Speech of a voice that `base` never heard."""
    return items_of_split(corpus, "train", {"bm_george": 1}, MODEL)


@pytest.fixture(scope="module")
def base(corpus):
    """A model that knows one voice."""
    recipe = toy_recipe(voices={"af_heart": 0}, optimization=CALM, augmentation=QUIET, frames_per_batch=300)
    trainer = CsmTrainer(recipe, items_of_split(corpus, "train", recipe.voices, MODEL))
    for step in range(120):
        trainer.step(step / 120)
    return trainer.model.eval()


@pytest.fixture(scope="module")
def tuned(base, items):
    """A trainer after 60 steps of adapting `base`, and its losses."""
    recipe = toy_recipe(lora=LORA, optimization=CALM, augmentation=QUIET, frames_per_batch=300)
    trainer = CsmTrainer(recipe, items, start=base.state_dict())
    rows = [trainer.step(step / 60) for step in range(60)]
    return trainer, [row["first"] for row in rows]


def hidden(model, items):
    turn = items[0][0]
    grid = lay_out(MODEL, [Segment(turn.text, turn.codes, turn.pointers)])
    with torch.no_grad():
        return model.hidden_states(torch.from_numpy(grid.rows)[None], torch.from_numpy(grid.positions)[None])


def test_fresh_adapters_change_nothing(base, items):
    model = copy.deepcopy(base)
    add_adapters(model, LORA)
    assert torch.equal(hidden(model, items), hidden(base, items))


def test_merged_weights_do_what_the_adapters_did(base, tuned, items):
    model = tuned[0].model.eval()
    plain = merged(model)
    assert not list(adapters(plain)) and plain.state_dict().keys() == base.state_dict().keys()
    torch.testing.assert_close(hidden(plain, items), hidden(model, items), atol=2e-5, rtol=1e-4)
    assert (hidden(plain, items) - hidden(base, items)).abs().max() > 0.05


def test_the_loss_falls_and_the_base_stays(base, tuned):
    trainer, losses = tuned
    assert np.mean(losses[-5:]) < 0.5 * np.mean(losses[:5])
    before = base.state_dict()
    inside = {f"{name}.base.weight": f"{name}.weight" for name, _ in adapters(trainer.model)}
    frozen = frozen_names(trainer.model)
    assert inside.keys() <= frozen and len(inside) == 7 * 3 + 1
    weights = trainer.model.state_dict()
    assert all(torch.equal(weights[name], before[inside.get(name, name)]) for name in frozen)
    assert not torch.equal(weights["text_embeddings.weight"], before["text_embeddings.weight"])


def test_a_checkpoint_holds_what_was_learned_and_resumes_bit_for_bit(base, tuned, items, tmp_path):
    trainer, _ = tuned
    tensors, facts = trainer.state()
    assert not any(".base." in name for name in tensors)
    saved = save_checkpoint(tmp_path, trainer.step_number, tensors, facts)
    fresh = CsmTrainer(trainer.recipe, items, start=base.state_dict())
    fresh.load_state(*load_checkpoint(saved))
    again = copy.deepcopy(trainer)
    assert again.step(1.0) == fresh.step(1.0)
    ours, theirs = again.state()[0], fresh.state()[0]
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_the_average_shares_what_is_frozen(tuned):
    trainer = tuned[0]
    ours, theirs = dict(trainer.model.named_parameters()), dict(trainer.average.module.named_parameters())
    frozen = frozen_names(trainer.model)
    assert all(ours[name] is theirs[name] for name in frozen)
    assert all(ours[name] is not theirs[name] for name in ours.keys() - frozen)


def test_a_name_that_isnt_there_is_refused(base):
    with pytest.raises(InputError, match="q_porj"):
        add_adapters(copy.deepcopy(base), LoraConfig(targets=("q_proj", "q_porj")))
    with pytest.raises(InputError, match="rank"):
        LoraConfig(rank=0)


def test_one_adapted_layer_by_hand():
    layer = AdaptedLinear(torch.nn.Linear(3, 2, bias=False), rank=1, alpha=2.0)
    with torch.no_grad():
        layer.down.copy_(torch.tensor([[1.0, 0.0, -1.0]]))
        layer.up.copy_(torch.tensor([[1.0], [3.0]]))
    x = torch.tensor([[5.0, 1.0, 2.0]])
    expected = layer.base(x) + 2.0 * 3.0 * torch.tensor([[1.0, 3.0]])
    torch.testing.assert_close(layer(x), expected)
    torch.testing.assert_close(x @ layer.folded().T, expected)


def test_recipes_for_fine_tuning_leave_the_model_to_its_start(tmp_path):
    for name in ("embedded_lora", "embedded_full", "csm1b_lora"):
        recipe = load_recipe(_recipe(name), MODEL, {"me": 4})
        assert recipe.model == MODEL and recipe.voices == {"me": 4} and (recipe.lora is None) == (name[-4:] == "full")
    other = tmp_path / "other.json"
    other.write_text(json.dumps({"model": {**_plain(MODEL), "num_codebooks": 2}}))
    with pytest.raises(InputError, match="another model"):
        load_recipe(other, MODEL, {"me": 4})


def _recipe(name):
    from pathlib import Path

    return Path(__file__).parents[2] / "recipes" / "fine_tune" / f"{name}.json"


def _plain(config):
    from duologue.configuration import to_dict

    return to_dict(config)
