"""Processes that share a batch end together."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

WORKER = """
import os, sys, time
from pathlib import Path
from duologue.training.parallel import Group
group = Group()
Path(sys.argv[1], f"{group.rank}.pid").write_text(str(os.getpid()))
time.sleep(120)
"""


def running(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def until(condition, seconds: float) -> bool:
    over = time.monotonic() + seconds
    while not condition() and time.monotonic() < over:
        time.sleep(0.1)
    return condition()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent has died")
def test_workers_end_with_a_launcher_that_is_killed(tmp_path):
    script = tmp_path / "worker.py"
    script.write_text(WORKER)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", script, tmp_path]
    launcher = subprocess.Popen(list(map(str, command)), env=os.environ | {"OMP_NUM_THREADS": "1"})
    try:
        assert until(lambda: len(list(tmp_path.glob("*.pid"))) == 2, 90)
        time.sleep(0.2)
        workers = [int(path.read_text()) for path in tmp_path.glob("*.pid")]
        assert all(map(running, workers))
        launcher.send_signal(signal.SIGKILL)
        launcher.wait()
        assert until(lambda: not any(map(running, workers)), 20)
    finally:
        launcher.kill()
