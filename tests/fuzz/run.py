"""Try mutated files by the thousand: `python -m tests.fuzz.run --cases 12000`. Each gives an answer or a typed error.

Time and memory are bounded by the process's own limits; a crash, another exception, a hang or a blow-up fails the run
and leaves the file behind.
"""

from __future__ import annotations

import argparse
import collections
import os
import random
import resource
import signal
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from duologue.errors import DuologueError

from .targets import Target, make_targets

SECONDS_PER_CASE = 20
EXTRA_BYTES = 2 * 2**30  # beyond what the process has once everything is imported


@dataclass
class Tally:
    """What came of the cases so far."""

    answers: int = 0
    errors: collections.Counter[str] = field(default_factory=collections.Counter)
    slowest: float = 0.0
    failures: list[str] = field(default_factory=list)

    @property
    def cases(self) -> int:
        return self.answers + self.errors.total() + len(self.failures)


def run(cases: int, seed: int, folder: Path, keep: Path | None = None, only: str = "") -> dict[str, Tally]:
    """Try `cases` mutated files, spread over all targets, or those with `only` in their names. Files that failed are
    copied to `keep`."""
    targets = [target for target in make_targets(folder) if only in target.name]
    for target in targets:
        for good in target.seeds:
            target.read(good)  # what is mutated must be good to begin with
    _limit_memory()
    signal.signal(signal.SIGALRM, _too_slow)
    tallies = {target.name: Tally() for target in targets}
    for case in range(cases):
        target = targets[case % len(targets)]
        rng = random.Random(f"{seed}/{case}")
        good = rng.choice(target.seeds)
        path = folder / f"case{good.suffix}"
        path.write_bytes(target.mutate(good.read_bytes(), rng))
        _try(target, path, tallies[target.name], f"case {case} of seed {seed}", keep)
    return tallies


def _try(target: Target, path: Path, tally: Tally, which: str, keep: Path | None) -> None:
    began = time.perf_counter()
    signal.alarm(SECONDS_PER_CASE)
    try:
        target.read(path)
        tally.answers += 1
    except DuologueError as error:
        tally.errors[type(error).__name__] += 1
    except Exception as error:  # whatever this is, it should have been a DuologueError
        tally.failures.append(f"{target.name}, {which}: {type(error).__name__}: {error}")
        if keep is not None:
            keep.mkdir(parents=True, exist_ok=True)
            (keep / f"{which.replace(' ', '-')}{path.suffix}").write_bytes(path.read_bytes())
    finally:
        signal.alarm(0)
    tally.slowest = max(tally.slowest, time.perf_counter() - began)


def _too_slow(signum: int, frame: FrameType | None) -> None:
    raise TimeoutError(f"longer than {SECONDS_PER_CASE} s")


def _limit_memory() -> None:
    """Let the address space grow by a fixed amount only: a blow-up becomes a MemoryError, which is no typed error."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * os.sysconf("SC_PAGE_SIZE") + EXTRA_BYTES
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))


def main() -> None:
    """Run from the command line; exits with 1 if any case failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=12_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="targets with this in their names: weights, gguf, sound, …")
    parser.add_argument("--keep", type=Path, default=Path("runs/fuzz"), help="where files that failed are kept")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        tallies = run(options.cases, options.seed, Path(folder), options.keep, options.only)
    for name, tally in tallies.items():
        errors = ", ".join(f"{kind} {count}" for kind, count in tally.errors.most_common())
        print(f"{name:21} {tally.cases:6} cases: {tally.answers} answers, {errors}; slowest {tally.slowest:.2f} s")
        for failure in tally.failures[:5]:
            print("   FAILED", failure)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    failed = sum(len(tally.failures) for tally in tallies.values())
    print(f"{sum(tally.cases for tally in tallies.values())} cases, {failed} failures, peak memory {peak:.0f} MB")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
