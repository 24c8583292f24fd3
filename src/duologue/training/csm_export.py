"""From a run to weights that speak: one safetensors file of averaged weights and a JSON that says what it is.

Tensor names are those of Csm (Sesame's own, plus the departures'); the config travels in the file's metadata.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import torch

from ..configuration import to_dict
from ..csm.model import Csm
from ..errors import LayoutMismatch
from ..text.units import UNITS
from ..weights.csm_files import CsmWeights, write_csm
from ..weights.sesame import csm_shapes
from .csm_recipe import CsmRecipe
from .start import Start

ACCENTS = {"a": "us", "b": "gb"}  # first letter of the teacher's voice names
# How the voice speaks unless asked otherwise; chosen on validation sentences (docs/log.md).
DEFAULT_SAMPLING = {
    "first": {"temperature": 0.3, "top_k": 10},
    "depth": {"temperature": 0.2, "top_k": 10},
    "advance": {"temperature": 0.4, "top_k": 0},
    "guidance": 2.0,
}


def export_csm(folder: Path, model: Csm, recipe: CsmRecipe, facts: dict[str, Any]) -> None:
    """Write `csm.safetensors` (float16) and `csm.json` into `folder`, each whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f".csm.{os.getpid()}.safetensors"
    write_csm(CsmWeights(recipe.model, dict(model.state_dict())), temporary, "duologue", torch.float16)
    temporary.replace(folder / "csm.safetensors")
    listing = {
        "voices": [
            {"name": name, "speaker": speaker, "accent": ACCENTS[name[0]]} for name, speaker in recipe.voices.items()
        ],
        "units": list(UNITS),
        "sampling": DEFAULT_SAMPLING,
        "training": {
            **facts,
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
            "date": time.strftime("%Y-%m-%d", time.gmtime()),
            "recipe": to_dict(recipe),
        },
    }
    temporary = folder / ".csm.json.tmp"
    temporary.write_text(json.dumps(listing, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    temporary.replace(folder / "csm.json")


def fitting(start: Start, recipe: CsmRecipe) -> dict[str, torch.Tensor]:
    """Tensors to start a run from instead of random ones. Raises LayoutMismatch if the recipe's model is another."""
    found, wanted = start.weights.tensors, csm_shapes(recipe.model)
    missing, unexpected = wanted.keys() - found.keys(), found.keys() - wanted.keys()
    misshapen = {name for name in wanted.keys() & found.keys() if tuple(found[name].shape) != tuple(wanted[name])}
    if missing or unexpected or misshapen:
        raise LayoutMismatch.of_keys(start.name, missing | misshapen, unexpected)
    return found
