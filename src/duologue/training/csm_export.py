"""From a run to weights that speak: one safetensors file of averaged weights and a JSON that says what it is.

Tensor names are those of Csm (Sesame's own, plus the departures'); the config travels in the file's metadata.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from ..configuration import to_dict
from ..csm.model import Csm
from ..errors import LayoutMismatch, WeightsDamaged
from ..text.units import UNITS
from .checkpoints import write_durably
from .csm_loop import CsmTrainer
from .csm_recipe import CsmRecipe

ACCENTS = {"a": "us", "b": "gb"}  # first letter of the teacher's voice names
# How the voice speaks unless asked otherwise; chosen on validation sentences (docs/log.md).
DEFAULT_SAMPLING = {
    "first": {"temperature": 0.7, "top_k": 40},
    "depth": {"temperature": 0.6, "top_k": 30},
    "advance": {"temperature": 0.7, "top_k": 0},
}


def export_csm(folder: Path, model: Csm, recipe: CsmRecipe, facts: dict[str, Any]) -> None:
    """Write `csm.safetensors` (float16) and `csm.json` into `folder`, each whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: tensor.to(torch.float16).contiguous() for name, tensor in model.state_dict().items()}
    write_durably(
        folder / "csm.safetensors", weights, facts, {"config": json.dumps(to_dict(recipe.model), sort_keys=True)}
    )
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


def load_weights(path: Path, trainer: CsmTrainer) -> None:
    """Start a run from exported weights instead of random ones. Raises LayoutMismatch if they don't fit."""
    try:
        with safe_open(path, framework="pt") as stored:
            found = {name: stored.get_tensor(name).float() for name in stored.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise WeightsDamaged(f"{path} holds no weights: {error}.", hint="Give a csm.safetensors file.") from error
    wanted = trainer.model.state_dict()
    missing, unexpected = wanted.keys() - found.keys(), found.keys() - wanted.keys()
    misshapen = {name for name in wanted.keys() & found.keys() if wanted[name].shape != found[name].shape}
    if missing or unexpected or misshapen:
        raise LayoutMismatch.of_keys(str(path), missing | misshapen, unexpected)
    trainer.model.load_state_dict(found)
    trainer.average.module.load_state_dict(found)
