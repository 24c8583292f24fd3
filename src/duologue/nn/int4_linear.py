"""Linear layers in four bits through torch's own CPU kernel. Knows no network.

Groups of 32 inputs share a scale and a zero, both bfloat16; activations are bfloat16 in the product. The kernel is a
private operation of torch's, so `int4_reason` says whether this torch has it in the form that is used here.
"""

from __future__ import annotations

import torch
from torch import nn

GROUP = 32
_ROWS = 16  # the kernel takes whole blocks of outputs


def int4_reason() -> str | None:
    """None if torch's int4 kernel can be used, else why not."""
    try:
        layer = Int4Linear(torch.eye(_ROWS, GROUP))
        got = layer(torch.ones(1, GROUP, dtype=torch.bfloat16))
    except (AttributeError, RuntimeError, NotImplementedError) as error:
        return f"torch {torch.__version__} has no int4 product for this CPU: {str(error).splitlines()[0]}"
    good = bool((got - 1).abs().max() < 0.05)
    return None if good else f"the int4 product of torch {torch.__version__} gives something else"


class Int4Linear(nn.Module):
    """x (…,inputs) to (…,outputs) without bias, in x's dtype."""

    packed: torch.Tensor
    scales_and_zeros: torch.Tensor

    def __init__(self, weight: torch.Tensor) -> None:
        """Round `weight` (outputs, inputs); see `fits`."""
        super().__init__()
        levels, scales_and_zeros = round_to_int4(weight.float())
        self.register_buffer("packed", torch.ops.aten._convert_weight_to_int4pack_for_cpu(levels, 1))
        self.register_buffer("scales_and_zeros", scales_and_zeros.to(torch.bfloat16).transpose(0, 1).contiguous())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        flat = x.reshape(-1, x.shape[-1]).to(torch.bfloat16)
        out: torch.Tensor = torch.ops.aten._weight_int4pack_mm_for_cpu(flat, self.packed, GROUP, self.scales_and_zeros)
        return out.reshape(*x.shape[:-1], -1).to(x.dtype)


def fits(weight: torch.Tensor) -> bool:
    """Whether the kernel takes a matrix of this size."""
    return weight.shape[0] % _ROWS == 0 and weight.shape[1] % GROUP == 0


def round_to_int4(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Levels 0-15 (outputs, inputs) int32, and (outputs, groups, 2): scale and zero; weight ~ (level - 8) scale + zero.

    Levels belong to scale and zero as they are kept, in bfloat16.
    """
    groups = weight.unflatten(1, (-1, GROUP))
    low, high = groups.amin(-1), groups.amax(-1)
    scale = ((high - low) / 15).clamp(min=1e-8).bfloat16().float()
    zero = (low + 8 * scale).bfloat16().float()
    levels = ((groups - zero[..., None]) / scale[..., None] + 8).round().clamp(0, 15)
    return levels.flatten(1).int(), torch.stack([scale, zero], dim=-1)


def rounded_linears(module: nn.Module) -> int:
    """Put an Int4Linear in the place of every bias-free nn.Linear that fits; returns how many."""
    count = 0
    for name, child in module.named_children():
        if isinstance(child, nn.Linear) and child.bias is None and fits(child.weight):
            setattr(module, name, Int4Linear(child.weight.detach()))
            count += 1
        else:
            count += rounded_linears(child)
    return count
