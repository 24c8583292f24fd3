"""What a speech model would have said: codes of corpus turns, drawn frame by frame with the true past before each.

A decoder that has only heard a codec's own codes meets others when a speech model draws them: likely ones, but not
those of any recording. Codes drawn with the true past stay in step with the recording, so a refinement can learn to
sound them as it (what text-to-speech calls ground-truth-aligned training, as in Tacotron 2, arXiv 1712.05884). In a
share of the turns codebook 0 stays the true one and only the others are drawn.

`python -m duologue.training.predicted_codes --csm FILE --config RECIPE --shards DIR --codes DIR --out DIR`. A turn that
can't be read (a voice the model lacks) keeps its true codes. Shards that exist are kept.
"""

from __future__ import annotations

import argparse
import json
import random
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..csm.frames import hide_words
from ..csm.model import Csm
from ..engine.base import FrameSampling, Sampling
from ..errors import InputError
from ..weights.csm_files import load_csm
from .batches import Stretch
from .code_shards import CodeShard, SpokenTurn, join_listing, read_code_shard, write_code_shard
from .csm_data import QUIET, TurnRows, make_batch, turn_rows
from .csm_export import DEFAULT_SAMPLING
from .csm_recipe import CsmRecipe, load_recipe

FIRST_KNOWN = 0.5  # of the turns keep the true codebook 0


@dataclass(frozen=True)
class Prediction:
    """A model, how it is read, and how it draws."""

    model: Csm
    recipe: CsmRecipe
    sampling: FrameSampling

    def turn(self, turn: SpokenTurn, seed: int) -> np.ndarray:
        """Codes (K, T) in the place of a turn's; the turn's own where the model has no such voice."""
        speaker, config = self.recipe.voices.get(turn.voice), self.recipe.model
        if speaker is None or config.aligned is None:
            return turn.codes
        known = replace(turn, codes=turn.codes[: config.num_codebooks])
        row = turn_rows(known, speaker, config.aligned.max_advance)
        generator = torch.Generator().manual_seed(seed)
        first_known = random.Random(seed).random() < FIRST_KNOWN
        drawn = draw_with_true_past(self.model, row, self.sampling, generator, first_known=first_known)
        return np.concatenate([drawn, turn.codes[config.num_codebooks :]])


@torch.no_grad()
def draw_with_true_past(
    model: Csm, row: TurnRows, sampling: FrameSampling, generator: torch.Generator, *, first_known: bool
) -> np.ndarray:
    """Codes (K, T) of every frame of a turn, each drawn after its true past. `first_known` keeps codebook 0 true."""
    config, frames, units = model.config, row.frames, len(row.text)
    batch = make_batch([[row]], [Stretch(0, 0, 1, frames)], config, QUIET, "").batch
    rows = batch.rows
    if sampling.guidance != 1.0:
        rows = torch.cat([rows, torch.from_numpy(hide_words(config, rows[0].numpy()))[None]])
    states = model.hidden_states(rows, batch.positions.expand(len(rows), -1))
    before = states[:, units - 1 : units - 1 + frames]  # (1 or 2, T, D): what each frame is drawn from

    def choose(logits: Tensor, how: Sampling) -> Tensor:
        logits = logits[..., : config.codec_entries].float()
        if len(logits) == 2:
            logits = logits[1:] + sampling.guidance * (logits[:1] - logits[1:])
        return pick_rows(logits[0], how, generator)

    codes = torch.from_numpy(row.codes.T.copy())  # (T, K)
    if not first_known:
        codes[:, 0] = choose(model.first_stage(before).first_logits, sampling.first)
    for book in range(1, config.num_codebooks):
        logits = model.depth_stage(before.flatten(0, 1), codes.repeat(len(before), 1))[:, book - 1]
        codes[:, book] = choose(logits.view(len(before), frames, -1), sampling.depth)
    return codes.T.numpy()


def pick_rows(logits: Tensor, how: Sampling, generator: torch.Generator) -> Tensor:
    """One code for each row of logits (T, V)."""
    if how.temperature <= 0:
        return logits.argmax(-1)
    best, places = logits.topk(min(how.top_k or logits.shape[-1], logits.shape[-1]))
    chosen = torch.multinomial((best / how.temperature).softmax(-1), 1, generator=generator)
    return places.gather(1, chosen)[:, 0]


def predict_shards(prediction: Prediction, shards: Path, codes: Path, out: Path) -> int:
    """Write predicted codes for every shard in `codes` that has a listing in `shards`; returns how many were made."""
    made = 0
    for source in sorted(codes.glob("[0-9]*.safetensors")):
        listing, target = shards / f"{source.stem}.jsonl", out / source.name
        if not listing.exists():
            continue
        shard = read_code_shard(source)
        if target.exists() and read_code_shard(target).corpus == shard.corpus:
            continue
        turns = predict_shard(prediction, listing, shard)
        write_code_shard(target, turns, shard.codec, shard.corpus)
        made += 1
        print(f"{target}: {len(turns)} turns", flush=True)
    return made


def predict_shard(prediction: Prediction, listing: Path, shard: CodeShard) -> list[np.ndarray]:
    """Predicted codes of a shard's turns, in the order of its listing."""
    lines = [json.loads(line) for line in listing.read_text(encoding="utf-8").splitlines()]
    turns = [turn for item in join_listing(lines, shard.turns, listing.stem) for turn in item.turns]
    return [prediction.turn(turn, zlib.crc32(f"{listing.stem} {i}".encode())) for i, turn in enumerate(turns)]


def main(given: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--csm", type=Path, required=True, help="the speech model's file")
    parser.add_argument("--config", type=Path, required=True, help="its recipe, for the voices' numbers")
    parser.add_argument("--shards", type=Path, required=True)
    parser.add_argument("--codes", type=Path, required=True, help="the shards' true codes")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args(given)
    torch.set_num_threads(1)
    model, recipe = load_csm(arguments.csm, torch.float32).eval(), load_recipe(arguments.config)
    if model.config != recipe.model:
        raise InputError(f"{arguments.config} describes another model than {arguments.csm}.", field="config")
    made = predict_shards(Prediction(model, recipe, usual_sampling()), arguments.shards, arguments.codes, arguments.out)
    print(made, "shards predicted")


def usual_sampling() -> FrameSampling:
    """How a trained model speaks unless asked otherwise."""
    stages = {name: Sampling(**DEFAULT_SAMPLING[name]) for name in ("first", "depth", "advance")}  # type: ignore[arg-type]
    return FrameSampling(**stages, guidance=float(DEFAULT_SAMPLING["guidance"]))  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
