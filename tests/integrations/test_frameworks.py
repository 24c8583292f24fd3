"""The real pipecat and livekit-agents, whose pins differ from ours: their checks run in an environment of their own.

`make test` makes it at .venv/frameworks, from requirements.txt beside this file.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import duologue
from duologue.agent.language import ChatEndpoint
from duologue.agent.recognition import PACKAGED, Whisper
from duologue.server.settings import ServerSettings
from duologue.server.talk_parts import TalkParts
from tests.server.conftest import running
from tests.server.language_model_stub import StubLanguageModel

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PYTHON = Path(sys.prefix) / "frameworks" / "bin" / "python"


@pytest.fixture(scope="module")
def partner() -> Iterator[str]:
    """Address of a server that can answer: a real Whisper, and the stub to think for it."""
    stub = StubLanguageModel()
    parts = TalkParts(Whisper(PACKAGED, threads=1), ChatEndpoint(stub.url, "stub"))
    with running(duologue.load(), ServerSettings(), parts) as server:
        yield server.url
    stub.server.shutdown()


@pytest.mark.parametrize("framework", ["livekit", "pipecat"])
def test_the_frameworks_speak_with_our_voice(framework: str, partner: str) -> None:
    assert PYTHON.is_file(), f"{PYTHON} is missing: `make {PYTHON.parents[1].relative_to(ROOT)}/installed` makes it"
    checks = HERE / f"{framework}_checks.py"
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src"), "DUOLOGUE_PARTNER": partner}
    done = subprocess.run(
        [PYTHON, "-m", "pytest", "-p", "no:cacheprovider", "--confcutdir", HERE, checks],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=280,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-6_000:] + done.stderr[-2_000:]
    assert "passed" in done.stdout
    assert "skipped" not in done.stdout
