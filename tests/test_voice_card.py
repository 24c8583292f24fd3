"""The voice's card takes in every evaluation that was run, and invents none."""

import importlib.util
import json
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"


@pytest.fixture
def card(monkeypatch, tmp_path):
    spec = importlib.util.spec_from_file_location("package_card", ROOT / "recipes" / "voice" / "package_card.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "RESULTS", tmp_path)
    return module


def test_without_an_evaluation_there_are_no_figures(card, tmp_path):
    assert "Run `make evaluate`" in card._figures(tmp_path / "voice.json")


def test_every_speaker_and_figure_is_told(card, tmp_path):
    shutil.copy(RESULTS / "voice.json", tmp_path)
    told = card._figures(tmp_path / "voice.json")
    found = json.loads((RESULTS / "voice.json").read_text())
    for name, values in found["by_speaker"].items():
        row = next(line for line in told.splitlines() if line.startswith(f"| {name} |"))
        assert str(values["wer_percent"]) in row and str(values["dnsmos"]["mean"]) in row
    assert "120 sentences" not in told and "Homographs" not in told


def test_further_evaluations_join(card, tmp_path):
    for name in ("voice.json", "voice_heldout120.json"):
        shutil.copy(RESULTS / name, tmp_path)
    judged = {"right_percent": 75.0}
    said = {"judge_right_percent": {"own_voice": 90.6}, "speakers": {"heart": judged, "flite": judged}}
    found = {"date": "2026-11-26T00:00:00", "voices": ["heart"], "homographs": said, "consistency": None}
    (tmp_path / "pronunciation.json").write_text(json.dumps(found))
    told = card._figures(tmp_path / "voice.json")
    assert "### 120 sentences" in told and "heart 75.0 %" in told and "90.6 % of known cases" in told
    assert "flite 75.0" not in told
