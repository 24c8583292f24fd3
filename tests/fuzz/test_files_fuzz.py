"""Mutated weight, voice, conversation, sound, code and script files: an answer or a typed error, nothing else.

A short run here; `make fuzz` does the long one. It runs in a process of its own, which limits its memory.
"""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

from .mutations import mutate


def test_a_thousand_damaged_files_give_answers_or_typed_errors(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "tests.fuzz.run",
        "--cases",
        "900",
        "--seed",
        "7",
        "--keep",
        str(tmp_path / "kept"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2], timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "900 cases, 0 failures" in done.stdout


def test_mutations_change_nearly_every_file() -> None:
    rng = random.Random(1)
    good = bytes(range(256)) * 8
    assert sum(mutate(good, rng) != good for _ in range(200)) > 150
