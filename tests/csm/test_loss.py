"""What is trained: every frame and its EOS from the state before it, and nothing else."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from duologue.csm.config import CsmConfig
from duologue.csm.frames import lay_out
from duologue.csm.loss import Batch, LossWeights, choose_frames, collate, csm_losses
from duologue.csm.model import Csm
from tests.csm.sizes import ALIGNED, BOTH, PLAIN, build, dialogue, turn

NAMES = ["plain", "aligned"]


def batch_of(config: CsmConfig) -> Batch:
    return collate(
        [lay_out(config, dialogue(config, sizes, i)) for i, sizes in enumerate([[(5, 6), (4, 7)], [(8, 3)]])]
    )


@pytest.mark.parametrize("config", BOTH, ids=NAMES)
def test_a_new_model_starts_near_the_logarithm_of_its_choices(config: CsmConfig) -> None:
    torch.manual_seed(0)
    losses = csm_losses(Csm(config), batch_of(config))
    assert losses.first.item() == pytest.approx(math.log(config.codebook_size), abs=0.1)
    assert losses.depth.item() == pytest.approx(math.log(config.codebook_size), abs=0.1)
    if config.aligned is not None:
        assert losses.advance.item() == pytest.approx(math.log(config.aligned.max_advance + 1), abs=0.1)


def test_losses_equal_a_plain_loop_over_frames() -> None:
    """The definition, written out: frame t from the state of the row before it, the depth stage from that state too."""
    for config in BOTH:
        model, segment = build(config), turn(config, 4, 5)
        grid = lay_out(config, [segment])
        batch = collate([grid])
        hidden = model.hidden_states(batch.rows, batch.positions)[0]
        first, depth = [], []
        for row in range(3, 9):  # the last text row and five audio rows
            codes = batch.rows[0, row + 1, :4]
            first.append(F.cross_entropy(model.first_stage(hidden[row]).first_logits, codes[0]))
            if config.eos == "zeros" or row < 8:  # codes beside an EOS code mean nothing
                depth.append(F.cross_entropy(model.depth_stage(hidden[row : row + 1], codes[None])[0], codes[1:]))
        losses = csm_losses(model, batch)
        torch.testing.assert_close(losses.first, torch.stack(first).mean())
        torch.testing.assert_close(losses.depth, torch.stack(depth).mean())


def test_the_depth_share_keeps_the_expected_loss() -> None:
    model, batch = build(PLAIN), batch_of(PLAIN)
    with torch.inference_mode():
        full = csm_losses(model, batch).depth.item()
        draws = [
            csm_losses(model, batch, depth_fraction=0.25, generator=torch.Generator().manual_seed(seed)).depth.item()
            for seed in range(200)
        ]
    mean, spread = sum(draws) / 200, torch.tensor(draws).std().item()
    assert spread > 0.01
    assert mean == pytest.approx(full, abs=4 * spread / math.sqrt(200))


def test_a_whole_share_takes_every_frame_and_a_small_one_at_least_one() -> None:
    known = torch.tensor([True, False, True, True])
    assert choose_frames(known, 1.0, None).tolist() == [0, 2, 3]
    assert len(choose_frames(known, 0.01, None)) == 1
    assert len(choose_frames(torch.zeros(3, dtype=torch.bool), 0.5, None)) == 0


@pytest.mark.parametrize("config", BOTH, ids=NAMES)
def test_padding_changes_no_loss_and_no_gradient(config: CsmConfig) -> None:
    model, short = build(config), lay_out(config, dialogue(config, [(4, 5)]))
    alone = csm_losses(model, collate([short]))
    longer = lay_out(config, [replace(segment, trained=False) for segment in dialogue(config, [(6, 9), (5, 8)], 7)])
    together = csm_losses(model, collate([short, longer]))
    torch.testing.assert_close(together.total, alone.total)


def test_turns_not_trained_are_context_only() -> None:
    model = build(PLAIN)
    heard, spoken = turn(PLAIN, 4, 5, seed=1, trained=False), turn(PLAIN, 3, 6, seed=2)
    grid = lay_out(PLAIN, [heard, spoken])
    losses = csm_losses(model, collate([grid]))
    with torch.inference_mode():
        batch = collate([grid])
        hidden = model.hidden_states(batch.rows, batch.positions)[0]
        own = slice(len(grid.rows) - 8, len(grid.rows) - 1)  # the rows before six frames and an EOS
        wanted = F.cross_entropy(model.first_stage(hidden[own]).first_logits, batch.rows[0, -7:, 0])
    torch.testing.assert_close(losses.first.detach(), wanted)


def test_the_eos_is_learnt() -> None:
    """Training on one turn makes the model end it: the EOS frame becomes the likeliest there, and only there."""
    for config in BOTH:
        model = build(config, std=0.05).train()
        batch = collate([lay_out(config, [turn(config, 4, 5)])])
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
        for _ in range(60):
            optimizer.zero_grad()
            csm_losses(model, batch, LossWeights(eos=2.0)).total.backward()
            optimizer.step()
        with torch.inference_mode():
            hidden = model.hidden_states(batch.rows, batch.positions)[0]
            picked = model.first_stage(hidden).first_logits[3:9].argmax(-1).tolist()
        assert picked == batch.rows[0, 4:10, 0].tolist()
        assert csm_losses(model, batch).total.item() < 0.2


def test_noise_goes_into_the_inputs_and_never_into_the_targets() -> None:
    model, batch = build(PLAIN), batch_of(PLAIN)
    inputs = batch.rows.clone()
    inputs[inputs >= 0] = 0
    noisy, clean = csm_losses(model, batch, inputs=inputs), csm_losses(model, batch)
    assert noisy.first.item() != pytest.approx(clean.first.item())
    same = csm_losses(model, batch, inputs=batch.rows.clone())
    assert same.first.item() == clean.first.item()


def test_one_codebook_has_no_depth_loss() -> None:
    config = replace(PLAIN, num_codebooks=1)
    losses = csm_losses(build(config), collate([lay_out(config, [turn(config, 3, 4)])]))
    assert losses.depth.item() == 0.0
    losses.total.backward()


def test_weights_add_up() -> None:
    model, batch = build(ALIGNED), batch_of(ALIGNED)
    losses = csm_losses(model, batch, LossWeights(first=0.5, depth=2.0, advance=3.0))
    wanted = 0.5 * losses.first + 2.0 * losses.depth + 3.0 * losses.advance
    torch.testing.assert_close(losses.total, wanted)
