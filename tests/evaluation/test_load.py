"""Load and chaos, small: a real `duologue serve` of the embedded voice, with every kind of client that misbehaves.

The long forms are `python -m duologue.evaluation.load` and `python -m duologue.evaluation.load_chaos`.
"""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from duologue.evaluation.load import holds, measure, outcome, overload, store
from duologue.evaluation.load_chaos import SCENES, faults, run
from duologue.evaluation.load_listener import Heard, Line, Player
from duologue.evaluation.load_server import ServerProcess

LINE = Line("Hello.", "heart", 1)


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    state = tmp_path_factory.mktemp("state")
    options = ["--streams", "4", "--any-pace", "--waiting", "2", "--state", str(state)]
    with ServerProcess(options) as started:
        yield started


def test_listeners_get_what_they_would_get_alone(process: ServerProcess) -> None:
    result = asyncio.run(measure(process, streams=4, seconds=3, lines=3))
    assert holds(result), result
    assert result["served"] >= 4
    assert result["refused"] == 0
    assert result["footprint"]["most_threads"] > 1


def test_whoever_can_t_be_served_is_told_when_to_come_back(process: ServerProcess) -> None:
    result = asyncio.run(overload(process, 14))
    assert holds(result), result
    assert result["refused"] > 0
    assert result["served"] >= 4


def test_it_survives_chaos(process: ServerProcess) -> None:
    results = asyncio.run(run(process, list(SCENES), scale=0.02, seed=1))
    assert faults(results) == [], results
    assert results["killed"]["went_on_the_same"] == 2
    assert "Traceback" not in process.log()


def test_faults_are_found() -> None:
    at = {"open_files": 8, "children": 0}
    good = {"next_request_is_the_same": True, "before": at, "after": at, "statuses": {"400": 3}, "lost": 0}
    assert faults({"malformed": good}) == []
    for change in (
        {"next_request_is_the_same": False},
        {"after": {"open_files": 30, "children": 0}},
        {"after": {"open_files": 8, "children": 1}},
        {"statuses": {"500": 1}},
        {"statuses": {"endless": {"500": 1}}},
        {"lost": 1},
        {"others_served": False},
    ):
        assert len(faults({"malformed": {**copy.deepcopy(good), **change}})) == 1, change


def test_what_is_mixed_up_or_lost_is_counted() -> None:
    good = Heard(LINE, 200, 0.1, 0.2, audio=1.0, digest="x")
    assert holds(outcome([good], {LINE: "x"}))
    for heard in (
        Heard(LINE, 200, 0.1, 0.2, audio=1.0, digest="another"),
        Heard(LINE, 200, 0.1, 0.2, audio=1.0, digest="x", broken="ReadError"),
        Heard(LINE, 503, 0.1),
        Heard(LINE, 500, 0.1, retry_after=1),
        Heard(LINE, 0, broken="ReadTimeout"),
    ):
        assert not holds(outcome([good, heard], {LINE: "x"})), heard
    assert holds(outcome([good, Heard(LINE, 503, 0.1, retry_after=5)], {LINE: "x"}))


def test_a_player_runs_dry_when_sound_comes_later_than_it_plays() -> None:
    player = Player()
    for at in (0.0, 0.05, 0.10, 0.50, 0.55):  # chunks of 0.1 s; dry from 0.3 to 0.5
        player.chunk(10 + at, 0.1)
    assert player.under_runs == 1
    assert player.late == pytest.approx(0.2)


def test_results_are_kept_side_by_side(tmp_path: Path) -> None:
    path = tmp_path / "load.json"
    store(path, "b", {"x": 1})
    store(path, "a", {"x": 2})
    store(path, "b", {"x": 3})
    assert json.loads(path.read_text()) == {"a": {"x": 2}, "b": {"x": 3}}


def test_results_become_a_picture(tmp_path: Path) -> None:
    from duologue.evaluation.load_plot import draw

    level = {
        "streams": 4,
        "first_audio_ms": {"p50": 20.0, "p95": 40.0},
        "machine_load": {"before": 1.2},
        "footprint": {"over_time": [[0.0, 200.0], [60.0, 201.0]]},
    }
    draw({"4": level, "16": {**level, "streams": 16}}, tmp_path / "load.svg")
    assert "listeners" in (tmp_path / "load.svg").read_text()
