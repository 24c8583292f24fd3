"""The bench: what it counts, and that its figures belong together."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from duologue.cli.main import app
from duologue.engine import bench, bench_load
from duologue.engine.bench import measure
from duologue.engine.bench_model import bytes_per_frame, kept_random_model, random_model
from duologue.engine.native_engine import NativeEngine
from duologue.engine.quantize import PLANS
from tests.csm.sizes import ALIGNED, PLAIN


@pytest.fixture(autouse=True)
def small_buffer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "BUFFER_BYTES", 1 << 22)


def test_the_bytes_of_a_frame_are_counted_by_hand() -> None:
    """Backbone, its head and the projection once; the depth decoder and one head for each of three codebooks."""
    packed = random_model(PLAIN, PLANS["float32"])
    rows16 = lambda rows: -(-rows // 16) * 16  # noqa: E731
    backbone = 2 * 4 * 32 * ((4 + 2 * 2) * 16 + 4 * 16 + 2 * 48) + 2 * 4 * 32 * 48
    depth = 2 * 4 * (24 * (2 + 2 * 1) * 16 + 2 * 16 * rows16(24) + 24 * 2 * 32 + 32 * rows16(24))
    heads = 4 * (rows16(35) * 32 + rows16(24) * 32 + 3 * rows16(35) * 24)
    assert bytes_per_frame(packed) == backbone + 3 * depth + heads


def test_figures_belong_together() -> None:
    engine = NativeEngine(random_model(ALIGNED, PLANS["int8"]), threads=2)
    result = measure(engine, streams=3, rounds=2, frames=4, random_weights=True)
    assert 0 < result.fastest_frame_ms <= result.frame_ms
    assert result.real_time_factor == pytest.approx(result.frame_ms / 80)
    share = result.bytes_per_frame / (result.frame_ms / 1e3) / (result.bandwidth_gb_s * 1e9)
    assert result.bandwidth_share == pytest.approx(share)
    assert (result.threads, result.streams, result.random_weights) == (2, 3, True)
    assert result.context_rows + 2 * 4 < ALIGNED.backbone.max_positions


def test_the_command_writes_what_it_prints(tiny_folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "deep" / "bench.json"
    arguments = [
        "bench",
        str(tiny_folder),
        "--formats",
        "float32,int8",
        "--frames",
        "2",
        "--out",
        str(target),
        "--json",
    ]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout) == json.loads(target.read_text())
    assert {"date", "machine", "versions"} <= json.loads(done.stdout).keys()
    assert [result["engine"].split("-")[-1] for result in json.loads(done.stdout)["results"]] == ["float32", "int8"]


def test_the_commands_table_starts_with_the_bandwidth(tiny_folder: Path) -> None:
    done = CliRunner().invoke(app, ["bench", str(tiny_folder), "--frames", "2"])
    assert done.exit_code == 0, done.output
    assert done.stdout.split()[0] == "GB/s"


def test_long_contexts_and_neighbours_are_measured() -> None:
    engine = NativeEngine(random_model(PLAIN, PLANS["compact"]), threads=2)
    curve = bench.context_curve(engine, (3, 40), frames=3)
    assert list(curve["frame_ms"]) == [3, 40] and curve["last_to_first"] > 0
    found = bench.among_neighbours(engine, frames=2)
    assert found["times_the_quiet"] == pytest.approx(found["pressed_ms"] / found["quiet_ms"])
    assert found["slowest_pressed_ms"] >= found["pressed_ms"] > 0


def test_random_weights_are_kept_and_a_fresh_start_speaks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUOLOGUE_HOME", str(tmp_path))
    config = dataclasses.replace(PLAIN, backbone=dataclasses.replace(PLAIN.backbone, max_positions=64))
    packed, path = kept_random_model(config, PLANS["compact"])
    again, same = kept_random_model(config, PLANS["compact"])
    assert path == same and path.parent == tmp_path / "packed"
    assert (packed.block == again.block).all()
    monkeypatch.setattr("duologue.csm.config.CSM_1B", config)
    start = bench_load.ColdStart(**bench_load._start(path, "compact", 1))
    assert start.load_seconds > 0 and start.first_frame_seconds > 0 and start.peak_memory_mb > 1


def test_the_command_measures_everything_and_draws_it(tiny_folder: Path, tmp_path: Path) -> None:
    picture = tmp_path / "bench.png"
    arguments = [
        "bench",
        str(tiny_folder),
        "--frames",
        "1",
        "--streams",
        "1,2",
        "--all",
        "--json",
        "--plot",
        str(picture),
    ]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    parts = {"context", "neighbours", "speaking", "cold_process"}
    assert parts <= found.keys()
    assert all(found[part]["others_share"] >= -1 for part in parts)
    assert found["speaking"]["first_audio_ms"] > 0 and found["speaking"]["real_time_factor"] > 0
    cold = found["cold_process"]
    assert 0 < cold["import_seconds"] < cold["first_sound_of_the_process_seconds"] < cold["whole_process_seconds"]
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_other_programs_want_the_real_size(tiny_folder: Path) -> None:
    done = CliRunner().invoke(app, ["bench", str(tiny_folder), "--peers"])
    assert done.exit_code != 0 and "CSM-1B's size" in str(done.exception)
