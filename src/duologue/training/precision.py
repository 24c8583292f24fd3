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


def resolve(asked: Precision) -> Literal["float32", "bfloat16"]:
    """What `asked` means on this machine."""
    if asked == "auto":
        return "bfloat16" if multiplies_bfloat16() else "float32"
    return asked


def autocast(asked: Precision) -> torch.autocast:
    """Context in which matrix products run in the precision that `asked` means here."""
    return torch.autocast("cpu", dtype=torch.bfloat16, enabled=resolve(asked) == "bfloat16")


def explain(asked: Precision) -> str:
    """The choice as a line for a run's log."""
    chosen = resolve(asked)
    if asked == "auto":
        seen = "seen" if multiplies_bfloat16() else "not seen"
        return f"precision {chosen} (auto: bfloat16 instructions {seen} in this CPU)"
    if chosen == "bfloat16" and not multiplies_bfloat16():
        return "precision bfloat16, as asked; this CPU has no instructions for it, so it will be slow"
    return f"precision {chosen}, as asked"
