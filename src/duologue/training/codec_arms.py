"""Train several small codecs that differ in one thing, at equal cost, and compare them: an experiment as one file.

    duologue train compare --config recipes/compare/phones.json --shards DIR --run DIR --out FILE.json

The file names a `question`, the `codec` recipe that all arms share, what each of the `arms` changes in it, and either
`steps` for each or `cpu_seconds`: then the cost of a step is measured first and each arm gets the steps it can pay for.
An arm that is finished is not trained again. One seed: differences smaller than chance mean nothing.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from ..configuration import from_dict
from ..errors import InputError
from .checkpoints import latest_checkpoint
from .codebook_phones import read_phones
from .codec import CodecRun, CodecTraining, train
from .codec_export import codec_of_run
from .codec_validation import Validation
from .precision import explain

TRIAL_STEPS, WARM_STEPS = 6, 2  # measured, after those that don't count


@dataclass(frozen=True)
class Comparison:
    """A question, and the recipes that answer it."""

    question: str
    arms: Mapping[str, CodecTraining]
    cpu_seconds: float | None  # None: the recipes' own steps


def load_comparison(path: Path, shards: Path, prepared: Path) -> Comparison:
    """Read an experiment. Raises InputError naming what is wrong."""
    values = json.loads(path.read_text(encoding="utf-8"))
    unknown = values.keys() - {"question", "codec", "arms", "cpu_seconds"}
    if unknown or not values.get("arms"):
        raise InputError(
            f"{path} needs question, codec, arms, perhaps cpu_seconds; not {sorted(unknown)}.", field="config"
        )
    common = {**values["codec"], "shards": str(shards), "prepared": str(prepared)}
    arms = {
        name: from_dict(CodecTraining, _changed(common, changes), f"{path.name}: {name}")
        for name, changes in values["arms"].items()
    }
    return Comparison(values["question"], arms, values.get("cpu_seconds"))


def _changed(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """`values` with those of `changes`, dictionary by dictionary."""
    result = dict(values)
    for name, value in changes.items():
        inner = result.get(name)
        both = isinstance(inner, dict) and isinstance(value, dict)
        result[name] = _changed(inner or {}, value) if both else value
    return result


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
    """Train one arm to its end and measure it."""
    config = replace(config, checkpoint_every=config.steps)
    began = time.process_time()
    run = train(config, folder)
    spent = folder / "training.json"  # kept apart, so that a trained arm can be measured anew
    if not spent.is_file():
        spent.write_text(json.dumps({"cpu_seconds": round(time.process_time() - began, 1)}), encoding="utf-8")
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


def compare(comparison: Comparison, folder: Path) -> dict[str, Any]:
    """All arms, one after the other."""
    results = {}
    for name, config in comparison.arms.items():
        place = folder / name.replace(" ", "_")
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


def main(given: list[str] | None = None) -> None:
    """Command line."""
    from ..evaluation.report import versions

    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--shards", type=Path, required=True)
    parser.add_argument("--run", type=Path, required=True, help="folder of the arms' runs")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args(given)
    torch.set_num_threads(1)
    comparison = load_comparison(arguments.config, arguments.shards, arguments.run / "prepared")
    results = compare(comparison, arguments.run)
    told = {
        "what": comparison.question,
        **versions(),
        "command": f"duologue train compare --config {arguments.config} --shards DIR --run DIR --out {arguments.out}",
        "precision": explain(next(iter(comparison.arms.values())).precision),
        "shards": sorted(path.stem for path in arguments.shards.glob("*.jsonl")),
        "cpu_seconds_for_each": comparison.cpu_seconds,
        "arms": results,
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(arguments.out)


if __name__ == "__main__":
    main()
