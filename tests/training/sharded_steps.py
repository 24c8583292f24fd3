"""Run by two processes under torchrun: sharded trainers beside one that has everything. Writes what it found."""

import dataclasses
import json
import os
import sys
from pathlib import Path

import torch

from duologue.training.checkpoints import load_checkpoint, save_checkpoint
from duologue.training.code_shards import load_items
from duologue.training.csm_data import items_of_split
from duologue.training.csm_loop import CsmTrainer
from duologue.training.lora import frozen_names
from duologue.training.parallel import Group

from .test_csm_shards import ADAPTED, SETTINGS
from .toy_corpus import MODEL, VOICES, toy_recipe, write_toy_corpus


def alone() -> Group:
    group = Group()
    group.rank, group.size = 0, 1
    return group


def values(row):
    return [row[name] for name in ("first", "depth", "advance", "norm")]


def experiment(settings, items, group, folder):
    recipe = toy_recipe(**settings)
    whole, ours = CsmTrainer(recipe, items, alone()), CsmTrainer(recipe, items, group, sharded=True)
    rows_alone = [values(whole.step(step / 12)) for step in range(6)]
    rows = [values(ours.step(step / 12)) for step in range(6)]
    tensors, facts = ours.state()
    if group.leads:
        save_checkpoint(folder, ours.step_number, tensors, facts)
    torch.distributed.barrier()
    average = ours.averaged().state_dict()
    expected = whole.averaged().state_dict()
    again = CsmTrainer(dataclasses.replace(recipe), items, group, sharded=True)
    again.load_state(*load_checkpoint(next(folder.glob("*.safetensors"))))
    later = [[values(trainer.step(step / 12)) for step in range(6, 9)] for trainer in (ours, again)]
    ends = [trainer.state()[0] for trainer in (ours, again)]
    frozen = frozen_names(ours.model)
    lonely = [CsmTrainer(recipe, [[items[0][0]]], alone()), CsmTrainer(recipe, [[items[0][0]]], group, sharded=True)]
    lonely_rows = [[values(trainer.step(0.5)) for _ in range(2)] for trainer in lonely]
    parts = dict(ours.model.named_parameters()), dict(ours.average.module.named_parameters())
    told = {
        "rows": [each for row in rows for each in row],
        "rows_alone": [each for row in rows_alone for each in row],
        "rows_of_one_turn": [[each for row in rows for each in row] for rows in lonely_rows],
        "resumed_bit_for_bit": later[0] == later[1] and all(torch.equal(ends[0][n], ends[1][n]) for n in ends[0]),
        "average_like_alone": not group.leads
        or all(torch.allclose(average[name], expected[name], atol=2e-5) for name in expected),
        "frozen_is_shared": all(parts[0][name] is parts[1][name] for name in frozen),
        "base_in_checkpoint": any(".base." in name for name in tensors),
        "held": sum(p.to_local().numel() for p in parts[0].values()) / sum(p.numel() for p in parts[0].values()),
    }
    return {**told, "left_out": leaves_out_a_bad_step(ours)}


def leaves_out_a_bad_step(trainer):
    """One process's gradient is spoiled: neither process takes the step."""
    before = [parameter.to_local().clone() for parameter in trainer.model.parameters()]
    plain = trainer.losses.forward
    spoiling = float("nan") if trainer.group.leads else 1.0
    trainer.losses.forward = lambda *given: [part * spoiling for part in plain(*given)]
    trainer.step(0.5)
    trainer.losses.forward = plain
    after = [parameter.to_local() for parameter in trainer.model.parameters()]
    return trainer.skipped == 1 and all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def main():
    torch.set_num_threads(1)
    folder = Path(sys.argv[1])
    group = Group()
    codes = write_toy_corpus(folder / f"toy{group.rank}")
    items = items_of_split(load_items(*codes)[0], "train", VOICES, MODEL)
    kinds = {"plain": SETTINGS, "adapted": ADAPTED}
    told = {kind: experiment(settings, items, group, folder / kind) for kind, settings in kinds.items()}
    if group.leads:
        (folder / "told.json").write_text(json.dumps(told), encoding="utf-8")
    group.close()


if __name__ == "__main__":
    assert "RANK" in os.environ
    main()
