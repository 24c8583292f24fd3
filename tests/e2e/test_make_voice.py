"""`make voice`: the whole way from recordings to a package runs, and both losses fall on it."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from duologue.audio_files import read_audio

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def recipe():
    spec = importlib.util.spec_from_file_location("make_voice", ROOT / "recipes" / "toy" / "make_voice.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_from_recordings_to_a_package(recipe, tmp_path):
    recipe.main(["--out", str(tmp_path)])
    first, last = recipe.fall(tmp_path / "codec" / "curves.csv", "mel")
    assert last < 0.9 * first
    first, last = recipe.fall(tmp_path / "csm" / "curves.csv", "first")
    assert last < 0.9 * first
    for run in ("codec", "csm"):
        assert (tmp_path / run / "curves.png").read_bytes().startswith(b"\x89PNG")
        assert "## Held-out figures" in (tmp_path / run / "MODEL_CARD.md").read_text()
    assert read_audio(tmp_path / "hello.wav").seconds > 0
    names = {path.stem for path in (tmp_path / "package" / "voices").iterdir()}
    assert names == {"heart", "michael", "emma", "george"}
