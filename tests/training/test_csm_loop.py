"""The loop learns what there is to learn, goes on where it was killed, and shares its work without changing it."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from duologue.csm.config import CsmConfig
from duologue.csm.frames import Segment, lay_out
from duologue.csm.model import Csm
from duologue.engine.base import FrameSampling, Sampling
from duologue.engine.generator import Limits, begin, generate_frames
from duologue.engine.torch_engine import TorchEngine
from duologue.errors import DuologueError, LayoutMismatch, WeightsDamaged
from duologue.training.batches import Phase
from duologue.training.checkpoints import checkpoints_in, latest_checkpoint, load_checkpoint, save_checkpoint
from duologue.training.code_shards import load_items
from duologue.training.csm_data import QUIET, items_of_split
from duologue.training.csm_export import export_csm, fitting
from duologue.training.csm_loop import CsmTrainer
from duologue.training.csm_recipe import CsmRecipe, Optimization, load_recipe
from duologue.training.csm_validation import Validation
from duologue.training.loop_log import read_curves
from duologue.training.start import start_from

from .toy_corpus import MODEL, VOICES, toy_recipe, write_recipe

WAIT = 280  # seconds; a free machine needs about ten
GREEDY = FrameSampling(first=Sampling(0.0), depth=Sampling(0.0), advance=Sampling(0.0))
CALM = Optimization(peak_rate=4e-3, warmup_steps=10, dropout=0.0, average_decay=0.9)


@pytest.fixture(scope="module")
def items(corpus):
    return items_of_split(load_items(*corpus)[0], "train", VOICES, MODEL)


@pytest.fixture(scope="module")
def taught(items):
    """A trainer that has learned the toy corpus, for the tests that only look at it."""
    trainer = CsmTrainer(toy_recipe(optimization=CALM), items)
    for step in range(260):
        trainer.step(step / 260)
    return trainer


def test_one_clip_is_learned_by_heart_and_spoken_again(items):
    recipe = toy_recipe(augmentation=QUIET, depth_fraction=1.0, optimization=CALM)
    turn = items[0][0]
    trainer = CsmTrainer(recipe, [[turn]])
    for step in range(120):
        row = trainer.step(step / 120)
    assert max(row["first"], row["depth"], row["advance"]) < 0.05
    assert np.array_equal(_speak(trainer.average.module, turn.text), turn.codes)


def test_the_loss_starts_near_chance(items):
    row = CsmTrainer(toy_recipe(), items).step(0.0)
    chance = np.log(MODEL.codebook_size)
    assert abs(row["first"] - chance) < 0.15
    assert abs(row["depth"] - chance) < 0.15


def test_the_text_decides_what_is_said(taught, corpus):
    held_out = items_of_split(load_items(*corpus)[0], "validation", VOICES, MODEL)
    measured = Validation(held_out, taught.recipe)(taught.average.module)
    assert measured["val_first"] < 0.5
    assert measured["text_gain"] > 2.0


def test_new_text_is_spoken_to_its_end(taught, items):
    """Words in an order never trained on: the units come out in order, and the turn ends by itself."""
    text = np.concatenate([items[3][0].text[:-2], items[5][0].text[1:]])
    codes = _speak(taught.average.module, text)
    speaker = 11 * (int(text[0]) - 2)
    heard = [int(code) for code, before in zip(codes[0], [-1, *codes[0]], strict=False) if code != before]
    wanted = [(int(unit) * 7 + speaker) % 60 for unit in text[1:-1]]
    rest = iter(heard)
    said = sum(unit in rest for unit in wanted)
    assert said >= 0.6 * len(wanted)  # fast units may pass between two frames
    assert codes.shape[1] < 4 * len(text)


def test_a_stored_state_goes_on_bit_for_bit(items, tmp_path):
    recipe = toy_recipe(depth_fraction=0.3)
    straight, first = CsmTrainer(recipe, items), CsmTrainer(recipe, items)
    for step in range(14):
        straight.step(step / 20)
    for step in range(8):
        first.step(step / 20)
    tensors, facts = first.state()
    save_checkpoint(tmp_path, first.step_number, tensors, facts)
    second = CsmTrainer(replace(recipe, seed=recipe.seed), items)
    second.load_state(*load_checkpoint(latest_checkpoint(tmp_path)))
    for step in range(8, 14):
        second.step(step / 20)
    ours, theirs = straight.state()[0], second.state()[0]
    assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []


@pytest.mark.timeout(900)
def test_killed_at_any_moment_a_run_ends_the_same(corpus, tmp_path):
    recipe = write_recipe(tmp_path / "recipe.json", toy_recipe(checkpoint_minutes=0.0005))
    _train(recipe, corpus, tmp_path / "straight", "--steps", "40").wait(WAIT)
    killed = _train(recipe, corpus, tmp_path / "killed", "--steps", "40")
    _wait_for(lambda: latest_checkpoint(tmp_path / "killed") is not None, killed)
    time.sleep(0.2)
    killed.send_signal(signal.SIGKILL)
    killed.wait(60)
    assert latest_checkpoint(tmp_path / "killed").name < "step-00000040"
    assert _train(recipe, corpus, tmp_path / "killed", "--steps", "40").wait(WAIT) == 0
    ours, theirs = (load_checkpoint(latest_checkpoint(tmp_path / run))[0] for run in ("straight", "killed"))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    steps = [row["step"] for row in read_curves(tmp_path / "killed" / "curves.csv") if "first" in row]
    assert steps == sorted(set(steps))
    assert (tmp_path / "killed" / "curves.png").stat().st_size > 1000
    assert json.loads((tmp_path / "killed" / "export" / "csm.json").read_text())["training"]["steps"] == 40


@pytest.mark.timeout(900)
def test_two_processes_take_the_steps_of_one(corpus, tmp_path):
    plain = Optimization(peak_rate=1e-3, warmup_steps=5, dropout=0.0)
    recipe = toy_recipe(depth_fraction=1.0, optimization=plain, phases=(Phase(1.0, 120, 0.4),), frames_per_batch=300)
    path = write_recipe(tmp_path / "recipe.json", recipe)
    one = _train(path, corpus, tmp_path / "one", "--steps", "20")
    two = _train(path, corpus, tmp_path / "two", "--steps", "20", "--processes", "2")
    assert (one.wait(WAIT), two.wait(WAIT)) == (0, 0)
    alone, shared = (read_curves(tmp_path / run / "curves.csv") for run in ("one", "two"))
    for name in ("first", "depth", "advance", "norm", "frames", "val_first", "val_depth", "val_advance"):
        ours, theirs = ([row[name] for row in rows if name in row] for rows in (alone, shared))
        assert ours == pytest.approx(theirs, rel=2e-4), name


def test_a_bad_gradient_is_left_out_and_many_end_the_run(items):
    trainer = CsmTrainer(toy_recipe(), items)
    trainer.step(0.0)
    before = [parameter.clone() for parameter in trainer.model.parameters()]
    spoil = trainer.model.codebook0_head.weight.register_hook(lambda gradient: gradient * float("nan"))
    trainer.step(0.0)
    assert all(torch.equal(a, b) for a, b in zip(before, trainer.model.parameters(), strict=True))
    with pytest.raises(DuologueError, match="in a row"):
        for _ in range(30):
            trainer.step(0.0)
    spoil.remove()


def test_an_export_speaks_like_the_run(taught, items, tmp_path):
    export_csm(tmp_path, taught.average.module, taught.recipe, {"steps": 3})
    listing = json.loads((tmp_path / "csm.json").read_text(encoding="utf-8"))
    assert [(v["name"], v["speaker"], v["accent"]) for v in listing["voices"]] == [
        ("af_heart", 0, "us"),
        ("bm_george", 1, "gb"),
    ]
    start = start_from(str(tmp_path / "csm.safetensors"))
    fresh = CsmTrainer(taught.recipe, items, start=fitting(start, taught.recipe))
    text = items[0][0].text
    assert np.array_equal(_speak(fresh.model, text), _speak(taught.average.module, text))


def test_weights_of_another_size_are_refused(taught, items, tmp_path):
    export_csm(tmp_path, taught.average.module, taught.recipe, {})
    wider = replace(MODEL, depth=replace(MODEL.depth, hidden=72))
    with pytest.raises(LayoutMismatch, match="mlp"):
        fitting(start_from(str(tmp_path / "csm.safetensors")), toy_recipe(model=wider))


def test_old_checkpoints_go_and_damaged_ones_are_named(tmp_path):
    for step in (1, 2, 3):
        save_checkpoint(tmp_path, step, {"x": torch.full((4,), float(step))}, {"note": step})
    assert [path.name for path in checkpoints_in(tmp_path)] == [
        "step-00000002.safetensors",
        "step-00000003.safetensors",
    ]
    newest = latest_checkpoint(tmp_path)
    newest.write_bytes(newest.read_bytes()[:-5])
    with pytest.raises(WeightsDamaged, match="step-00000003"):
        load_checkpoint(newest)


def test_the_rate_warms_up_and_falls():
    options = Optimization(peak_rate=1.0, warmup_steps=10, final_share=0.1)
    rates = [options.rate(step, step / 100) for step in range(100)]
    assert np.argmax(rates) == 9
    assert rates[0] == pytest.approx(0.1, rel=0.01)
    assert rates[-1] == pytest.approx(0.1, rel=0.01)


def _speak(model: Csm, text: np.ndarray) -> np.ndarray:
    engine = TorchEngine(_copy(model))
    prompt = lay_out(engine.config, [Segment(text)])
    utterance = begin(engine, engine.new_cache(), prompt, text, GREEDY, Limits(max_frames=6 * len(text)))
    frames = list(generate_frames(engine, utterance))
    assert utterance.ending == "eos"
    return np.stack([frame.codes for frame in frames], axis=1)


def _copy(model: Csm) -> Csm:
    config: CsmConfig = model.config
    twin = Csm(config)
    twin.load_state_dict(model.state_dict())
    return twin


def _train(recipe: Path, corpus: tuple[Path, Path], run: Path, *more: str) -> subprocess.Popen[bytes]:
    codes, listings = corpus
    command = [sys.executable, "-m", "duologue.training.csm", "--config", recipe, "--codes", codes]
    command += ["--corpus", listings, "--run", run, "--nice", "0", *more]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(list(map(str, command)), env=environment, stderr=subprocess.DEVNULL)


def _wait_for(condition, process: subprocess.Popen[bytes], seconds: float = WAIT) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)


def test_a_recipe_is_read_strictly(tmp_path):
    path = write_recipe(tmp_path / "recipe.json", toy_recipe())
    values = json.loads(path.read_text())
    assert load_recipe(path) == toy_recipe()
    path.write_text(json.dumps({**values, "depth_fractoin": 1.0}))
    with pytest.raises(DuologueError, match=r"depth_fractoin.*depth_fraction"):
        load_recipe(path)
    assert isinstance(load_recipe(Path("recipes/voice/csm.json")), CsmRecipe)
