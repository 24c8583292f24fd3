"""A second device without hardware: tensors that say they lie on "meta", hold their numbers on the CPU, and refuse to
be computed with tensors that lie elsewhere, as a GPU's do. So a forgotten `.to(device)` shows without a GPU."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map_only

DEVICE = torch.device("meta")


class There(torch.Tensor):
    """A tensor of the pretended device."""

    held: torch.Tensor

    @staticmethod
    def __new__(cls, held: torch.Tensor) -> There:
        made = torch.Tensor._make_wrapper_subclass(
            cls, held.shape, strides=held.stride(), dtype=held.dtype, device=DEVICE, requires_grad=False
        )
        made.held = held
        return made

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return compute(func, args, kwargs or {})

    __torch_function__ = torch._C._disabled_torch_function_impl


class PretendedDevice(TorchDispatchMode):
    """While it is active, what is made on or sent to the device becomes `There`."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return compute(func, args, kwargs or {})


def compute(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Compute with what the tensors hold, on the device that they or `device=` name."""
    inputs = [leaf for leaf in tree_flatten((args, kwargs))[0] if isinstance(leaf, torch.Tensor)]
    there = [leaf for leaf in inputs if isinstance(leaf, There)]
    asked = kwargs.get("device")
    moves = func in (torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default)
    here = [leaf for leaf in inputs if not isinstance(leaf, There) and leaf.ndim]  # numbers may come from anywhere
    if there and here and not moves:
        raise RuntimeError(f"{func} was given tensors of two devices.")
    out_there = bool(there) if asked is None else torch.device(asked).type == DEVICE.type
    if asked is not None:
        kwargs = {**kwargs, "device": torch.device("cpu")}
    args, kwargs = tree_map_only(There, lambda leaf: leaf.held, (args, kwargs))
    out = func(*args, **kwargs)
    if func._schema.is_mutable and there:  # in place: what was given is what is returned, if anything is
        return inputs[0] if func._schema.returns else None
    return tree_map_only(torch.Tensor, There, out) if out_there else out
