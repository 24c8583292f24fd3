"""Train several small codecs that differ in one thing, at equal cost, and compare them.

Either each arm takes its recipe's `steps`, or, with `cpu_seconds`, the cost of a step is measured first and each arm
gets the steps it can pay for. An arm that is finished is not trained again. One seed: differences smaller than chance
mean nothing.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..configuration import from_dict
from .arms import Experiment, folder_of
from .checkpoints import latest_checkpoint, load_checkpoint
from .codebook_phones import read_phones
from .codec import CodecRun, CodecTraining, train
from .codec_export import codec_of_run
from .codec_validation import Validation

TRIAL_STEPS, WARM_STEPS = 6, 2  # measured, after those that don't count
QUARTERS = 4  # an arm that is stopped goes on from the newest of so many parts


@dataclass(frozen=True)
class Comparison:
    """The recipes to compare."""

    arms: Mapping[str, CodecTraining]
    cpu_seconds: float | None  # None: the recipes' own steps


def codec_comparison(experiment: Experiment, shards: Path, prepared: Path) -> Comparison:
    """The experiment's recipes on this corpus. Raises InputError naming what is wrong."""
    places = {"shards": str(shards), "prepared": str(prepared)}
    arms = {
        name: from_dict(CodecTraining, values | places, f"{experiment.name}: {name}")
        for name, values in experiment.arms.items()
    }
    return Comparison(arms, experiment.cpu_seconds)


def step_seconds(config: CodecTraining, folder: Path) -> float:
    """Processor seconds of one full step (quantizer and all), measured on a run that is thrown away."""
    run = CodecRun(replace(config, plain_steps=1), folder, 0, 1)
    run.resume()
    for _ in range(WARM_STEPS):
        run.advance()
    began = time.process_time()
    for _ in range(TRIAL_STEPS):
        run.advance()
    return (time.process_time() - began) / TRIAL_STEPS


def affordable(config: CodecTraining, seconds: float, each: float) -> CodecTraining:
    """The recipe with as many steps as so many seconds pay for; its decay takes the share it had."""
    steps = max(8, int(seconds / each))
    share = config.decay_steps / config.steps
    plain = min(config.plain_steps, steps // 4)
    return replace(config, steps=steps, decay_steps=max(1, int(share * steps)), plain_steps=plain)


def run_arm(config: CodecTraining, folder: Path) -> dict[str, Any]:
    """Train one arm to its end, from its newest quarter if it was stopped, and measure it."""
    config = replace(config, checkpoint_every=max(1, config.steps // QUARTERS))
    newest = latest_checkpoint(folder / "checkpoints")
    taken = config.steps - (load_checkpoint(newest)[1]["step"] if newest else 0)
    began = time.process_time()
    run = train(config, folder)
    spent = folder / "training.json"  # kept apart, so that a trained arm can be measured anew
    if taken:
        seconds = (time.process_time() - began) / taken * config.steps  # also of the steps before it was stopped
        spent.write_text(json.dumps({"cpu_seconds": round(seconds, 1)}), encoding="utf-8")
    codec = codec_of_run(folder, config.mimi)
    validation = Validation(run.corpus)
    told = validation.measure(run.averaged, plain=False)
    return {
        "steps": config.steps,
        "training_cpu_seconds": json.loads(spent.read_text(encoding="utf-8"))["cpu_seconds"],
        "heard_seconds": round(run.seconds_heard),
        "parameters": sum(p.numel() for p in codec.parameters()),
        "mel_distance": round(told["val_mel"], 4),
        "pitch_within_10_percent": round(100 * told["val_pitch_right"], 1),
        "held_out_clips": len(validation.clips),
        "phones_from_codebook_0": read_phones(codec, run.corpus),
    }


def compare_codecs(comparison: Comparison, folder: Path) -> dict[str, Any]:
    """All arms, one after the other."""
    results = {}
    for name, config in comparison.arms.items():
        place = folder_of(folder, name)
        done = place / "figures.json"
        if not done.is_file():
            if comparison.cpu_seconds is not None and latest_checkpoint(place / "checkpoints") is None:
                each = step_seconds(config, place / "trial")
                config = affordable(config, comparison.cpu_seconds, each)
                print(f"{name}: {each:.3f} s a step, {config.steps} steps", flush=True)
            place.mkdir(parents=True, exist_ok=True)
            done.write_text(json.dumps(run_arm(config, place)), encoding="utf-8")
        results[name] = json.loads(done.read_text(encoding="utf-8"))
        print(f"{name}: {results[name]}", flush=True)
    return results
