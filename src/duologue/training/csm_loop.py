"""The training loop of a CSM: one step, validation, checkpoints that resume bit for bit. Knows no files but its run's.

A step's random numbers follow from (seed, step, rank), its batch from the data cursor; both are in the checkpoint, so
a run that was killed takes the very steps it would have taken.
"""

from __future__ import annotations

import contextlib
import copy
import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from ..csm.config import CsmConfig
from ..csm.loss import Losses, LossWeights, csm_losses
from ..csm.model import Csm
from ..errors import DuologueError
from ..nn.llama import Attention, FeedForward
from .batches import BatchPlan, Cursor
from .checkpoints import AveragedWeights, Tensors, collect, restore
from .csm_data import TrainingBatch, TurnRows, make_batch, part_of_batch
from .csm_recipe import CsmRecipe
from .lora import add_adapters, frozen_names
from .parallel import Group
from .precision import autocast
from .sharding import copy_parts, gather_into, norm_of_parts, shard

Items = Sequence[Sequence[TurnRows]]
MAX_SKIPPED = 20  # steps left out in a row before giving up


class CsmTrainer:
    """Everything that changes during a run. `state` and `load_state` carry it through a checkpoint."""

    def __init__(
        self,
        recipe: CsmRecipe,
        items: Items,
        group: Group | None = None,
        start: Tensors | None = None,
        sharded: bool = False,
    ) -> None:
        """`start` holds the weights to go on from (the house's names); without it they are random.

        `sharded`: the processes of the group share out the weights too, not only the work.
        """
        self.recipe = recipe
        self.items = items
        self.group = group or Group()
        self.sharded = sharded
        torch.manual_seed(recipe.seed)
        self.model = Csm(recipe.model)
        if start is not None:
            self.model.load_state_dict(start)
        if recipe.lora is not None:
            add_adapters(self.model, recipe.lora)
        self.model.to(self.group.device)
        self.losses = LossOf(self.model, recipe)
        self.average = AveragedWeights(self._second_copy(), recipe.optimization.average_decay)
        add_dropout(self.model, recipe.optimization.dropout)
        self.optimizer = build_optimizer(self.model, recipe)
        frames = [[turn.frames for turn in item] for item in items]
        self.plan = BatchPlan(frames, recipe.phases, recipe.frames_per_batch, recipe.seed)
        self.cursor = Cursor()
        self.step_number = 0
        self.skipped = 0
        self.norms: list[float] = []
        self.frames_seen = 0
        self.seconds = 0.0

    def _second_copy(self) -> nn.Module:
        """A copy of the model to average in, what is frozen shared with it; before that, parts are dealt out."""
        if self.sharded:
            layers = [*self.model.backbone.layers, *self.model.decoder.layers]
            shard(self.losses, layers, self.group.device.type)
            return copy_parts(self.model, blank(self.recipe))
        still = {id(parameter): parameter for parameter in self.model.parameters() if not parameter.requires_grad}
        return copy.deepcopy(self.model, still)

    def averaged(self) -> Csm:
        """The averaged weights as one model. With shards all processes call this and only the leader's has weights."""
        if not self.sharded:
            return cast(Csm, self.average.module)
        return cast(Csm, gather_into(blank(self.recipe), self.average.module, self.group.leads))

    def step(self, progress: float) -> dict[str, float]:
        """One optimizer step on the next global batch. Returns the batch's mean losses, rate and gradient norm."""
        recipe = self.recipe
        stretches = self.plan.next(self.cursor, progress)
        whole = make_batch(
            self.items, stretches, recipe.model, recipe.augmentation, f"{recipe.seed} {self.step_number}"
        )
        rate = recipe.optimization.rate(self.step_number, progress)
        self.optimizer.zero_grad()
        losses = self._backward(whole)
        norm = self._gather_gradients()
        if self._sane(norm):
            for options in self.optimizer.param_groups:
                options["lr"] = rate
            self.optimizer.step()
            self.average.update(self.model, self.step_number + 1)
        self.step_number += 1
        self.frames_seen += whole.frames
        return {**losses, "rate": rate, "norm": norm, "frames": float(whole.frames)}

    def _backward(self, whole: TrainingBatch) -> dict[str, float]:
        """Accumulate this process's part of the global gradient; return the global mean losses."""
        recipe, group = self.recipe, self.group
        mine = part_of_batch(whole, group.rank, group.size) if group.size > 1 else whole
        shares = [1.0, 1.0, 1.0]
        if group.size > 1:
            ours, all_of_them = counts(mine, recipe.model, recipe.loss), counts(whole, recipe.model, recipe.loss)
            shares = [part / max(total, 1e-9) for part, total in zip(ours, all_of_them, strict=True)]
        seed = hash((recipe.seed, self.step_number, group.rank)) & 0x7FFFFFFF
        torch.manual_seed(seed)
        weights = replace(
            recipe.loss,
            first=recipe.loss.first * shares[0],
            depth=recipe.loss.depth * shares[1],
            advance=recipe.loss.advance * shares[2],
        )
        sums = torch.zeros(3)
        if self.sharded and not mine.frames:  # layers are gathered by all: the others' work, counted as nothing
            mine = part_of_batch(whole, 0, group.size)
        if mine.frames:
            total, *parts = self.losses(mine.to(group.device), weights, torch.Generator().manual_seed(seed))
            total.backward()
            sums = torch.stack(parts).detach().cpu() * torch.tensor(shares)
        first, depth, advance = group.sum(sums).tolist()
        return {"first": first, "depth": depth, "advance": advance}

    def _gather_gradients(self) -> float:
        """Sum gradients over the processes (shards are summed already), clip them, return their norm before that."""
        trained = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        if not self.sharded:
            self.group.sum_gradients(trained)
        gradients = [parameter.grad for parameter in trained if parameter.grad is not None]
        norm = norm_of_parts(gradients) if self.sharded else nn.utils.get_total_norm(gradients)
        nn.utils.clip_grads_with_norm_(trained, self.recipe.optimization.clip, norm)
        return float(norm)

    def _sane(self, norm: float) -> bool:
        """Whether a step with this gradient should be taken. Raises after too many in a row that shouldn't."""
        usual = statistics.median(self.norms) if len(self.norms) >= 50 else math.inf
        if math.isfinite(norm) and norm <= self.recipe.optimization.spike * usual:
            self.norms = [*self.norms[-199:], norm]
            self.skipped = 0
            return True
        self.skipped += 1
        if self.skipped > MAX_SKIPPED:
            raise DuologueError(
                f"{self.skipped} steps in a row had gradients out of range (the last norm is {norm:.3g}).",
                hint="Resume from the checkpoint with a lower peak_rate.",
            )
        return False

    def state(self) -> tuple[Tensors, dict[str, Any]]:
        """Tensors and facts that a checkpoint holds; with shards all processes ask and the leader gets the tensors."""
        modules = {"model": self.model, "average": self.average.module}
        keep = self.group.leads or not self.sharded
        tensors = collect(modules, {"adamw": self.optimizer}, self._frozen(), keep)
        facts = {
            "cursor": asdict(self.cursor),
            "norms": self.norms,
            "skipped": self.skipped,
            "frames_seen": self.frames_seen,
            "seconds": self.seconds,
        }
        return tensors, facts

    def load_state(self, tensors: Tensors, facts: dict[str, Any]) -> None:
        """Go on where `state` was taken."""
        whole = {**self._frozen(), **tensors}
        restore(whole, {"model": self.model, "average": self.average.module}, {"adamw": self.optimizer})
        self.step_number = facts["step"]
        self.cursor = Cursor(**facts["cursor"])
        self.norms, self.skipped = facts["norms"], facts["skipped"]
        self.frames_seen, self.seconds = facts["frames_seen"], facts["seconds"]

    def _frozen(self) -> Tensors:
        """What adapters leave as it was, under its names in a checkpoint, which doesn't hold it."""
        weights = self.model.state_dict()
        names = frozen_names(self.model)
        return {f"module.{kind}.{name}": weights[name] for kind in ("model", "average") for name in names}


class LossOf(nn.Module):
    """A model and what is computed on it as one forward pass, which is where shards are gathered."""

    def __init__(self, model: Csm, recipe: CsmRecipe) -> None:
        super().__init__()
        self.model, self.recipe = model, recipe

    def forward(
        self, batch: TrainingBatch, weights: LossWeights, generator: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """The weighted total; the means of codebook 0, the others, the advance."""
        losses = compute_losses(self.model, batch, weights, self.recipe, generator)
        return losses.total, losses.first, losses.depth, losses.advance


def blank(recipe: CsmRecipe) -> Csm:
    """A recipe's model, adapters and all, without storage."""
    with torch.device("meta"):
        model = Csm(recipe.model)
        if recipe.lora is not None:
            add_adapters(model, recipe.lora)
    return model


def compute_losses(
    model: Csm, batch: TrainingBatch, weights: LossWeights, recipe: CsmRecipe, generator: torch.Generator | None
) -> Losses:
    """Losses in the recipe's precision, on the batch's device.

    On CPUs attention runs as plain matrix products: for these short sequences that is two to three times faster than
    the fused kernel, whose backward pass takes half of a step.
    """
    device = batch.inputs.device.type
    torch.backends.cuda.allow_fp16_bf16_reduction_math_sdp(True)  # despite its name, for CPUs too
    plain = sdpa_kernel(SDPBackend.MATH) if device == "cpu" else contextlib.nullcontext()
    with autocast(recipe.precision, device), plain:
        return csm_losses(
            model,
            batch.batch,
            weights,
            depth_fraction=recipe.depth_fraction,
            generator=generator,
            inputs=batch.inputs,
        )


def counts(batch: TrainingBatch, config: CsmConfig, weights: LossWeights) -> tuple[float, float, float]:
    """What the means of codebook 0, of the depth stage and of the advance are taken over, as far as proportions go."""
    ahead = batch.batch.rows[:, 1:, 0]
    trained = batch.batch.trained[:, :-1] & (ahead >= 0)
    ended = (trained & (ahead == config.eos_code)).sum() if config.eos == "code" else torch.tensor(0)
    frames = int(trained.sum())
    moves = (trained & (batch.batch.advance[:, :-1] >= 0)).sum()
    return frames + (weights.eos - 1) * int(ended), float(frames - int(ended)), float(moves)


def build_optimizer(model: nn.Module, recipe: CsmRecipe) -> torch.optim.Optimizer:
    """AdamW that decays matrices, but neither embeddings nor scales."""
    tables = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}
    trained = [p for p in model.parameters() if p.requires_grad]
    decayed = [p for p in trained if p.ndim >= 2 and id(p) not in tables]
    plain = [p for p in trained if p.ndim < 2 or id(p) in tables]
    options = recipe.optimization
    groups = [{"params": decayed, "weight_decay": options.weight_decay}, {"params": plain, "weight_decay": 0.0}]
    first, second = options.betas
    return torch.optim.AdamW(groups, lr=options.peak_rate, betas=(first, second), fused=True)


def add_dropout(model: nn.Module, share: float) -> None:
    """Drop a share of what every attention and feed-forward adds, in training mode only."""
    if share <= 0:
        return
    for module in model.modules():
        if isinstance(module, Attention | FeedForward):
            module.register_forward_hook(lambda owner, _, out: F.dropout(out, share, owner.training))
