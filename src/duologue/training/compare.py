"""Train small models that differ in one thing, at equal cost, and compare them: an experiment as one file (arms.py).

    duologue train compare --config recipes/compare/phones.json --shards DIR --run DIR --out FILE
    duologue train compare --config recipes/compare/depth_fraction.json --codes DIR --corpus DIR --run DIR --out FILE

One seed a run: differences smaller than chance mean nothing. `--seed` runs it with another one.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import torch

from ..errors import DuologueError, InputError
from .arms import read_experiment
from .codec_arms import codec_comparison, compare_codecs
from .csm_arms import compare_csm
from .precision import explain


def run_experiment(arguments: argparse.Namespace) -> dict[str, Any]:
    """Everything that the file of figures holds."""
    from ..evaluation.report import versions

    experiment = read_experiment(arguments.config, arguments.seed)
    folders = ("shards",) if experiment.kind == "codec" else ("codes", "corpus")
    missing = [f"--{name}" for name in folders if getattr(arguments, name) is None]
    if missing:
        raise InputError(f"Comparing arms of a {experiment.kind} needs {' and '.join(missing)}.", field=missing[0][2:])
    if experiment.kind == "codec":
        comparison = codec_comparison(experiment, arguments.shards, arguments.run / "prepared")
        data, results = arguments.shards, compare_codecs(comparison, arguments.run)
    else:
        data, results = arguments.corpus, compare_csm(experiment, arguments.codes, arguments.corpus, arguments.run)
    seed = "" if arguments.seed is None else f" --seed {arguments.seed}"
    places = " ".join(f"--{name} DIR" for name in (*folders, "run"))
    return {
        "what": experiment.question,
        **versions(),
        "command": f"duologue train compare --config {arguments.config} {places} --out {arguments.out}{seed}",
        "precision": explain(next(iter(experiment.arms.values())).get("precision", "auto")),
        "shards": sorted(path.stem for path in data.glob("*.jsonl")),
        "cpu_seconds_for_each": experiment.cpu_seconds,
        "arms": results,
    }


def main(given: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--shards", type=Path, help="folder of the corpus, for arms of a codec")
    parser.add_argument("--codes", type=Path, help="folder of code shards, for arms of a speech model")
    parser.add_argument("--corpus", type=Path, help="folder of the corpus listings (.jsonl), for the same")
    parser.add_argument("--run", type=Path, required=True, help="folder of the arms' runs")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, help="instead of the experiment's")
    arguments = parser.parse_args(given)
    torch.set_num_threads(1)
    try:
        told = run_experiment(arguments)
    except DuologueError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(arguments.out)


if __name__ == "__main__":
    main()
