"""The codec's stopwatch, on a codec small enough to run in a blink."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from duologue.evaluation import codec_speed
from duologue.evaluation.parity_mimi import SMALL


def test_every_form_and_direction_is_timed() -> None:
    found = codec_speed.measure_codec(threads=1, rounds=1, calls=2, config=SMALL)
    assert list(found) == ["native-float32", "native-float16", "native-bfloat16", "torch-float32"]
    for ways in found.values():
        for figures in (ways["decode"], ways["encode"]):
            for name in ("first", "steady_1", "steady_2", "steady_4"):
                assert 0 < figures[f"fastest_{name}"] <= figures[name]


def test_the_command_writes_what_it_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec_speed, "measure", lambda threads, rounds: {"threads": threads, "rounds": rounds})
    out = tmp_path / "made" / "speed.json"
    monkeypatch.setattr("sys.argv", ["codec_speed", "--threads", "1", "2", "--rounds", "5", "--out", str(out)])
    assert codec_speed.main() == 0
    report = json.loads(out.read_text())
    assert [entry["threads"] for entry in report["results"]] == [1, 2]
    assert report["random_weights"] is True and "machine" in report
