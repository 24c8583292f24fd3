"""`python -m duologue.training.codec_refine --config FILE --codec FILE --run DIR`: a better decoder for the same codes.

Resumes like the codec run; every checkpoint also writes `codec.safetensors` with the averaged decoder into the run.
With `--processes N` each step is shared. What a step does is in codec_refinement.py.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import torch

from ..configuration import from_dict, to_dict
from ..mimi.codec import Mimi
from ..weights.mimi import load_mimi
from .codec_refinement import DecoderRefinement, Refinement
from .codec_validation import Validation
from .loop_log import CurveLog, draw_curves, eta
from .parallel import Group, relaunch
from .precision import explain

PANELS = {
    "spectra": ["mel", "linear", "val_mel"],
    "source": ["pitch", "val_pitch_right"],
    "game": ["judge", "fool", "features", "hearing"],
}


def refine(config: DecoderRefinement, codec: Mimi, folder: Path, group: Group | None = None) -> Refinement:
    """Run to `config.steps`; call again after any interruption."""
    group = group or Group()
    run = Refinement(config, codec, folder, group)
    run.resume()
    report = _Report(run) if group.leads else None
    while run.step < config.steps:
        figures = run.advance()
        if report is not None:
            report.note(figures)
        if run.step % config.checkpoint_every == 0 or run.step == config.steps:
            if report is not None:
                run.save()
                report.validate()
            run.grow()  # what was made meanwhile; the next checkpoint remembers it
    return run


class _Report:
    """What the leading process says and writes: curves, progress, validation."""

    def __init__(self, run: Refinement) -> None:
        self.run, self.curves = run, run.folder / "curves.csv"
        self.log, self.validation = CurveLog(self.curves, run.step), Validation(run.corpus)
        self.began, self.began_step, self.stamp = time.monotonic(), run.step, time.monotonic()
        self.window: list[dict[str, float]] = []
        print(explain(run.config.precision), flush=True)

    def note(self, figures: dict[str, float]) -> None:
        """Take in one step; speak every `log_every`."""
        self.window.append(figures)
        run, config = self.run, self.run.config
        if run.step % config.log_every:
            return
        means = {name: sum(row[name] for row in self.window) / len(self.window) for name in figures}
        heard = len(self.window) * config.crops * config.crop_seconds * run.group.size
        pace = heard / (time.monotonic() - self.stamp)
        self.log.append(run.step, pace=pace, **means)
        left = eta(run.step / config.steps, self.began, self.began_step / config.steps)
        print(f"{run.step:6d}  {pace:5.1f} audio-s/s  ETA {left}  ", _figures(means), flush=True)
        self.stamp, self.window = time.monotonic(), []

    def validate(self) -> None:
        """Figures on held-out clips, and the picture."""
        figures = self.validation.measure(self.run.averaged, plain=False)
        figures.pop("val_phones_right")  # the reader of phones is not part of a codec file
        self.log.append(self.run.step, **figures)
        draw_curves(self.curves, self.curves.with_suffix(".png"), PANELS)
        print(f"{self.run.step:6d}  validation ", _figures(figures), flush=True)
        self.stamp = time.monotonic()


def _figures(values: dict[str, float]) -> str:
    return "  ".join(f"{name} {value:.4g}" for name, value in values.items())


def main(given: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--codec", type=Path, required=True)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--processes", type=int, default=1, help="share each step among so many processes")
    words = sys.argv[1:] if given is None else given
    arguments = parser.parse_args(words)
    relaunch("duologue.training.codec_refine", words, arguments.processes)
    torch.set_num_threads(1)
    group = Group()
    config = from_dict(
        DecoderRefinement, json.loads(arguments.config.read_text(encoding="utf-8")), str(arguments.config)
    )
    if group.leads:
        arguments.run.mkdir(parents=True, exist_ok=True)
        (arguments.run / "config.json").write_text(json.dumps(to_dict(config), indent=2) + "\n", encoding="utf-8")
    refine(config, load_mimi(arguments.codec), arguments.run, group)
    group.close()


if __name__ == "__main__":
    main()
