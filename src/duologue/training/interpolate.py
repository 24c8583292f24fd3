"""Weights between two speech models of one line of training: often better on held-out speech than either.

A short run from a finished model gains on what is new and loses some of the old; weights on the way between both keep
most of each (WiSE-FT, arXiv 2109.01903). Only models of which one was trained on from the other can be mixed so.
"""

from __future__ import annotations

from pathlib import Path

import torch

from ..errors import InputError
from ..weights.csm_files import CsmWeights, load_csm, write_csm


def interpolate(first: Path, second: Path, share: float, out: Path) -> Path:
    """Write `share` of the second's weights and the rest of the first's, in float16. Returns the file's path.

    Raises InputError for a share outside 0 to 1 and for models of different sizes.
    """
    if not 0.0 <= share <= 1.0:
        raise InputError(f"The share should be 0 to 1, not {share}.", field="share")
    ours, theirs = load_csm(first, torch.float32), load_csm(second, torch.float32)
    if ours.config != theirs.config:
        raise InputError(f"{first} and {second} are models of different sizes.", field="second")
    others = theirs.state_dict()
    mixed = {name: torch.lerp(weight, others[name], share) for name, weight in ours.state_dict().items()}
    out.parent.mkdir(parents=True, exist_ok=True)
    return write_csm(CsmWeights(ours.config, mixed), out, "duologue", torch.float16)
