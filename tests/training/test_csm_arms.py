"""Comparisons of speech models: arms take turns on the processor's clock, and what is finished is not trained again."""

import json
from pathlib import Path

import pytest

from duologue.configuration import to_dict
from duologue.errors import InputError
from duologue.training import compare, csm_arms
from duologue.training.arms import read_experiment

from .toy_corpus import toy_recipe

RECIPES = Path(__file__).parents[2] / "recipes" / "compare"
SECONDS = 1.6


def experiment(path, **more):
    values = {"question": "?", "csm": to_dict(toy_recipe()), "cpu_seconds": SECONDS, **more}
    values.setdefault("arms", {"all": {"depth_fraction": 1.0}, "1/4": {"depth_fraction": 0.25}})
    path.write_text(json.dumps(values))
    return path


def test_arms_use_the_same_time_and_learn(corpus, tmp_path, monkeypatch):
    path, out, run = experiment(tmp_path / "c.json"), tmp_path / "told.json", tmp_path / "run"
    given = {"config": path, "codes": corpus[0], "corpus": corpus[1], "run": run, "out": out, "seed": 4}
    words = [str(word) for name, value in given.items() for word in (f"--{name}", value)]
    compare.main(words)
    told = json.loads(out.read_text())
    assert list(told["arms"]) == ["all", "1/4"] and told["command"].endswith("--seed 4")
    for arm in told["arms"].values():
        assert SECONDS <= arm["training_cpu_seconds"] + 0.1 < 1.5 * SECONDS
        assert 2 < len(arm["curve"]) <= csm_arms.LOOKS and arm["curve"][-1]["step"] == arm["steps"]
        assert arm["val_first"] < arm["curve"][0]["val_first"]
    monkeypatch.setattr(csm_arms.Arm, "step", None)  # nothing is left to do
    compare.main(words)
    assert json.loads(out.read_text())["arms"] == told["arms"]


def test_a_stopped_comparison_goes_on_from_its_last_looks(corpus, tmp_path, monkeypatch):
    read = read_experiment(experiment(tmp_path / "c.json"))
    look, seen = csm_arms.Arm.look, []

    def stops(arm):
        look(arm)
        seen.append(arm)
        if len(seen) == 5:
            raise KeyboardInterrupt

    monkeypatch.setattr(csm_arms.Arm, "look", stops)
    with pytest.raises(KeyboardInterrupt):
        csm_arms.compare_csm(read, *corpus, tmp_path / "run")
    told = csm_arms.compare_csm(read, *corpus, tmp_path / "run")
    assert len(seen) == sum(len(arm["curve"]) for arm in told.values())
    assert all(arm["curve"][-1]["seconds"] >= SECONDS for arm in told.values())


def test_what_is_missing_is_named(corpus, tmp_path, capsys):
    path = experiment(tmp_path / "c.json")
    with pytest.raises(SystemExit):
        compare.main(["--config", str(path), "--run", str(tmp_path / "run"), "--out", str(tmp_path / "o.json")])
    assert "--codes and --corpus" in capsys.readouterr().err
    with pytest.raises(InputError, match="cpu_seconds"):
        csm_arms.compare_csm(
            read_experiment(experiment(tmp_path / "d.json", cpu_seconds=None)), *corpus, tmp_path / "run"
        )
    with pytest.raises(InputError, match="either codec or csm"):
        read_experiment(experiment(tmp_path / "e.json", codec={}))


@pytest.mark.parametrize("name", ["phones", "front_end", "depth_fraction"])
def test_recipes_are_read(name):
    read = read_experiment(RECIPES / f"{name}.json", seed=9)
    assert len(read.arms) > 1 and next(iter(read.arms.values()))["seed"] == 9
