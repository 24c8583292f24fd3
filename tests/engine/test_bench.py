"""The bench: what it counts, and that its figures belong together."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from duologue.cli.main import app
from duologue.engine import bench
from duologue.engine.bench import bytes_per_frame, measure, random_model
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
