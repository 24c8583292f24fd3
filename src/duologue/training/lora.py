"""Low-rank adapters: fine-tune a large model by a few small matrices, then fold them into its weights.

An adapted layer computes W x + (alpha / rank) * B A x with W frozen; B starts at zero, so that nothing changes at
first. Source: Hu et al. 2021, arXiv 2106.09685. Knows modules, no speech and no files.
"""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from ..csm.model import Csm
from ..errors import InputError

PROJECTIONS = ("q_proj", "k_proj", "v_proj", "output_proj", "w1", "w2", "w3", "projection")


@dataclass(frozen=True)
class LoraConfig:
    """Which layers are adapted and by how much. `whole` names parameters that are trained themselves (with * and ?)."""

    rank: int = 16
    alpha: float = 16.0
    targets: tuple[str, ...] = PROJECTIONS  # last part of a linear layer's name
    whole: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise InputError(f"A rank of {self.rank} adapts nothing.", hint="Use 4 to 64.", field="lora.rank")
        if not self.targets and not self.whole:
            raise InputError("Nothing would be trained.", hint="Name targets.", field="lora.targets")


class AdaptedLinear(nn.Module):
    """A frozen linear layer (…,in) to (…,out) with an adapter beside it."""

    def __init__(self, base: nn.Linear, rank: int, alpha: float) -> None:
        super().__init__()
        self.base = base
        self.scale = alpha / rank
        self.down = nn.Parameter(torch.empty(rank, base.in_features))
        self.up = nn.Parameter(torch.zeros(base.out_features, rank))
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        beside: torch.Tensor = F.linear(F.linear(x, self.down), self.up) * self.scale
        return self.base(x) + beside

    @torch.no_grad()
    def folded(self) -> torch.Tensor:
        """The one weight (out, in) that does the same."""
        return self.base.weight + self.scale * (self.up @ self.down).to(self.base.weight.dtype)


def add_adapters(model: nn.Module, config: LoraConfig) -> None:
    """Freeze a model, put adapters beside its target layers and free the parameters named in `whole`, in place.

    Raises InputError for a target or a name that the model doesn't have.
    """
    model.requires_grad_(False)
    found: set[str] = set()
    for name, module in list(model.named_modules()):
        path, _, last = name.rpartition(".")
        if last in config.targets and isinstance(module, nn.Linear):
            setattr(model.get_submodule(path), last, AdaptedLinear(module, config.rank, config.alpha))
            found.add(last)
    for pattern in config.whole:
        matching = [p for name, p in model.named_parameters() if fnmatch.fnmatch(name, pattern)]
        for parameter in matching:
            parameter.requires_grad_(True)
        if matching:
            found.add(pattern)
    missing = [name for name in (*config.targets, *config.whole) if name not in found]
    if missing:
        raise InputError(f"This model has no {', '.join(missing)} to adapt.", field="lora")


def adapters(model: nn.Module) -> Iterator[tuple[str, AdaptedLinear]]:
    """Every adapted layer with its name."""
    for name, module in model.named_modules():
        if isinstance(module, AdaptedLinear):
            yield name, module


@torch.no_grad()
def merged(model: Csm) -> Csm:
    """A plain model that speaks like `model` with its adapters; a model without any is copied."""
    folded = {f"{name}.weight": layer.folded() for name, layer in adapters(model)}
    inside = tuple(f"{name}." for name, _ in adapters(model))
    kept = {name: value for name, value in model.state_dict().items() if not name.startswith(inside)} if inside else {}
    plain = Csm(model.config)
    plain.load_state_dict({**kept, **folded} if inside else model.state_dict())
    return plain.eval()


def frozen_names(model: nn.Module) -> set[str]:
    """Parameters that training leaves as they were; none without adapters."""
    return {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
