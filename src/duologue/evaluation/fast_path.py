"""What rounded weights change on a trained voice: each weight format against float32, draw by draw and layer by layer.

    python -m duologue.evaluation.fast_path --out benchmarks/results/fast_path.json

Words, voices and opinion scores of the same formats come from evaluation/voice.py with --engine native-FORMAT.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from .. import api
from ..csm.config import CsmConfig
from ..engine.base import FrameSampling
from ..engine.native_engine import NativeEngine, named_plan
from ..engine.pieces import expected_shapes
from ..engine.quantize import FormatPlan
from ..weights.csm_files import read_csm
from ..weights.load import locate
from .logit_agreement import ForcedTurn, Reference, record
from .report import versions
from .sentences import held_out

FORMATS = ("bfloat16", "int8", "int4", "int4-g64", "int4-g128", "compact")
Arrays = Mapping[str, np.ndarray]


def layer_snr_db(config: CsmConfig, weights: Arrays, plan: FormatPlan, turns: Sequence[ForcedTurn]) -> list[float]:
    """Signal to noise of the hidden state after 1, 2, … backbone layers, seen through the final norm."""
    found = []
    for layers in range(1, config.backbone.layers + 1):
        short = replace(config, backbone=replace(config.backbone, layers=layers))
        kept = {name: weights[name] for name in expected_shapes(short)}
        exact, rounded = (NativeEngine.from_weights(short, kept, each) for each in ("float32", plan))
        found.append(Reference(exact, turns).compare(rounded, FrameSampling()).hidden_snr_db)
    return found


def measure(source: str | None, formats: Sequence[str], sentences: int) -> dict[str, Any]:
    """Let the model speak in float32, then hold each format's draws against those."""
    model = api.load(source, engine="native-float32")
    weights = read_csm(locate(source).csm, as_arrays=True)
    assert isinstance(model.engine, NativeEngine)
    turns = record(model, held_out()[:sentences])
    reference, sampling = Reference(model.engine, turns), model.usual.sampling(1)
    found = []
    for name in formats:
        plan = named_plan(name)
        engine = NativeEngine.from_weights(weights.config, weights.tensors, plan)
        layers = layer_snr_db(weights.config, weights.tensors, plan, turns[:1])
        found.append({"format": name, **reference.compare(engine, sampling).as_dict(), "layer_snr_db": layers})
    return {
        "what": "weight formats against float32 on a trained voice",
        **versions(),
        "model": model.name,
        "formats": found,
    }


def main(given: Sequence[str] | None = None) -> None:
    """Run the command."""
    options = argparse.ArgumentParser(prog="python -m duologue.evaluation.fast_path", description=__doc__)
    options.add_argument("--model", help="what duologue.load takes; default: the embedded voice")
    options.add_argument("--formats", nargs="+", default=list(FORMATS))
    options.add_argument("--sentences", type=int, default=10)
    options.add_argument("--out", type=Path, default=Path("benchmarks/results/fast_path.json"))
    asked = options.parse_args(given)
    result = measure(asked.model, asked.formats, asked.sentences)
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    asked.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    for row in result["formats"]:
        print(
            f"{row['format']:10} KL {row['kl_nats']:.6f}  same greedy codes {row['greedy_codes_percent']:.1f} %"
            f"  hidden {row['hidden_snr_db']:.1f} dB"
        )


if __name__ == "__main__":
    main()
