"""The real pipecat and livekit-agents, whose pins differ from ours: their checks run in an environment of their own.

`make test` makes it at .venv/frameworks, from requirements.txt beside this file.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PYTHON = Path(sys.prefix) / "frameworks" / "bin" / "python"


@pytest.mark.parametrize("framework", ["livekit", "pipecat"])
def test_the_frameworks_speak_with_our_voice(framework: str) -> None:
    assert PYTHON.is_file(), f"{PYTHON} is missing: `make {PYTHON.parents[1].relative_to(ROOT)}/installed` makes it"
    checks = HERE / f"{framework}_checks.py"
    done = subprocess.run(
        [PYTHON, "-m", "pytest", "-p", "no:cacheprovider", "--confcutdir", HERE, checks],
        cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT / "src")}, capture_output=True, text=True, timeout=280,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-6_000:] + done.stderr[-2_000:]
    assert "passed" in done.stdout
    assert "skipped" not in done.stdout
