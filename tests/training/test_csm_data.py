"""What the model trains on is what the corpus says: codes, units, pointers, and nothing else."""

import dataclasses
from dataclasses import replace

import numpy as np
import pytest
import torch

from duologue.csm.frames import INACTIVE
from duologue.errors import InputError, WeightsDamaged
from duologue.text.units import UNIT_IDS
from duologue.training.batches import BatchPlan, Cursor, Phase, Stretch
from duologue.training.code_shards import SpokenTurn, load_items, read_code_shard, write_code_shard
from duologue.training.csm_data import (
    QUIET,
    Augmentation,
    items_of_split,
    make_batch,
    part_of_batch,
    shuffled_text,
    turn_rows,
)

from .toy_corpus import MODEL, VOICES, write_toy_corpus


@pytest.fixture(scope="module")
def items(tmp_path_factory):
    codes, corpus = write_toy_corpus(tmp_path_factory.mktemp("toy"))
    return items_of_split(load_items(codes, corpus)[0], "train", VOICES, MODEL)


def test_code_shards_come_back_as_written(tmp_path):
    turns = [np.arange(12).reshape(3, 4), np.full((3, 1), 1023)]
    write_code_shard(tmp_path / "00007.safetensors", turns, codec="c", corpus="l")
    shard = read_code_shard(tmp_path / "00007.safetensors")
    assert (shard.codec, shard.corpus) == ("c", "l")
    assert [turn.tolist() for turn in shard.turns] == [turn.tolist() for turn in turns]


def test_codes_of_two_codecs_never_mix(tmp_path):
    codes, corpus = write_toy_corpus(tmp_path, items=4)
    write_code_shard(codes / "00001.safetensors", [np.zeros((3, 2), int)], codec="another", corpus="l")
    with pytest.raises(InputError, match="different codecs"):
        load_items(codes, corpus)


def test_a_truncated_shard_is_named(tmp_path):
    codes, corpus = write_toy_corpus(tmp_path, items=4)
    path = codes / "00000.safetensors"
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(WeightsDamaged, match=r"00000\.safetensors"):
        load_items(codes, corpus)


def test_a_frame_stands_at_the_unit_that_sounds_at_its_centre():
    # in units of 25 ms: silence 4, m 4, u 8, '.' 4, silence 4; a frame is 3.2 of them, its centre at 1.6, 4.8, …
    turn = SpokenTurn("af_heart", "", "mu.", [4, 4, 8, 4, 4], np.zeros((3, 8), int))
    rows = turn_rows(turn, speaker=2, max_advance=4)
    assert [UNIT_IDS[unit] for unit in ("<speaker 2>", "m", "u", ".", "<end>")] == rows.text.tolist()
    assert rows.pointers.tolist() == [0, 1, 2, 2, 2, 3, 4, 4, 4]


def test_turns_of_voices_without_a_speaker_are_left_out(items, tmp_path):
    codes, corpus = write_toy_corpus(tmp_path)
    only_one = items_of_split(load_items(codes, corpus)[0], "train", {"af_heart": 0}, MODEL)
    speakers = {int(turn.text[0]) for item in only_one for turn in item}
    assert speakers == {UNIT_IDS["<speaker 0>"]}
    assert sum(map(len, only_one)) < sum(map(len, items))


def test_noise_changes_what_is_read_but_never_what_is_learned(items):
    stretches = [Stretch(i, 0, len(items[i]), 0) for i in range(4)]
    clean = make_batch(items, stretches, MODEL, QUIET, "s")
    noisy = make_batch(items, stretches, MODEL, replace(QUIET, frame_noise=0.5), "s")
    assert torch.equal(clean.inputs, clean.batch.rows)
    assert torch.equal(noisy.batch.rows, clean.batch.rows)
    changed = (noisy.inputs != noisy.batch.rows).any(-1)
    audio = noisy.batch.rows[..., 0] != INACTIVE
    assert 0.3 < changed[audio].float().mean() < 0.6
    assert not changed[~audio].any()
    assert torch.equal(noisy.inputs[..., 3:], noisy.batch.rows[..., 3:])  # text and window stay


def test_hidden_codes_are_always_the_last_ones(items):
    stretches = [Stretch(i, 0, len(items[i]), 0) for i in range(6)]
    noisy = make_batch(items, stretches, MODEL, replace(QUIET, book_drop=1.0), "s")
    seen = noisy.inputs[..., :3][noisy.batch.rows[..., 0] != INACTIVE] != INACTIVE
    assert seen[:, 0].all()
    assert not (seen[:, 2] & ~seen[:, 1]).any()
    assert 0.1 < seen[:, 2].float().mean() < 0.6


def test_hidden_text_leaves_the_unit_being_spoken(items):
    stretches = [Stretch(i, 0, len(items[i]), 0) for i in range(6)]
    noisy = make_batch(items, stretches, MODEL, replace(QUIET, text_drop=0.5), "s")
    rows, inputs = noisy.batch.rows, noisy.inputs
    current, timing = 3 + 1 + MODEL.aligned.before, -1
    assert torch.equal(inputs[..., :3], rows[..., :3])
    assert torch.equal(inputs[..., [current, timing]], rows[..., [current, timing]])
    assert torch.equal(inputs[:, 0, 3], rows[:, 0, 3])
    ahead = rows[..., current + 1] != INACTIVE
    assert 0.3 < (inputs[..., current + 1][ahead] == INACTIVE).float().mean() < 0.7


def test_a_wordless_turn_keeps_speaker_timing_and_sound(items):
    number = next(i for i, item in enumerate(items) if len(item) == 3)
    whole = make_batch(items, [Stretch(number, 0, 3, 0)], MODEL, replace(QUIET, wordless=1.0), "s")
    rows, inputs = whole.batch.rows[0], whole.inputs[0]
    assert torch.equal(inputs[:, :3], rows[:, :3])
    assert torch.equal(inputs[:, -1], rows[:, -1])
    starts = np.cumsum([0] + [len(turn.text) + turn.frames + 1 for turn in items[number]])[:-1]
    assert torch.equal(inputs[starts, 3], rows[starts, 3])
    words = rows[:, 3:-1].clone()
    words[starts, 0] = INACTIVE
    assert (words != INACTIVE).any()
    inputs[starts, 3] = INACTIVE
    assert (inputs[:, 3:-1] == INACTIVE).all()
    some = make_batch(items, [Stretch(number, 0, 3, 0)] * 40, MODEL, replace(QUIET, wordless=0.3), "s")
    hidden = sum(int((some.inputs[:, start + 1, 3] == INACTIVE).sum()) for start in starts)
    assert 20 <= hidden <= 55


def test_the_same_seed_makes_the_same_batch(items):
    stretches = [Stretch(i, 0, len(items[i]), 0) for i in range(4)]
    one, two, other = (make_batch(items, stretches, MODEL, Augmentation(), seed) for seed in "aab")
    assert torch.equal(one.inputs, two.inputs)
    assert not torch.equal(one.inputs, other.inputs)


def test_unaligned_context_is_read_but_not_trained(items):
    number = next(i for i, item in enumerate(items) if len(item) == 3)
    whole = make_batch(items, [Stretch(number, 0, 3, 0)], MODEL, replace(QUIET, unaligned_context=1.0), "s").batch
    last = items[number][-1].frames + 1
    assert int(whole.trained.sum()) == last
    first_turn = len(items[number][0].text) + items[number][0].frames
    assert (whole.rows[0, :first_turn, 4:] == INACTIVE).all()


def test_processes_share_a_batch_without_loss(items):
    stretches = [Stretch(i, 0, len(items[i]), 0) for i in range(5)]
    whole = make_batch(items, stretches, MODEL, QUIET, "s")
    parts = [part_of_batch(whole, rank, 2) for rank in (0, 1)]
    assert sum(part.frames for part in parts) == whole.frames
    for rank, part in enumerate(parts):
        for row, original in zip(part.batch.rows, whole.batch.rows[rank::2], strict=True):
            assert torch.equal(row, original[: len(row)])
            assert (original[len(row) :] == INACTIVE).all()


def test_strangers_text_keeps_speaker_and_codes(items):
    other = shuffled_text(items, seed=1)
    for item, changed in zip(items, other, strict=True):
        for turn, strange in zip(item, changed, strict=True):
            assert np.array_equal(turn.codes, strange.codes)
            assert turn.text[0] == strange.text[0]
    assert any(
        turn.text.tolist() != s.text.tolist()
        for a, b in zip(items, other, strict=True)
        for turn, s in zip(a, b, strict=True)
    )


FRAMES = [[20, 30, 10], [5], [90], [40, 45], [8, 8, 8, 8]] * 7


def test_an_epoch_trains_every_turn_once():
    plan = BatchPlan(FRAMES, [Phase(1.0, 100, 0.4)], 150, seed=3)
    cursor, seen = Cursor(), []
    while True:
        batch = plan.next(cursor, 0.0)
        if cursor.epoch:
            break
        seen += [(each.item, turn) for each in batch for turn in range(each.first, each.last)]
        assert all(each.frames <= 100 for each in batch)
        assert sum(each.frames for each in batch) <= 150 or len(batch) == 1
    assert sorted(seen) == [(i, t) for i, item in enumerate(FRAMES) for t in range(len(item))]


def test_short_turns_come_first():
    plan = BatchPlan(FRAMES, [Phase(0.5, 12, 1.0), Phase(1.0, 100, 0.0)], 60, seed=3)
    cursor = Cursor()
    early = [each for _ in range(20) for each in plan.next(cursor, 0.1)]
    late = [each for _ in range(20) for each in plan.next(cursor, 0.6)]
    assert all(each.frames <= 12 and each.last - each.first == 1 for each in early)
    assert max(each.frames for each in late) > 80


def test_the_plan_goes_on_from_a_stored_cursor():
    phases = [Phase(0.5, 50, 0.5), Phase(1.0, 100, 0.4)]
    plan, cursor, trail = BatchPlan(FRAMES, phases, 90, seed=3), Cursor(), []
    for step in range(40):
        trail.append((dataclasses.replace(cursor), plan.next(cursor, step / 40)))
    for step, (place, batch) in enumerate(trail):
        if step % 7 == 3:
            assert BatchPlan(FRAMES, phases, 90, seed=3).next(place, step / 40) == batch
