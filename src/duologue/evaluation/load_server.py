"""A real `duologue serve` in a process of its own, and what the system says about that process. Sends no request.

Linux only: memory, threads, open files and computing time are read from /proc.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType

from ..errors import BackendUnavailable

START_SECONDS = 120.0
MIB = 2**20


@dataclass(frozen=True)
class Footprint:
    """What a process takes at one moment. Children (decoders of uploads) are not counted, only their number is."""

    at_seconds: float  # since the measurement began
    resident_mib: float
    threads: int
    open_files: int
    children: int
    cpu_seconds: float

    def as_dict(self) -> dict[str, float]:
        """For JSON, rounded."""
        return {name: round(value, 2) for name, value in asdict(self).items()}


class ServerProcess:
    """`duologue serve` with options, on a free port of this machine; use it as a context manager."""

    def __init__(self, options: Sequence[str] = ()) -> None:
        self._options = list(options)
        self._began = time.monotonic()
        self._log = Path(tempfile.mkstemp(prefix="duologue-serve-", suffix=".log")[1])
        self._child: subprocess.Popen[bytes] | None = None
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"

    def start(self) -> float:
        """Start it and wait until it is ready. Returns how many seconds that took."""
        began = time.monotonic()
        command = [sys.executable, "-m", "duologue.cli.main", "serve", "--port", str(self.port), *self._options]
        with self._log.open("ab") as log:
            self._child = subprocess.Popen(command, stdout=log, stderr=log)
        while not self._is_ready():
            if self._child.poll() is not None or time.monotonic() - began > START_SECONDS:
                self.kill()
                raise BackendUnavailable(f"The server did not start: {self.log()[-2_000:]}", hint=" ".join(command))
            time.sleep(0.02)
        return time.monotonic() - began

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/ready", timeout=5) as answer:
                return int(answer.status) == 200
        except (urllib.error.URLError, OSError):
            return False

    @property
    def pid(self) -> int:
        assert self._child is not None, "not started"
        return self._child.pid

    @property
    def is_alive(self) -> bool:
        return self._child is not None and self._child.poll() is None

    def log(self) -> str:
        """What it has written so far, on stdout and stderr."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def kill(self) -> None:
        """End it at once, as `kill -9` does: it can tidy up nothing."""
        self._end(signal.SIGKILL, 10)

    def stop(self, seconds: float = 60) -> int:
        """Ask it to end, and wait. Returns its exit code; kills it if it takes longer."""
        return self._end(signal.SIGTERM, seconds)

    def _end(self, how: signal.Signals, seconds: float) -> int:
        if self._child is None:
            return 0
        self._child.send_signal(how)
        try:
            return self._child.wait(seconds)
        except subprocess.TimeoutExpired:
            self._child.kill()
            return self._child.wait()

    def footprint(self) -> Footprint:
        """What it takes now."""
        status = _fields(Path(f"/proc/{self.pid}/status").read_text())
        ticks = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13]  # user and system time
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        return Footprint(
            at_seconds=time.monotonic() - self._began,
            resident_mib=int(status["VmRSS"].split()[0]) * 1024 / MIB,
            threads=int(status["Threads"]),
            open_files=len(os.listdir(f"/proc/{self.pid}/fd")),
            children=len(children),
            cpu_seconds=sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK"),
        )

    def __enter__(self) -> ServerProcess:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self._log.unlink(missing_ok=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _fields(text: str) -> dict[str, str]:
    pairs = (line.partition(":") for line in text.splitlines())
    return {name: value.strip() for name, _, value in pairs}
