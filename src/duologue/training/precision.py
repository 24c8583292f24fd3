"""In which precision a training loop multiplies matrices. Weights, losses and spectra stay float32 in either case.

A CPU with bfloat16 instructions (AVX-512-BF16, AMX, Arm's BF16) trains these models more than twice as fast with them.
A CPU without converts each operand in software and is several times *slower* than in float32; hence `auto`.
"""

from __future__ import annotations

from typing import Any, Literal

import torch

Precision = Literal["auto", "float32", "bfloat16"]


def multiplies_bfloat16() -> bool:
    """Whether this CPU is known to have instructions for bfloat16 products; older PyTorch can't tell."""
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return any(name.endswith("bf16") and present is True for name, present in capabilities.items())


def _suits(device: str) -> bool:
    return multiplies_bfloat16() if device == "cpu" else torch.cuda.is_bf16_supported(including_emulation=False)


def resolve(asked: Precision, device: str = "cpu") -> Literal["float32", "bfloat16"]:
    """What `asked` means on this machine's `device` (cpu or cuda)."""
    if asked == "auto":
        return "bfloat16" if _suits(device) else "float32"
    return asked


def autocast(asked: Precision, device: str = "cpu") -> torch.autocast:
    """Context in which matrix products run in the precision that `asked` means here."""
    return torch.autocast(device, dtype=torch.bfloat16, enabled=resolve(asked, device) == "bfloat16")


def explain(asked: Precision, device: str = "cpu") -> str:
    """The choice as a line for a run's log."""
    chosen, suits = resolve(asked, device), _suits(device)
    where = "CPU" if device == "cpu" else "GPU"
    if asked == "auto":
        return f"precision {chosen} (auto: bfloat16 instructions {'seen' if suits else 'not seen'} in this {where})"
    if chosen == "bfloat16" and not suits:
        return f"precision bfloat16, as asked; this {where} has no instructions for it, so it will be slow"
    return f"precision {chosen}, as asked"
