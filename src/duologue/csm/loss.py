"""What a CSM is trained on: codebook 0 and the pointer's move on every frame, codebooks 1..K-1 on a share of frames.

Row s is trained on the frame of row s + 1: its hidden state conditions codebook 0 *and* the depth decoder (hidden
t - 1, never t: generation has no other). The EOS frame is a target like any other; with eos "code" only its codebook
0 is, as the rest of such a frame is never drawn. Text rows, turns not `trained` and padding are no targets.

The depth share follows Sesame's compute amortisation: frames are drawn at random, which leaves the expected depth loss
unchanged. Knows nothing of optimisers or of where batches come from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from .config import CsmConfig
from .frames import INACTIVE, Grid
from .model import Csm


@dataclass
class Batch:
    """Grids of unequal lengths, padded at the end with inactive rows."""

    rows: torch.Tensor  # (B,S,columns)
    positions: torch.Tensor  # (B,S)
    trained: torch.Tensor  # (B,S) bool
    advance: torch.Tensor  # (B,S), -1 unknown

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on another device."""
        return Batch(*(part.to(device) for part in (self.rows, self.positions, self.trained, self.advance)))


@dataclass(frozen=True)
class LossWeights:
    """Each part is a mean cross-entropy in nats per symbol; the total is their weighted sum."""

    first: float = 1.0
    depth: float = 1.0
    advance: float = 1.0
    eos: float = 1.0  # how much an EOS counts among the targets of codebook 0
    depth_decay: float = 1.0  # each further codebook of the depth stage counts so much of the one before it


@dataclass
class Losses:
    """Weighted total, and the mean of each part over its own targets (zero where it has none)."""

    total: torch.Tensor
    first: torch.Tensor
    depth: torch.Tensor
    advance: torch.Tensor


def collate(grids: Sequence[Grid]) -> Batch:
    """Pad grids to the longest."""
    longest = max(len(grid.rows) for grid in grids)
    shape = (len(grids), longest)
    batch = Batch(
        rows=torch.full((*shape, grids[0].rows.shape[1]), INACTIVE),
        positions=torch.zeros(shape, dtype=torch.int64),
        trained=torch.zeros(shape, dtype=torch.bool),
        advance=torch.full(shape, INACTIVE),
    )
    for b, grid in enumerate(grids):
        size = len(grid.rows)
        batch.rows[b, :size] = torch.from_numpy(grid.rows)
        batch.positions[b, :size] = torch.from_numpy(grid.positions)
        batch.trained[b, :size] = torch.from_numpy(grid.trained)
        batch.advance[b, :size] = torch.from_numpy(grid.advance)
    return batch


def csm_losses(
    model: Csm,
    batch: Batch,
    weights: LossWeights = LossWeights(),
    depth_fraction: float = 1.0,
    generator: torch.Generator | None = None,
    inputs: torch.Tensor | None = None,
) -> Losses:
    """Losses of a batch. `inputs` (B,S,columns) replaces the rows that are read (corruption), never the targets."""
    config = model.config
    rows, books = batch.rows, config.num_codebooks
    states = model.hidden_states(rows if inputs is None else inputs, batch.positions)
    targets = rows[:, 1:, :books]  # (B,S-1,K): the frame after each row
    wanted = batch.trained[:, :-1] & (targets[..., 0] >= 0)
    codes = targets[wanted]  # (F,K)
    hidden = states[:, :-1][wanted]  # (F,D): the state before each of these frames
    stage = model.first_stage(hidden)
    ended = _is_eos(config, codes)
    first = _mean_by_weight(
        F.cross_entropy(stage.first_logits.float(), codes[:, 0], reduction="none"),
        torch.where(ended, weights.eos, 1.0),
    )
    advance = _advance_loss(stage.advance_logits, batch.advance[:, :-1][wanted])
    known = ~ended if config.eos == "code" else torch.ones_like(ended)
    chosen = choose_frames(known, depth_fraction, generator)
    depth = _depth_loss(model, hidden[chosen], codes[chosen], weights.depth_decay)
    total = weights.first * first + weights.depth * depth + weights.advance * advance
    return Losses(total, first, depth, advance)


def choose_frames(known: torch.Tensor, fraction: float, generator: torch.Generator | None) -> torch.Tensor:
    """Indices of a random share of the frames marked in `known` (F,): at least one, all of them with fraction 1."""
    indices = known.nonzero()[:, 0]
    if fraction >= 1.0 or len(indices) == 0:
        return indices
    count = max(1, round(fraction * len(indices)))
    order = torch.randperm(len(indices), generator=generator)[:count]
    return indices[order.to(indices.device)]


def _is_eos(config: CsmConfig, codes: torch.Tensor) -> torch.Tensor:
    return codes[:, 0] == config.eos_code if config.eos == "code" else (codes == 0).all(1)


def _advance_loss(logits: torch.Tensor | None, moves: torch.Tensor) -> torch.Tensor:
    if logits is None:
        return torch.zeros((), device=moves.device)
    known = moves >= 0
    losses = F.cross_entropy(logits[known].float(), moves[known], reduction="sum")
    return losses / known.sum().clamp(min=1)


def _depth_loss(model: Csm, hidden: torch.Tensor, codes: torch.Tensor, decay: float) -> torch.Tensor:
    if codes.numel() == 0 or codes.shape[1] == 1:
        return hidden.sum() * 0.0  # no frame or no further codebook; the graph stays whole
    logits = model.depth_stage(hidden, codes)  # (F,K-1,V)
    losses = F.cross_entropy(logits.float().flatten(0, 1), codes[:, 1:].flatten(), reduction="none")
    books = decay ** torch.arange(codes.shape[1] - 1, device=codes.device)
    return _mean_by_weight(losses, books.repeat(len(codes)))


def _mean_by_weight(losses: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    return (losses * weights).sum() / weights.sum().clamp(min=1e-9)
