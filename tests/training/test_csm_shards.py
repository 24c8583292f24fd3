"""Weights shared out among processes: the same steps, whole checkpoints that anybody can go on from."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from duologue.errors import InputError
from duologue.training.batches import Phase
from duologue.training.checkpoints import latest_checkpoint, load_checkpoint
from duologue.training.code_shards import load_items
from duologue.training.csm_data import items_of_split
from duologue.training.csm_loop import CsmTrainer
from duologue.training.csm_recipe import Optimization
from duologue.training.loop_log import read_curves
from duologue.training.lora import LoraConfig

from .test_csm_loop import WAIT, _train, _wait_for
from .toy_corpus import MODEL, VOICES, toy_recipe, write_recipe

pytestmark = pytest.mark.timeout(900)  # with fixtures: a dozen processes that import torch
STEPS = 30
SETTINGS = {
    "depth_fraction": 1.0,  # or each process draws frames of its own
    "optimization": Optimization(peak_rate=1e-3, warmup_steps=5, dropout=0.0),
    "phases": (Phase(1.0, 120, 0.4),),
    "frames_per_batch": 300,
}
ADAPTED = {**SETTINGS, "lora": LoraConfig(rank=4, alpha=8.0, whole=("text_embeddings.weight",))}


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    return write_recipe(tmp_path_factory.mktemp("recipe") / "recipe.json", toy_recipe(**SETTINGS))


@pytest.fixture(scope="module")
def alone(corpus, recipe, tmp_path_factory):
    """The run of one process."""
    folder = tmp_path_factory.mktemp("alone")
    assert _train(recipe, corpus, folder, "--steps", str(STEPS)).wait(WAIT) == 0
    return folder


@pytest.fixture(scope="module")
def interrupted(corpus, tmp_path_factory):
    """A sharded run of two processes whose processes were killed after a checkpoint."""
    hasty = write_recipe(tmp_path_factory.mktemp("hasty") / "recipe.json", toy_recipe(**SETTINGS, checkpoint_minutes=0))
    folder = tmp_path_factory.mktemp("interrupted")
    launcher = _train(hasty, corpus, folder, "--steps", str(STEPS), "--processes", "2", "--shard")
    try:
        _wait_for(lambda: latest_checkpoint(folder) is not None, launcher)
    finally:
        workers = subprocess.run(["pgrep", "-P", str(launcher.pid)], capture_output=True, text=True, check=False)
        for each in (launcher.pid, *map(int, workers.stdout.split())):
            os.kill(each, signal.SIGKILL)
        launcher.wait(60)
    assert latest_checkpoint(folder).name < f"step-{STEPS:08d}"
    return folder


def same_run(ours: Path, theirs: Path) -> None:
    for name in ("first", "depth", "advance", "norm", "frames", "val_first", "val_depth", "val_advance"):
        rows = [[row[name] for row in read_curves(run / "curves.csv") if name in row] for run in (ours, theirs)]
        assert len(rows[0]) > 0 and rows[0] == pytest.approx(rows[1], rel=2e-4), name
    ends = [load_checkpoint(latest_checkpoint(run)) for run in (ours, theirs)]
    assert ends[0][1]["step"] == ends[1][1]["step"] == STEPS
    assert ends[0][0].keys() == ends[1][0].keys()
    for name, tensor in ends[0][0].items():
        torch.testing.assert_close(
            tensor, ends[1][0][name], atol=2e-4, rtol=2e-3, msg=lambda text, name=name: name + text
        )


def test_shards_take_the_steps_of_one_process_also_after_a_kill(corpus, recipe, alone, interrupted, tmp_path):
    run = shutil.copytree(interrupted, tmp_path / "run")
    assert _train(recipe, corpus, run, "--steps", str(STEPS), "--processes", "2", "--shard").wait(WAIT) == 0
    same_run(alone, run)
    assert json.loads((run / "export" / "csm.json").read_text())["training"]["steps"] == STEPS


@pytest.mark.slow  # a further whole run
def test_one_process_goes_on_from_shards(corpus, recipe, alone, interrupted, tmp_path):
    run = shutil.copytree(interrupted, tmp_path / "run")
    assert _train(recipe, corpus, run, "--steps", str(STEPS)).wait(WAIT) == 0
    same_run(alone, run)


def test_shards_need_company(corpus):
    items = items_of_split(load_items(*corpus)[0], "train", VOICES, MODEL)
    with pytest.raises(InputError, match="share weights"):
        CsmTrainer(toy_recipe(), items, sharded=True)


@pytest.mark.slow  # once in nine runs, on a crowded machine, one of its processes aborted in gloo (docs/log.md)
def test_shards_resume_bit_for_bit_hold_adapters_and_keep_bad_gradients_out(tmp_path):
    """In two processes at once: sharded_steps.py compares and writes what it found."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command += ["-m", "--", "tests.training.sharded_steps", str(tmp_path)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, timeout=WAIT, check=False)
    assert done.returncode == 0, done.stderr.decode()[-3000:]
    told = json.loads((tmp_path / "told.json").read_text())
    for kind in ("plain", "adapted"):
        assert told[kind]["rows"] == pytest.approx(told[kind]["rows_alone"], rel=2e-4)
        one, two = told[kind]["rows_of_one_turn"]  # the second process has nothing to do, and takes part
        assert one == pytest.approx(two, rel=2e-4)
        assert told[kind]["resumed_bit_for_bit"] and told[kind]["average_like_alone"]
        assert told[kind]["left_out"] and told[kind]["held"] == pytest.approx(0.5, abs=0.03)
    assert told["adapted"]["frozen_is_shared"] and not told["adapted"]["base_in_checkpoint"]
