"""OpenAI's JavaScript agents client, as published, has a spoken conversation with a running server."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np

from tests.server.conftest import Running
from tests.server.realtime.conftest import pcm

JAVASCRIPT = Path(__file__).parents[2] / "node"


def test_it_talks_is_interrupted_and_remembers_what_was_heard(
    embedded: Running, speech: np.ndarray, tmp_path: Path
) -> None:
    node = shutil.which("node")
    assert node, "the JavaScript client needs node"
    assert (JAVASCRIPT / "node_modules").is_dir(), "make tests/node/node_modules"
    (tmp_path / "speech.pcm").write_bytes(pcm(speech[: 3 * 24_000]))
    url = embedded.url.replace("http", "ws") + "/v1/realtime?model=gpt-realtime"
    command = [node, str(JAVASCRIPT / "converse.mjs"), url, "sesame", str(tmp_path / "speech.pcm")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line for line in told if line["kind"] == "error"] == []
    assert any(line["kind"] == "audio_interrupted" for line in told)
    events = [line["type"] for line in told if line["kind"] == "event"]
    for kind in ("session.updated", "input_audio_buffer.speech_started", "conversation.item.truncated"):
        assert kind in events
    outcome = told[-1]
    assert outcome["sounded"] > 24_000
    assert outcome["usage"] > 0
    roles = [item["role"] for item in outcome["history"]]
    assert roles == ["user", "assistant", "user", "assistant"]
    texts = [item["text"] for item in outcome["history"]]
    assert "Dashwood" in texts[0]
    assert len(texts[1].split()) < len("Of course. I am listening to you.".split()), "it was cut"
    assert texts[3] == "Of course. I am listening to you."
