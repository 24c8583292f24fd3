"""Speed beside other programs: fair turns, networks of the right shapes, and whole frames with the codec."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import gguf
import numpy as np
import pytest

from duologue.engine import bench
from duologue.engine.bench_model import random_model
from duologue.engine.native_engine import NativeEngine
from duologue.engine.quantize import PLANS
from duologue.errors import BackendUnavailable
from duologue.evaluation import speed_peers, speed_plot, speed_whole
from duologue.evaluation.llama_cpp_files import write_llama_files
from tests.csm.sizes import PLAIN
from tests.tiny import tiny_codec_config


@pytest.fixture(autouse=True)
def small_buffer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "BUFFER_BYTES", 1 << 22)


class Said:
    """A program whose frames take what it is told."""

    def __init__(self, name: str, times: list[float], turns: list[str]) -> None:
        self.name, self._times, self._turns = name, times, turns

    def speak(self, frames: int) -> list[float]:
        self._turns.append(self.name)
        return self._times[:frames]


def test_programs_take_turns_and_are_compared_with_the_first() -> None:
    turns: list[str] = []
    found = speed_peers.side_by_side([Said("own", [2, 2, 4], turns), Said("other", [6, 7, 8], turns)], 2, 3, threads=1)
    assert turns == ["own", "other", "own", "other"]
    assert found["frame_ms"] == {"own": 2, "other": 7} and found["fastest_frame_ms"]["other"] == 6
    assert found["times_as_long_as_the_first"] == {"own": 1, "other": 3.5}
    assert len(found["bandwidth_gb_s"]) == 2


def test_transformers_frames_are_timed_one_by_one() -> None:
    contender = speed_peers.TransformersContender(1, PLAIN, context_rows=5)
    assert len(contender.speak(1)) == 1
    times = contender.speak(3)
    assert len(times) == 3 and min(times) > 0


def test_llama_files_have_the_shapes_and_bits(tmp_path: Path) -> None:
    backbone = dataclasses.replace(PLAIN.backbone, width=64, hidden=96, head_width=16)
    config = dataclasses.replace(PLAIN, backbone=backbone, depth=dataclasses.replace(backbone, layers=1, width=32))
    paths = write_llama_files(config, tmp_path)
    for path, stack in zip(paths, (config.backbone, config.depth), strict=True):
        tensors = {tensor.name: tensor for tensor in gguf.GGUFReader(path).tensors}
        down = tensors["blk.0.ffn_down.weight"]
        assert list(down.shape) == [stack.hidden, stack.width]  # GGUF names columns first
        assert down.n_bytes == stack.hidden // 32 * stack.width * 18
        assert f"blk.{stack.layers - 1}.attn_q.weight" in tensors and f"blk.{stack.layers}.attn_q.weight" not in tensors
    written = paths[0].stat().st_mtime_ns
    assert write_llama_files(config, tmp_path)[0].stat().st_mtime_ns == written


def test_a_folder_without_llama_cpp_is_named(tmp_path: Path) -> None:
    with pytest.raises(BackendUnavailable, match=str(tmp_path)):
        speed_peers.LlamaCppContender(tmp_path, tmp_path, 1)


def test_whole_frames_are_those_of_model_and_codec(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed_whole, "MIMI", tiny_codec_config())
    monkeypatch.setattr(speed_whole, "CONTEXT_ROWS", 8)
    found = speed_whole.whole_system(NativeEngine(random_model(PLAIN, PLANS["compact"])), frames=3)
    assert found["real_time_factor"] == pytest.approx(found["frame_ms"] / 80)
    assert found["frame_ms"] >= max(found["model_ms"], found["codec_ms"]) > 0
    assert found["first_audio_ms"] > 0


def test_a_picture_shows_programs_side_by_side(tmp_path: Path) -> None:
    result = {"engine": "native-x", "threads": 2, "streams": 1, "frame_ms": 5.0, "backbone_ms": 2.0, "depth_ms": 3.0}
    machine = {"cpu": "some", "cores": 2}
    found = {
        "results": [result],
        "machine": machine,
        "date": "2026-11-24T00:00:00",
        "peers": {"frame_ms": {"a": 5.0, "b": 9.0}},
    }
    alone = {name: value for name, value in found.items() if name != "peers"}
    speed_plot.plot(found, tmp_path / "both.png")
    speed_plot.plot(alone, tmp_path / "one.png")
    assert (tmp_path / "both.png").stat().st_size > (tmp_path / "one.png").stat().st_size > 1000
    assert np.isfinite(found["results"][0]["frame_ms"])
