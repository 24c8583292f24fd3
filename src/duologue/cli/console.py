"""What a person sees while speech is made: seconds of audio, speed, time to first audio. On stderr, never on stdout."""

from __future__ import annotations

import json
import sys
import time
from typing import Any


class Console:
    """Notes and progress for one command."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._live = not quiet and sys.stderr.isatty()
        self._shown = 0.0
        self._began = time.perf_counter()

    @property
    def elapsed(self) -> float:
        """Wall-clock seconds since the command began."""
        return time.perf_counter() - self._began

    def note(self, text: str) -> None:
        """A line for a person."""
        if not self._quiet:
            self._clear()
            print(text, file=sys.stderr, flush=True)

    def progress(self, seconds: float, computed: float) -> None:
        """Show how much speech there is and how fast it comes; at most ten times a second, and on terminals only."""
        now = time.perf_counter()
        if self._live and now - self._shown > 0.1 and seconds > 0:
            self._shown = now
            print(
                f"\r{seconds:6.1f} s of audio, {computed / seconds:.2f} × real time ",
                end="",
                file=sys.stderr,
                flush=True,
            )

    def step(self, text: str) -> None:
        """What is being done now, until something else is told; on terminals only."""
        if self._live:
            self._clear()
            self._shown = time.perf_counter()
            print(f"\r{text} … ", end="", file=sys.stderr, flush=True)

    def share(self, done: int, total: int) -> None:
        """Show how many of a file's bytes are written; at most ten times a second, and on terminals only."""
        now = time.perf_counter()
        if self._live and total and now - self._shown > 0.1:
            self._clear()
            self._shown = now
            filled = round(30 * done / total)
            bar = "#" * filled + "." * (30 - filled)
            print(f"\r[{bar}] {done / 1e6:.0f} of {total / 1e6:.0f} MB ", end="", file=sys.stderr, flush=True)

    def _clear(self) -> None:
        if self._live and self._shown:
            print("\r" + " " * 70 + "\r", end="", file=sys.stderr)
            self._shown = 0.0


def spoken_line(seconds: float, elapsed: float, first: float, seed: int | None) -> str:
    """One line that sums a speech up."""
    speed = f"{elapsed / seconds:.2f} × real time" if seconds else "no audio"
    return (
        f"{seconds:.1f} s of audio in {elapsed:.1f} s ({speed}), first audio after {first * 1000:.0f} ms, seed {seed}"
    )


def print_json(values: Any) -> None:
    """One JSON document on stdout."""
    print(json.dumps(values, ensure_ascii=False, indent=2), flush=True)
