"""The model card of a run: what was learned from what, with how much computing, and how far it came.

Everything in it was recorded by the run itself; a card promises nothing that was not measured. Knows no networks.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..configuration import to_dict
from ..evaluation.report import versions
from .loop_log import read_curves

if TYPE_CHECKING:
    from .csm_recipe import CsmRecipe
    from .start import Start

PACKAGES = ("duologue", "torch", "numpy")


def csm_card(recipe: CsmRecipe, facts: dict[str, Any], start: Start | None = None) -> str:
    """The card of a speech model in training; `facts` are those that an export stores."""
    model = recipe.model
    kind = "trained from random weights"
    if start is not None:
        how = f"adapters of rank {recipe.lora.rank}, merged" if recipe.lora else "all weights"
        kind = f"fine-tuned from {start.files.card.name} ({start.name}; {how})"
    rows = {
        "model": f"CSM, {model.num_codebooks} codebooks, backbone {model.backbone.layers} x {model.backbone.width}, "
        f"depth {model.depth.layers} x {model.depth.width}; {kind}",
        "voices": ", ".join(f"{name} (speaker {number})" for name, number in recipe.voices.items()),
        "data": f"{facts['training_hours']} h in {facts['training_items']} items; codes of codec {facts['codec']}; "
        f"SHA-256 {facts['training_sha256'][:16]}…",
        "trained": f"{facts['steps']} steps, {facts['training_minutes']} minutes, "
        f"{facts['hours_of_audio_seen']} h of speech seen",
        "licence of the start": (start.files.card.licence or "see its own card") if start is not None else "none",
    }
    return _card("A speech model", rows, facts["validation"], to_dict(recipe))


def codec_card(config: dict[str, Any], run: Path, hours_heard: float, corpus_hours: float) -> str:
    """The card of a codec's run, with the last validation of its curves."""
    mimi = config["mimi"]
    quantizer = mimi["quantizer"]
    books, entries = quantizer["codebooks"], quantizer["entries"]
    bits = books * math.log2(entries) * 12.5
    rows = {
        "model": f"codec after Mimi, {mimi['frontend']} front end, width {mimi['width']}",
        "codes": f"{books} codebooks of {entries}, 12.5 frames a second, {bits:.0f} bit/s",
        "data": f"{corpus_hours:.2f} h of training speech in {config['shards']}",
        "trained": f"{config['steps']} steps planned, {hours_heard:.2f} h of speech heard",
    }
    curves = run / "curves.csv"
    measured = [row for row in read_curves(curves) if "val_mel" in row] if curves.is_file() else []
    figures = {name: value for name, value in (measured[-1] if measured else {}).items() if name.startswith("val_")}
    return _card("A codec", rows, figures, config)


def _card(title: str, rows: dict[str, str], figures: dict[str, float], recipe: dict[str, Any]) -> str:
    told = versions()
    machine = told["machine"]
    rows = {
        **rows,
        "computed on": f"{machine['cpu']}, {machine['cores']} cores, {machine['system']}",
        "versions": ", ".join(f"{name} {told['versions'][name]}" for name in PACKAGES),
        "date": told["date"][:10],
    }
    lines = [f"# {title}", "", "| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows.items())]
    lines += ["", "## Held-out figures of the run", ""]
    lines += [f"- {name}: {value:.4g}" for name, value in figures.items()] or ["- none yet"]
    lines += [
        "",
        "These come from the run's own validation items. How it sounds to listeners was not measured here;",
        "`duologue evaluate` measures what machines can.",
        "",
        "## Limits",
        "",
        "It speaks like what it was trained on, in that language and those voices. Tell listeners that they hear a",
        "machine, and use nobody's voice without their consent.",
        "",
        "## Recipe",
        "",
        "```json",
        json.dumps(recipe, indent=1, ensure_ascii=False),
        "```",
        "",
    ]
    return "\n".join(lines)
