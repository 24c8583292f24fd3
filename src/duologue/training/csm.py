"""Train a CSM on a corpus of codes: `python -m duologue.training.csm --config RECIPE --codes DIR --run DIR`.

Run it again with the same --run to go on, also after `kill -9`. Knows no speech; see csm_loop.py for the steps.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from ..configuration import to_dict
from ..errors import DuologueError, InputError
from ..voice import Voice
from ..weights.mimi import load_mimi
from .checkpoints import latest_checkpoint, load_checkpoint, save_checkpoint
from .code_shards import load_items
from .csm_data import fingerprint, items_of_split
from .csm_export import export_csm, fitting
from .csm_loop import CsmTrainer
from .csm_recipe import CsmRecipe, load_recipe, read_values
from .csm_samples import write_samples
from .csm_validation import Validation
from .loop_log import CurveLog, draw_curves, eta
from .lora import merged
from .model_card import csm_card
from .model_folder import write_model
from .parallel import Group, relaunch
from .precision import explain
from .start import Start, start_from
from .voice_prompts import number_voices, voices_in

PANELS = {
    "codebook 0 (nats)": ["first", "val_first"],
    "text gain (nats)": ["text_gain"],
    "codebooks 1… (nats)": ["depth", "val_depth"],
    "advance (nats)": ["advance", "val_advance"],
}
LOG_EVERY = 20
SAMPLED_TURNS = 8


@dataclass(frozen=True)
class Budget:
    """When a run is over: after so many seconds of training or so many steps, counted from the run's first step."""

    seconds: float | None
    steps: int | None

    def progress(self, seconds: float, step: int) -> float:
        """Share of the budget used, 0 to 1."""
        parts = [step / self.steps] if self.steps else []
        parts += [seconds / self.seconds] if self.seconds else []
        return min(1.0, max(parts))


class Run:
    """A run's folder: recipe, data facts, checkpoints, curves, and the newest export."""

    def __init__(
        self,
        folder: Path,
        recipe: CsmRecipe,
        codes: Path,
        corpus: Path,
        group: Group,
        codec_file: Path | None = None,
        start: Start | None = None,
        tuned: bool = False,
        sharded: bool = False,
    ) -> None:
        """`tuned`: the recipe leaves the model to `start`, and the run writes a whole model folder."""
        self.folder, self.recipe, self.group, self.corpus = folder, recipe, group, corpus
        self.start, self.tuned = start, tuned
        items, codec = load_items(codes, corpus)
        tokenizer = start.tokenizer if start is not None else None
        train = items_of_split(items, "train", recipe.voices, recipe.model, tokenizer)
        held_out = items_of_split(items, "validation", recipe.voices, recipe.model, tokenizer)
        if not train or not held_out:
            raise InputError(f"{codes} has {len(train)} training and {len(held_out)} validation items.", field="codes")
        frames = sum(turn.frames for item in train for turn in item)
        self.facts = {
            "codec": codec,
            "training_items": len(train),
            "training_hours": round(frames * 0.08 / 3600, 3),
            "training_sha256": fingerprint(train),
            "validation_sha256": fingerprint(held_out),
        }
        self.trainer = CsmTrainer(recipe, train, group, fitting(start, recipe) if start else None, sharded)
        self.validation = Validation(held_out, recipe) if group.leads else None
        self.codec = load_mimi(codec_file).eval() if codec_file is not None and group.leads else None
        self.sampled = [item[0] for item in held_out][:SAMPLED_TURNS]
        self._resume()
        if group.leads:
            folder.mkdir(parents=True, exist_ok=True)
            _write_json(folder / "config.json", to_dict(recipe))
            _write_json(folder / "data.json", self.facts)
            self.curves = CurveLog(folder / "curves.csv", self.trainer.step_number)

    def _resume(self) -> None:
        newest = latest_checkpoint(self.folder)
        if newest is None:
            return
        tensors, facts = load_checkpoint(newest)
        if facts["codec"] != self.facts["codec"]:
            raise InputError(
                f"{newest} was trained on codes of another codec.", hint="Start a new --run folder.", field="run"
            )
        self.trainer.load_state(tensors, facts)
        self.say(f"resumed from {newest.name}")

    def train(self, budget: Budget, until: float) -> None:
        """Step until the budget is used up, or until this process has run for `until` seconds."""
        trainer, started, tick = self.trainer, time.monotonic(), time.monotonic()
        saved = tick
        begun = budget.progress(trainer.seconds, trainer.step_number)
        self.say(explain(self.recipe.precision, self.group.device.type))
        while True:
            now = time.monotonic()
            trainer.seconds = self.group.agree(trainer.seconds + now - tick)
            tick = now
            progress = budget.progress(trainer.seconds, trainer.step_number)
            over = progress >= 1.0 or bool(self.group.agree(float(now - started >= until)))
            if over:
                break
            row = trainer.step(progress)
            if trainer.step_number % LOG_EVERY == 0:
                self._note(row, f"{progress:6.1%} eta {eta(progress, started, begun)}")
            if trainer.step_number % self.recipe.validate_every == 0:
                self.validate()
            if self.group.agree(float(time.monotonic() - saved > 60 * self.recipe.checkpoint_minutes)):
                self.save()
                saved = time.monotonic()
        self.validate()
        self.save()

    def validate(self) -> None:
        """Measure the averaged weights on held-out items, write the curve and its picture, export."""
        average = self.trainer.averaged()
        if self.validation is None:
            return
        measured = self.validation(average)
        self.curves.append(self.trainer.step_number, seconds=self.trainer.seconds, **measured)
        draw_curves(self.folder / "curves.csv", self.folder / "curves.png", PANELS)
        self.say(" ".join(f"{name} {value:.3f}" for name, value in measured.items()))
        if self.group.device.type != "cpu":
            average = copy.deepcopy(average).cpu()  # samples and files are made here
        if self.codec is not None:
            folder = self.folder / "samples" / f"{self.trainer.step_number:08d}"
            ended = write_samples(folder, merged(average), self.codec, self.sampled)
            self.say(f"{ended} of {len(self.sampled)} samples ended by themselves: {folder}")
        progress = {
            "steps": self.trainer.step_number,
            "hours_of_audio_seen": round(self.trainer.frames_seen * 0.08 / 3600, 2),
            "training_minutes": round(self.trainer.seconds / 60, 1),
            "validation": {name: round(value, 4) for name, value in measured.items()},
        }
        facts = {**self.facts, **progress}
        if self.tuned and self.start is not None:
            write_model(self.folder / "export", average, self.start, self.recipe, self.corpus, facts)
        else:
            export_csm(self.folder / "export", merged(average), self.recipe, facts)
        (self.folder / "MODEL_CARD.md").write_text(csm_card(self.recipe, facts, self.start), encoding="utf-8")

    def save(self) -> None:
        """Write a checkpoint (the leader; with shards the others hand it theirs)."""
        if not self.group.leads and not self.trainer.sharded:
            return
        tensors, facts = self.trainer.state()
        if self.group.leads:
            save_checkpoint(self.folder, self.trainer.step_number, tensors, {**facts, "codec": self.facts["codec"]})

    def _note(self, row: dict[str, float], tail: str) -> None:
        if self.group.leads:
            self.curves.append(self.trainer.step_number, seconds=self.trainer.seconds, **row)
            speed = self.trainer.frames_seen * 0.08 / max(1e-9, self.trainer.seconds)
            losses = " ".join(f"{name} {row[name]:.3f}" for name in ("first", "depth", "advance"))
            self.say(f"{losses} norm {row['norm']:.2f} rate {row['rate']:.1e} {speed:.0f} audio-s/s {tail}")

    def say(self, text: str) -> None:
        """One progress line on stderr, from the leader."""
        if self.group.leads:
            print(f"{time.strftime('%H:%M:%S')} step {self.trainer.step_number} {text}", file=sys.stderr, flush=True)


def _tuning(path: Path, start: Start, corpus: Path) -> CsmRecipe:
    """A recipe for fine-tuning, filled in with the start's model and the corpus's voices."""
    known = {voice.name: voice.speaker for voice in map(Voice.load, start.files.voices)}
    return load_recipe(path, start.config, number_voices(voices_in(corpus), known))


def _write_json(path: Path, values: object) -> None:
    path.write_text(json.dumps(values, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")


def main(arguments: list[str] | None = None) -> None:
    """Train or go on training."""
    argv = sys.argv[1:] if arguments is None else arguments
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="a recipe, e.g. recipes/voice/csm.json")
    parser.add_argument("--codes", type=Path, required=True, help="folder of code shards")
    parser.add_argument("--corpus", type=Path, required=True, help="folder of the corpus listings (.jsonl)")
    parser.add_argument("--run", type=Path, required=True, help="folder of the run; an existing one is resumed")
    parser.add_argument("--codec", type=Path, help="weights of the codec: sample audio at every validation")
    parser.add_argument("--minutes", type=float, help="whole budget in minutes of training")
    parser.add_argument("--steps", type=int, help="whole budget in steps")
    parser.add_argument("--pause-after", type=float, help="stop (resumable) after so many minutes of this process")
    parser.add_argument("--from", dest="start", help="start from embedded, a folder, a file or a hub name")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--shard", action="store_true", help="share out the weights among the processes too (FSDP2)")
    parser.add_argument("--threads", type=int, default=1, help="per process")
    parser.add_argument("--nice", type=int, default=10)
    parser.add_argument("--device", default="cpu", help="cpu or cuda; each process takes a GPU of its own")
    options = parser.parse_args(argv)
    if not options.minutes and not options.steps:
        parser.error("give --minutes or --steps")
    relaunch("duologue.training.csm", argv, options.processes)
    os.nice(max(0, options.nice - os.nice(0)))
    torch.set_num_threads(options.threads)
    group = None
    try:
        group = Group(options.device)
        start = start_from(options.start) if options.start else None
        tuned = start is not None and "model" not in read_values(options.config)
        recipe = _tuning(options.config, start, options.corpus) if start and tuned else load_recipe(options.config)
        run = Run(options.run, recipe, options.codes, options.corpus, group, options.codec, start, tuned, options.shard)
        pause = 60 * options.pause_after if options.pause_after else float("inf")
        run.train(Budget(60 * options.minutes if options.minutes else None, options.steps), pause)
    except DuologueError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    finally:
        if group is not None:
            group.close()


if __name__ == "__main__":
    main()
