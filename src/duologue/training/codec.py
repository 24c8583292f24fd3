"""`python -m duologue.training.codec --config FILE --run DIR`: train a codec; go on where the run stopped.

Under `torchrun --nproc-per-node N -m -- duologue.training.codec …` the processes share each step: all draw the same
crops and each works on its own part; gradients and codebook statistics are averaged (gloo), so that two processes of
three crops take the steps of one with six. Batches and all other chance depend on (seed, step) alone, so a run that was
killed repeats the lost steps exactly. The list of shards in use grows only at
checkpoints and is stored in them.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from ..configuration import from_dict, to_dict
from ..mimi.codec import Mimi
from ..mimi.config import MimiConfig
from .checkpoints import AveragedWeights, collect, latest_checkpoint, load_checkpoint, restore, save_checkpoint
from .codec_data import CropCorpus
from .codec_model import LearningCodec, LossWeights, weigh
from .codec_quantizer import Quantized, codebooks, follow, perplexity, project, revive, start_from_means
from .codec_start import start_codec
from .codec_validation import Validation
from .loop_log import CurveLog, draw_curves, eta
from .model_card import codec_card
from .parallel import relaunch
from .precision import Precision, autocast, explain

PANELS = {
    "spectra": ["mel", "linear", "val_mel"],
    "source": ["pitch", "voicing", "val_pitch_right"],
    "codes": ["commitment", "phones", "val_phones_right"],
}


@dataclass(frozen=True)
class CodecTraining:
    """Everything a run depends on; stored beside it."""

    shards: str
    prepared: str
    mimi: MimiConfig
    loss: LossWeights = field(default_factory=LossWeights)
    seed: int = 0
    steps: int = 4_000
    crops: int = 6  # per process and step
    crop_seconds: float = 1.28
    plain_steps: int = 100  # autoencoder without quantization at the start
    rate: float = 8e-4
    final_rate: float = 4e-5
    warmup_steps: int = 60
    decay_steps: int = 1_000  # the last steps, in which the rate falls along a cosine
    clip: float = 1.0
    average: float = 0.999
    codebook_decay: float = 0.99
    limited_share: float = 0.3  # of the crops that may use only their first 1..K codebooks
    revive_every: int = 10
    revive_most: int = 4
    revive_threshold: float = 0.1
    checkpoint_every: int = 200
    log_every: int = 20
    start_vectors: int = 25_000  # from which k-means finds the first codebooks
    weight_norm: bool = False  # for SEANet
    precision: Precision = "auto"  # of the matrix products


class CodecRun:
    """One process of a run: the state that checkpoints keep, and the step that moves it."""

    def __init__(self, config: CodecTraining, folder: Path, rank: int, world: int, start: Mimi | None = None) -> None:
        """`start` is a codec of these sizes to go on from; its codebooks are in use from the first step."""
        self.config, self.folder, self.rank, self.world = config, folder, rank, world
        torch.manual_seed(config.seed)
        self.model = LearningCodec(config.mimi)
        if start is not None:
            self.config = config = replace(config, plain_steps=0)
            self.model.codec.load_state_dict(start.state_dict())
        self.averaged = LearningCodec(config.mimi)
        self.averaged.load_state_dict(self.model.state_dict())
        self.average = AveragedWeights(self.averaged, config.average)
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=config.rate, betas=(0.8, 0.99), weight_decay=1e-3, fused=True
        )
        self.corpus = CropCorpus(
            Path(config.shards).expanduser(), Path(config.prepared).expanduser(), int(config.crop_seconds * 24_000)
        )
        self.step, self.seconds_heard = 0, 0.0
        self.names: list[str] = []

    def resume(self) -> None:
        """Take up the newest checkpoint, if there is one."""
        path = latest_checkpoint(self.folder / "checkpoints")
        if path is None:
            self.grow()
            return
        tensors, facts = load_checkpoint(path)
        modules = {"model": self.model, "average": self.averaged}
        # Only the first process writes; all restore the same state.
        restore(tensors, modules, {"adamw": self.optimizer})
        self.step, self.names, self.seconds_heard = facts["step"], facts["shards"], facts["seconds_heard"]
        self.corpus.use(self.names)

    def save(self) -> None:
        """Write a checkpoint (first process)."""
        tensors = collect({"model": self.model, "average": self.averaged}, {"adamw": self.optimizer})
        facts = {"shards": self.names, "seconds_heard": self.seconds_heard, "config": to_dict(self.config)}
        save_checkpoint(self.folder / "checkpoints", self.step, tensors, facts)

    def grow(self) -> None:
        """Take in the shards that exist now; all processes agree on the first one's list."""
        names = [self.corpus.available()]
        if self.world > 1:
            dist.broadcast_object_list(names, 0)
        self.names = names[0]
        self.corpus.use(self.names)

    def advance(self) -> dict[str, float]:
        """One optimizer step; returns its loss terms."""
        config = self.config
        chance = np.random.default_rng([config.seed, self.step])
        torch.manual_seed(int(chance.integers(2**62)))
        crops = self.corpus.draw(config.crops * self.world, chance).part(self.rank, config.crops)
        plain = self.step < config.plain_steps
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate()
        with autocast(config.precision):
            terms, seen = self.model(crops, None if plain else self._levels(chance), plain=plain)
        loss = weigh(terms, config.loss)
        self.optimizer.zero_grad()
        loss.backward()
        norm = self._share_gradients()
        self.step += 1
        if math.isfinite(norm):
            self.optimizer.step()
            self._move_codebooks(seen)
            self.average.update(self.model, self.step)
            self._copy_codebooks()
        self.seconds_heard += self.world * config.crops * config.crop_seconds
        return self._means(terms) | {"norm": norm}

    def _means(self, terms: dict[str, Tensor]) -> dict[str, float]:
        """Loss terms as numbers, over all processes."""
        values = torch.stack([term.detach().float() for term in terms.values()])
        if self.world > 1:
            dist.all_reduce(values)
            values /= self.world
        return dict(zip(terms, values.tolist(), strict=True))

    def rate(self) -> float:
        """Warm-up, plateau, cosine: the plateau can be cut short by lowering `steps`."""
        config = self.config
        rising = min(1.0, (self.step + 1) / config.warmup_steps)
        falling = max(0.0, self.step - (config.steps - config.decay_steps)) / config.decay_steps
        return rising * (
            config.final_rate + (config.rate - config.final_rate) * 0.5 * (1 + math.cos(math.pi * falling))
        )

    def _levels(self, chance: np.random.Generator) -> Tensor:
        count = self.config.mimi.quantizer.codebooks
        every = self.config.crops * self.world
        limited = chance.random(every) < self.config.limited_share
        levels = np.where(limited, chance.integers(1, count + 1, every), count)
        return torch.from_numpy(levels[self.rank * self.config.crops :][: self.config.crops])

    def _share_gradients(self) -> float:
        gradients = [p.grad for p in self.model.parameters() if p.grad is not None]
        if self.world > 1:
            together = torch.cat([gradient.flatten() for gradient in gradients])
            dist.all_reduce(together)
            together /= self.world
            for gradient, part in zip(gradients, together.split([g.numel() for g in gradients]), strict=True):
                gradient.copy_(part.view_as(gradient))
        return float(torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip))

    def _move_codebooks(self, seen: Quantized | None) -> None:
        quantizer = self.model.codec.quantizer
        if seen is not None:
            follow(quantizer, seen, self.config.codebook_decay)
            if self.step % self.config.revive_every == 0:
                draw = torch.Generator().manual_seed(self.step)
                revive(quantizer, seen, self.config.revive_threshold, self.config.revive_most, draw)
        elif self.step == self.config.plain_steps:
            self._start_codebooks()

    @torch.no_grad()
    def _start_codebooks(self) -> None:
        """k-means on vectors of fresh crops, the same in every process."""
        chance = np.random.default_rng([self.config.seed, 1 << 20])
        quantizer, rows = self.model.codec.quantizer, []
        for _ in range(max(8, self.config.start_vectors // (12 * self.corpus.crop_samples // 1920))):
            with autocast(self.config.precision):
                latents = self.model.codec.latents(self.corpus.draw(12, chance).wav)
            rows.append(project(quantizer, latents.float()))
        semantic, acoustic = (torch.cat(parts) for parts in zip(*rows, strict=True))
        start_from_means(quantizer, semantic, acoustic, torch.Generator().manual_seed(self.config.seed))

    def _copy_codebooks(self) -> None:
        """The averaged model uses the codebooks as they are: they are running means already."""
        ours, theirs = codebooks(self.model.codec.quantizer), codebooks(self.averaged.codec.quantizer)
        for book, copy in zip(ours, theirs, strict=True):
            copy.embedding_sum.copy_(book.embedding_sum)
            copy.cluster_usage.copy_(book.cluster_usage)


def train(config: CodecTraining, folder: Path, rank: int = 0, world: int = 1, start: Mimi | None = None) -> CodecRun:
    """Run to `config.steps`; call again after any interruption."""
    run = CodecRun(config, folder, rank, world, start)
    config = run.config
    run.resume()
    log = CurveLog(folder / "curves.csv", run.step) if rank == 0 else None
    validation = Validation(run.corpus) if rank == 0 else None
    began, began_step = time.monotonic(), run.step
    window: list[dict[str, float]] = []
    if rank == 0:
        print(explain(config.precision), flush=True)
    stamp, stamp_seconds = time.monotonic(), run.seconds_heard
    while run.step < config.steps:
        window.append(run.advance())
        done = run.step == config.steps
        if log is None:
            window.clear()
        elif run.step % config.log_every == 0:
            means = {name: sum(row.get(name, 0.0) for row in window) / len(window) for name in window[-1]}
            pace = (run.seconds_heard - stamp_seconds) / (time.monotonic() - stamp)
            log.append(run.step, rate=run.rate(), pace=pace, seconds=run.seconds_heard, **means)
            left = eta(run.step / config.steps, began, began_step / config.steps)
            _say(run.step, f"{pace:5.1f} audio-s/s  ETA {left}", means)
            stamp, stamp_seconds, window = time.monotonic(), run.seconds_heard, []
        if run.step % config.checkpoint_every == 0 or done:
            run.grow()
            if rank == 0:
                run.save()
            if log is not None and validation is not None:
                figures = validation.measure(run.averaged, plain=run.step <= config.plain_steps)
                books = codebooks(run.model.codec.quantizer)
                used = {f"perplexity{k}": perplexity(book) for k, book in enumerate(books)}
                log.append(run.step, **figures, **used)
                _say(run.step, f"validation, {run.corpus.seconds() / 3600:.2f} h of corpus", figures | used)
                draw_curves(folder / "curves.csv", folder / "curves.png", PANELS)
                _write_card(run)
            stamp, stamp_seconds = time.monotonic(), run.seconds_heard
    return run


def _say(step: int, head: str, figures: dict[str, float]) -> None:
    print(f"{step:6d}  {head}  " + "  ".join(f"{k} {v:.4g}" for k, v in figures.items()), flush=True)


def _write_card(run: CodecRun) -> None:
    values = to_dict(run.config)
    card = codec_card(values, run.folder, run.seconds_heard / 3600, run.corpus.seconds() / 3600)
    (run.folder / "MODEL_CARD.md").write_text(card, encoding="utf-8")


def load_config(path: Path) -> CodecTraining:
    """Read a recipe. Raises InputError naming an unknown or mistyped key."""
    return from_dict(CodecTraining, json.loads(path.read_text(encoding="utf-8")), str(path))


def _store_config(config: CodecTraining, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    values: dict[str, Any] = to_dict(config)
    (folder / "config.json").write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


def main(given: list[str] | None = None) -> None:
    """Command line; under torchrun one call per process."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--run", type=Path, required=True, help="folder of the run")
    parser.add_argument("--processes", type=int, default=1, help="share each step among so many processes")
    parser.add_argument("--from", dest="start", type=Path, help="a codec's file to go on from; may be shallower")
    words = sys.argv[1:] if given is None else given
    arguments = parser.parse_args(words)
    relaunch("duologue.training.codec", words, arguments.processes)
    torch.set_num_threads(1)
    rank, world = 0, 1
    if dist.is_torchelastic_launched():
        dist.init_process_group("gloo")
        rank, world = dist.get_rank(), dist.get_world_size()
    config = load_config(arguments.config)
    if rank == 0:
        _store_config(config, arguments.run)
    start = start_codec(arguments.start, config.mimi) if arguments.start else None
    train(config, arguments.run, rank, world, start)
    if world > 1:
        dist.destroy_process_group()


if __name__ == "__main__":
    main()
