"""From nothing to a page that speaks: `python -m duologue.evaluation.first_serve`.

Clones this repository into a temporary folder, runs `make serve` there (a new environment, everything installed), and
writes after how many seconds the page was served and the first sound had come. Packages come from where pip gets them.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from ..errors import BackendUnavailable
from .report import versions

LONGEST_SECONDS = 1_800.0
SPEECH = {"model": "tts-1", "input": "Hello! I live inside this package.", "response_format": "wav"}


def measure(repository: Path, folder: Path) -> dict[str, Any]:
    """Clone, `make serve`, look at the page, let it speak. Raises BackendUnavailable if that doesn't work."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    began, url = time.monotonic(), f"http://127.0.0.1:{port}"
    subprocess.run(["git", "clone", "--quiet", str(repository), str(folder)], check=True)
    cloned = time.monotonic() - began
    log = (folder.parent / "serve.log").open("w+b")
    environment = {**os.environ, "DUOLOGUE_PORT": str(port)}
    environment.pop("VIRTUAL_ENV", None)
    command = ["make", "serve"]
    child = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        while (page := _get(f"{url}/")) is None:
            if child.poll() is not None or time.monotonic() - began > LONGEST_SECONDS:
                log.seek(0)
                raise BackendUnavailable(f"make serve: {log.read()[-2_000:]!r}", hint="Run it by hand.")
            time.sleep(0.1)
        opened = time.monotonic() - began
        asked = urllib.request.Request(
            f"{url}/v1/audio/speech", json.dumps(SPEECH).encode(), {"content-type": "application/json"}
        )
        with urllib.request.urlopen(asked, timeout=120) as answer:
            first = answer.read(4_096)
            sounded = time.monotonic() - began
            size = len(first) + len(answer.read())
    finally:
        os.killpg(child.pid, signal.SIGTERM)
        child.wait(60)
        log.close()
    installed = sum(file.stat().st_size for file in (folder / ".venv").rglob("*") if file.is_file())
    return {
        "seconds_until": {"cloned": round(cloned, 1), "page": round(opened, 1), "first_sound": round(sounded, 1)},
        "page_names_the_product": b"duologue" in page,
        "speech_seconds": round((size - 44) / 48_000, 2),
        "environment_mib": round(installed / 2**20),
        "cpu_seconds": round(sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2]), 1),  # of everything started here
        "machine_load": round(os.getloadavg()[0], 2),
    }


def _get(url: str) -> bytes | None:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bytes(answer.read())
    except (urllib.error.URLError, OSError):
        return None


def main() -> int:
    """Measure once, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repository", type=Path, default=Path.cwd())
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="duologue-first-") as folder:
        result = {**versions(), **measure(given.repository.resolve(), Path(folder) / "clone")}
    text = json.dumps(result, indent=1)
    if given.out is not None:
        given.out.write_text(text + "\n", encoding="utf-8")
    sys.stdout.write(text + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
