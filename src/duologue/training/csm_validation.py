"""Held-out losses of a CSM, and how much of the text it uses. Knows no training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from ..csm.loss import LossWeights
from ..csm.model import Csm
from .batches import BatchPlan, Cursor, Phase
from .csm_data import QUIET, TurnRows, make_batch, shuffled_text
from .csm_loop import compute_losses, counts
from .csm_recipe import CsmRecipe

LONGEST_FRAMES = 375  # 30 s


class Validation:
    """Fixed held-out batches: whole items with their context, no noise, once with their text and once with others'."""

    def __init__(self, items: Sequence[Sequence[TurnRows]], recipe: CsmRecipe) -> None:
        self.recipe = replace(recipe, depth_fraction=1.0)
        phase = Phase(1.0, LONGEST_FRAMES, single_share=0.0)
        plan = BatchPlan([[turn.frames for turn in item] for item in items], [phase], recipe.frames_per_batch, 0)
        true, other, cursor = [], [], Cursor()
        strangers = shuffled_text(items, seed=0)
        while cursor.epoch == 0:
            stretches = plan.next(cursor, 0.0)
            if cursor.epoch == 0:
                true.append(make_batch(items, stretches, recipe.model, QUIET, "0"))
                other.append(make_batch(strangers, stretches, recipe.model, QUIET, "0"))
        self.true, self.other = true, other

    @torch.no_grad()
    def __call__(self, model: Csm) -> dict[str, float]:
        """Mean cross-entropies in nats; text_gain is what codebook 0 costs more with somebody else's text."""
        model.eval()
        means = self._means(model, shuffled=False)
        first_other = self._means(model, shuffled=True)["first"]
        return {
            "val_first": means["first"],
            "val_depth": means["depth"],
            "val_advance": means["advance"],
            "text_gain": first_other - means["first"],
        }

    def _means(self, model: Csm, shuffled: bool) -> dict[str, float]:
        sums = {"first": 0.0, "depth": 0.0, "advance": 0.0}
        totals = dict.fromkeys(sums, 0.0)
        weights, device = LossWeights(), next(model.parameters()).device
        for batch in self.other if shuffled else self.true:
            losses = compute_losses(model, batch.to(device), weights, self.recipe, None)
            first, depth, advance = counts(batch, self.recipe.model, weights)
            for name, count in (("first", first), ("depth", depth), ("advance", advance)):
                sums[name] += float(getattr(losses, name)) * count
                totals[name] += count
        return {name: sums[name] / max(1.0, totals[name]) for name in sums}
