"""One model over several processes (PyTorch's FSDP2): each keeps a part of every weight, of its gradient and moments.

A layer's weights are gathered when it computes and let go again. What is written or measured is gathered tensor by
tensor. Everything here is called by all processes at the same moment. Knows modules, no speech.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeGuard

import torch
import torch.distributed as distributed
from torch import nn

from ..errors import InputError

if TYPE_CHECKING:
    from torch.distributed.tensor import DTensor  # importing it takes a second, so only runs with shards do


def shard(root: nn.Module, layers: Sequence[nn.Module], device: str = "cpu") -> None:
    """Share out the parameters of `root` in place, those of each of `layers` as a group of its own.

    Only a forward pass of `root` finds them whole. Gradients are *summed* over the processes, zeros where a process
    has none. Raises InputError without a second process.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import FSDPModule, fully_shard

    if not distributed.is_initialized() or distributed.get_world_size() < 2:
        raise InputError("One process has nobody to share weights with.", hint="Add --processes 2.", field="shard")
    mesh = init_device_mesh(device, (distributed.get_world_size(),))
    for module in (*layers, root):
        fully_shard(module, mesh=mesh)
        assert isinstance(module, FSDPModule)
        module.set_gradient_divide_factor(1.0)
        module.set_force_sum_reduction_for_comms(True)  # gloo has no other
        module.set_reduce_scatter_unused_params(True)


def copy_parts(model: nn.Module, twin: nn.Module) -> nn.Module:
    """Give `twin`, the same module without storage, this process's parts: frozen ones shared, others copied."""
    for name, parameter in model.named_parameters():
        path, _, last = name.rpartition(".")
        part = nn.Parameter(parameter.detach().clone()) if parameter.requires_grad else parameter
        setattr(twin.get_submodule(path), last, part)
    return twin


def gather_into(twin: nn.Module, model: nn.Module, keep: bool) -> nn.Module:
    """Give `twin` the whole weights of a model; a process that doesn't `keep` them helps, and its twin stays empty."""
    found = {name: whole(tensor, keep) for name, tensor in model.state_dict().items()}
    if keep:
        twin.load_state_dict(found, assign=True)
    return twin.requires_grad_(False).eval()


def is_part(tensor: torch.Tensor) -> TypeGuard[DTensor]:
    """Whether a tensor is shared out among processes."""
    return hasattr(tensor, "full_tensor")


@torch.no_grad()
def whole(tensor: torch.Tensor, keep: bool = True) -> torch.Tensor:
    """A copy of the whole of a tensor, an empty one where it isn't to be kept."""
    copy = tensor.full_tensor().detach() if is_part(tensor) else tensor.detach().clone()
    return copy if keep else copy.new_empty(0)


def part_like(tensor: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """This process's part of a whole tensor that all processes have, shared out as `like` is (if it is)."""
    if not is_part(like) or is_part(tensor):
        return tensor
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(tensor, like.device_mesh, like.placements, src_data_rank=None)


def norm_of_parts(parts: Sequence[torch.Tensor]) -> torch.Tensor:
    """The norm of sharded tensors together, in one message between the processes."""
    squared = nn.utils.get_total_norm([part.to_local() for part in parts if is_part(part)]) ** 2
    distributed.all_reduce(squared)
    return squared.sqrt()
