"""How a CSM is trained: every figure of a run in one strict config, stored beside the run. Knows no tensors."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..configuration import from_dict, to_dict
from ..csm.config import CsmConfig
from ..csm.loss import LossWeights
from ..errors import InputError
from .batches import Phase
from .csm_data import Augmentation
from .lora import LoraConfig
from .precision import Precision


@dataclass(frozen=True)
class Optimization:
    """AdamW with linear warm-up and a cosine to `final_share` of the peak rate at the end of the budget."""

    peak_rate: float = 1e-3
    warmup_steps: int = 400
    final_share: float = 0.03
    betas: tuple[float, ...] = (0.9, 0.95)
    weight_decay: float = 0.1  # on matrices; never on embeddings and scales
    clip: float = 1.0
    average_decay: float = 0.999
    dropout: float = 0.1  # on what each attention and feed-forward adds
    spike: float = 8.0  # a step whose gradient is so many times the recent median is left out

    def rate(self, step: int, progress: float) -> float:
        """Learning rate of step number `step` (from 0) at `progress` in 0..1 of the budget."""
        cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, max(0.0, progress))))
        share = self.final_share + (1 - self.final_share) * cosine
        return self.peak_rate * share * min(1.0, (step + 1) / max(1, self.warmup_steps))


@dataclass(frozen=True)
class CsmRecipe:
    """A whole run: the model's sizes, the voices, the curriculum, the loss and the optimiser."""

    model: CsmConfig
    voices: dict[str, int]  # teacher voice to speaker id
    phases: tuple[Phase, ...] = (Phase(1.0, 375),)
    augmentation: Augmentation = field(default_factory=Augmentation)
    loss: LossWeights = field(default_factory=LossWeights)
    depth_fraction: float = 0.25
    frames_per_batch: int = 1400
    optimization: Optimization = field(default_factory=Optimization)
    precision: Precision = "auto"  # of the matrix products; weights and losses stay float32
    validate_every: int = 400  # steps
    checkpoint_minutes: float = 4.0
    seed: int = 1
    lora: LoraConfig | None = None  # adapters instead of whole weights

    def __post_init__(self) -> None:
        if not self.phases or self.phases[-1].until < 1:
            raise InputError("The last phase should last until 1.", field="phases")


def load_recipe(path: Path, model: CsmConfig | None = None, voices: dict[str, int] | None = None) -> CsmRecipe:
    """Read a recipe's JSON. Raises InputError naming the key that is unknown, missing or mistyped.

    `model` and `voices` stand for those that a recipe for fine-tuning leaves out; it can't name another model.
    """
    values = read_values(path)
    if voices is not None:
        values.setdefault("voices", voices)
    if model is not None:
        values.setdefault("model", to_dict(model))
    recipe = from_dict(CsmRecipe, values, path.name)
    if model is not None and recipe.model != model:
        raise InputError(
            f"{path.name} describes another model than the one to start from.",
            hint="Leave `model` out of a recipe for fine-tuning.",
            field="model",
        )
    return recipe


def read_values(path: Path) -> dict[str, Any]:
    """The JSON of a recipe."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is no readable recipe: {error}.", field="config") from error
    if not isinstance(values, dict):
        raise InputError(f"{path} should hold a mapping.", field="config")
    return values
