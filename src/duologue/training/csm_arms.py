"""Train several small speech models that differ in one thing, each for the same processor time, and compare them.

The arms take turns: the one that has used least time takes the next step, so that whatever else the machine does slows
all of them alike. Each arm's rate and curriculum follow its own share of the time. Measured on held-out items, every
codebook of every frame, with averaged weights. An arm that is finished is not trained again.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..configuration import from_dict
from ..errors import InputError
from .arms import Experiment, folder_of
from .checkpoints import latest_checkpoint, load_checkpoint, save_checkpoint
from .code_shards import load_items
from .csm_data import TurnRows, items_of_split
from .csm_loop import CsmTrainer
from .csm_recipe import CsmRecipe
from .csm_validation import Validation
from .loop_log import CurveLog, read_curves

LOOKS = 8  # how often each arm is measured; a killed one goes on from there
HELD_OUT_ITEMS = 32  # so that looking costs little beside learning


@dataclass
class Arm:
    """A recipe in training, and its curve: what was seen at each look."""

    trainer: CsmTrainer
    validation: Validation
    folder: Path
    curve: CurveLog

    def step(self, budget: float) -> None:
        """One step on the processor's clock; a look whenever another eighth of the budget is used."""
        began, before = time.process_time(), self.trainer.seconds
        self.trainer.step(min(1.0, before / budget))
        self.trainer.seconds += time.process_time() - began
        if int(LOOKS * self.trainer.seconds / budget) > int(LOOKS * before / budget):
            self.look()

    def look(self) -> None:
        """Measure, and keep what was learned."""
        trainer = self.trainer
        measured = self.validation(trainer.averaged())
        self.curve.append(trainer.step_number, seconds=trainer.seconds, **measured)
        tensors, facts = trainer.state()
        save_checkpoint(self.folder, trainer.step_number, tensors, facts, keep=1)
        told = " ".join(f"{name} {value:.3f}" for name, value in measured.items())
        print(f"{self.folder.name}: {trainer.seconds:.0f} s, step {trainer.step_number}, {told}", flush=True)


def compare_csm(experiment: Experiment, codes: Path, corpus: Path, run: Path) -> dict[str, Any]:
    """Figures of all arms. Raises InputError for a recipe or a corpus that doesn't fit."""
    budget = experiment.cpu_seconds
    if budget is None:
        raise InputError("Arms of speech models need cpu_seconds.", field="config")
    recipes = {
        name: from_dict(CsmRecipe, values, f"{experiment.name}: {name}") for name, values in experiment.arms.items()
    }
    arms = start_arms(recipes, codes, corpus, run)
    while waiting := [arm for arm in arms.values() if arm.trainer.seconds < budget]:
        min(waiting, key=lambda arm: arm.trainer.seconds).step(budget)
    return {name: figures(arm) for name, arm in arms.items()}


def start_arms(recipes: Mapping[str, CsmRecipe], codes: Path, corpus: Path, run: Path) -> dict[str, Arm]:
    """Every arm at its start, or where it was when its run was stopped."""
    items, _ = load_items(codes, corpus)
    known: dict[str, tuple[list[list[TurnRows]], list[list[TurnRows]]]] = {}
    arms = {}
    for name, recipe in recipes.items():
        reading = repr((recipe.voices, recipe.model))
        if reading not in known:
            train = items_of_split(items, "train", recipe.voices, recipe.model)
            held_out = items_of_split(items, "validation", recipe.voices, recipe.model)
            if not train or not held_out:
                raise InputError(f"{codes} has nothing to train on or nothing held out.", field="codes")
            known[reading] = train, held_out[:: -(-len(held_out) // HELD_OUT_ITEMS)]
        arms[name] = _start(recipe, *known[reading], folder_of(run, name))
    return arms


def _start(
    recipe: CsmRecipe, train: Sequence[Sequence[TurnRows]], held_out: Sequence[Sequence[TurnRows]], folder: Path
) -> Arm:
    trainer = CsmTrainer(recipe, train)
    newest = latest_checkpoint(folder)
    if newest is not None:
        trainer.load_state(*load_checkpoint(newest))
    return Arm(trainer, Validation(held_out, recipe), folder, CurveLog(folder / "curves.csv", trainer.step_number))


def figures(arm: Arm) -> dict[str, Any]:
    """What an arm cost and came to, and its curve on the way there."""
    rows = read_curves(arm.folder / "curves.csv")
    return {
        "steps": arm.trainer.step_number,
        "training_cpu_seconds": round(arm.trainer.seconds, 1),
        "hours_heard": round(arm.trainer.frames_seen * 0.08 / 3600, 2),
        "parameters": sum(p.numel() for p in arm.trainer.model.parameters()),
        **{name: round(value, 4) for name, value in rows[-1].items() if name not in ("step", "seconds")},
        "curve": [{name: round(value, 4) for name, value in row.items()} for row in rows],
    }
