"""Training state on disk: one safetensors file a checkpoint, written whole or not at all. Knows no particular model.

A checkpoint holds tensors (weights, averaged weights, optimizer moments) and facts (step, data position, seconds used;
plain JSON). Random numbers are not stored: a loop seeds them from (seed, step), so the same step draws the same ones.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from ..errors import LayoutMismatch, WeightsDamaged
from .sharding import part_like, whole

Tensors = dict[str, torch.Tensor]


def save_checkpoint(folder: Path, step: int, tensors: Tensors, facts: Mapping[str, Any], keep: int = 2) -> Path:
    """Write `folder/step-NNNNNNNN.safetensors` durably, then drop all but the newest `keep` checkpoints.

    A crash at any moment leaves the earlier checkpoints readable and at most one stray .tmp file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"step-{step:08d}.safetensors"
    write_durably(
        path, {name: tensor.detach().contiguous() for name, tensor in tensors.items()}, {**facts, "step": step}
    )
    for old in checkpoints_in(folder)[:-keep]:
        old.unlink()
    return path


def write_durably(path: Path, tensors: Tensors, facts: Mapping[str, Any]) -> None:
    """Write to a temporary name, flush to the disk, rename, flush the folder. Facts go into the file as JSON."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    save_file(tensors, temporary, metadata={"facts": json.dumps(dict(facts), sort_keys=True)})
    _flush(temporary)
    temporary.replace(path)
    _flush(path.parent)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def checkpoints_in(folder: Path) -> list[Path]:
    """Checkpoints, oldest first."""
    return sorted(folder.glob("step-*.safetensors"))


def latest_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint, or None in a fresh run."""
    return next(iter(checkpoints_in(folder)[::-1]), None)


def load_checkpoint(path: Path) -> tuple[Tensors, dict[str, Any]]:
    """Read tensors and facts. Raises WeightsDamaged for a truncated or foreign file."""
    try:
        with safe_open(path, framework="pt") as stored:
            facts = json.loads((stored.metadata() or {})["facts"])
            return {name: stored.get_tensor(name) for name in stored.keys()}, facts  # noqa: SIM118
    except (SafetensorError, OSError, KeyError, json.JSONDecodeError) as error:
        raise WeightsDamaged(
            f"{path} is not a readable checkpoint: {error}.", hint="Delete it to use the one before."
        ) from error


def collect(
    modules: Mapping[str, nn.Module],
    optimizers: Mapping[str, torch.optim.Optimizer],
    without: Collection[str] = (),
    keep: bool = True,
) -> Tensors:
    """Gather the state of modules ("module.name.*") and optimizers ("optimizer.name.parameter-index.*").

    `without` names what is left out. Sharded tensors come whole; then all processes call it, and `keep` what they need.
    """
    found = {
        f"module.{name}.{key}": tensor
        for name, module in modules.items()
        for key, tensor in module.state_dict().items()
    }
    for name, optimizer in optimizers.items():
        for index, state in optimizer.state_dict()["state"].items():
            for key, value in state.items():
                found[f"optimizer.{name}.{index}.{key}"] = torch.as_tensor(value)
    copies = {name: whole(tensor, keep) for name, tensor in found.items() if name not in without}
    return copies if keep else {}


def restore(
    tensors: Tensors, modules: Mapping[str, nn.Module], optimizers: Mapping[str, torch.optim.Optimizer]
) -> None:
    """Put back what `collect` gathered, bit for bit. Raises LayoutMismatch if a module's tensors don't fit."""
    for name, module in modules.items():
        prefix = f"module.{name}."
        found = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
        wanted = module.state_dict()
        missing, unexpected = wanted.keys() - found.keys(), found.keys() - wanted.keys()
        misshapen = {key for key in wanted.keys() & found.keys() if wanted[key].shape != found[key].shape}
        if missing or unexpected or misshapen:
            raise LayoutMismatch.of_keys(f"the checkpoint's {name}", missing | misshapen, unexpected)
        module.load_state_dict({key: part_like(value, wanted[key]) for key, value in found.items()})
    for name, optimizer in optimizers.items():
        _restore_optimizer(tensors, f"optimizer.{name}.", optimizer)


def _restore_optimizer(tensors: Tensors, prefix: str, optimizer: torch.optim.Optimizer) -> None:
    state: dict[int, dict[str, torch.Tensor]] = {}
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for key, value in tensors.items():
        if key.startswith(prefix):
            index, field = key.removeprefix(prefix).split(".", 1)
            like = parameters[int(index)]
            state.setdefault(int(index), {})[field] = part_like(value, like) if value.ndim else value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


class AveragedWeights:
    """Exponential moving average of a module's floating-point tensors, kept in a second copy of the module.

    The decay grows from 0 to `decay` with the number of updates, so that early averages forget the random start.
    """

    def __init__(self, average: nn.Module, decay: float) -> None:
        self.module = average.eval().requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def update(self, source: nn.Module, step: int) -> None:
        """Take in the weights after optimizer step number `step` (from 1)."""
        decay = min(self.decay, step / (step + 10))
        pairs = zip(_floating(self.module), _floating(source), strict=True)
        moving = [(ours, theirs) for ours, theirs in pairs if ours is not theirs]  # frozen ones may be shared
        if moving:
            ours, theirs = map(list, zip(*moving, strict=True))
            torch._foreach_lerp_(ours, theirs, 1 - decay)


def _floating(module: nn.Module) -> list[torch.Tensor]:
    """Parameters and buffers that can be averaged, tied ones once."""
    return [tensor for tensor in (*module.parameters(), *module.buffers()) if tensor.is_floating_point()]
