"""Several processes, one batch: the little of torch.distributed that a training loop needs. Knows no model.

Started by torchrun (or `--processes N`, which calls it). Each process works on its share of the global batch with loss
parts scaled to the global counts, so that the *sum* of gradients is the gradient of the whole batch.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Iterable

import torch
import torch.distributed as distributed
from torch import nn

from ..errors import InputError

PR_SET_PDEATHSIG = 1  # linux/prctl.h


class Group:
    """This process's place among its peers, and what it computes on; alone, every operation is the identity."""

    def __init__(self, device: str = "cpu") -> None:
        """`device`: cpu or cuda; each process of a machine takes a GPU of its own. Raises InputError without any."""
        self.rank = int(os.environ.get("RANK", "0"))
        self.size = int(os.environ.get("WORLD_SIZE", "1"))
        self.device = _own_device(device)
        if self.size > 1 and not distributed.is_initialized():
            end_with_launcher()
            distributed.init_process_group("gloo" if self.device.type == "cpu" else "cpu:gloo,cuda:nccl")

    @property
    def leads(self) -> bool:
        """Whether this process writes files and talks."""
        return self.rank == 0

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Add every process's gradients, in place and identically everywhere; a missing gradient counts as zero."""
        if self.size == 1:
            return
        wanted = list(parameters)
        for parameter in wanted:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        flat = torch.cat([parameter.grad.flatten() for parameter in wanted if parameter.grad is not None])
        distributed.all_reduce(flat)
        for parameter, part in zip(wanted, flat.split([each.numel() for each in wanted]), strict=True):
            parameter.grad = part.view_as(parameter)

    def sum(self, values: torch.Tensor) -> torch.Tensor:
        """The sum of a small tensor over all processes."""
        if self.size > 1:
            distributed.all_reduce(values)
        return values

    def agree(self, value: float) -> float:
        """The leader's value, everywhere (clocks differ; decisions must not)."""
        if self.size == 1:
            return value
        shared = torch.tensor([value], dtype=torch.float64)
        distributed.broadcast(shared, 0)
        return float(shared)

    def close(self) -> None:
        """Leave the group."""
        if self.size > 1 and distributed.is_initialized():
            distributed.destroy_process_group()


def _own_device(name: str) -> torch.device:
    if name == "cpu":
        return torch.device("cpu")
    if name != "cuda":
        raise InputError(f"There is no training on {name!r}.", hint="cpu or cuda.", field="device")
    mine, count = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
    if mine >= count:
        raise InputError(
            f"PyTorch sees {count} GPUs here.", hint="Use --device cpu, or fewer --processes.", field="device"
        )
    torch.cuda.set_device(mine)
    return torch.device("cuda", mine)


def end_with_launcher() -> None:
    """End this process when torchrun does, also by `kill -9`: left alone, it would write into a run resumed elsewhere.

    Linux only; other systems have no such signal.
    """
    if sys.platform == "linux":
        launcher = os.getppid()
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != launcher:  # it ended before the request
            os.kill(os.getpid(), signal.SIGKILL)


def mean_over_all(total: torch.Tensor, count: torch.Tensor) -> torch.Tensor:
    """`total` of this process over the mean `count` of all, at least one.

    Averaged over the processes, gradients of this are those of the mean over everything that all of them hold.
    """
    shared = count.detach().clone().float()
    if distributed.is_initialized():
        distributed.all_reduce(shared)
        shared /= distributed.get_world_size()
    return total / shared.clamp(min=1)


def everyones(rows: torch.Tensor) -> torch.Tensor:
    """Rows (M, C) of all processes, in the order of their ranks; all have equally many."""
    if not distributed.is_initialized():
        return rows
    parts = [torch.empty_like(rows) for _ in range(distributed.get_world_size())]
    distributed.all_gather(parts, rows.contiguous())
    return torch.cat(parts)


def relaunch(module: str, arguments: list[str], processes: int) -> None:
    """Replace this process by `processes` of them under torchrun, unless it is one of them already."""
    if processes > 1 and "RANK" not in os.environ:
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
        os.execv(sys.executable, [*command, "-m", "--", module, *arguments])  # "--": our options are not torchrun's
