"""Compiles the C++ sources of this folder into one shared library. Knows no model, and needs nothing but a compiler.

`python -m duologue.native.build` does it in place; `pip install` does it through setup.py. Every instruction set's
kernels are one file compiled with its own flags; the library picks among them when it runs, so that a build made here
runs on older CPUs too.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

SOURCES = Path(__file__).parent
LIBRARY = "libduologue.dylib" if sys.platform == "darwin" else "libduologue.so"
COMMON = ["-std=c++17", "-O3", "-fPIC", "-fvisibility=hidden", "-ffp-contract=off", "-pthread", "-Wall", "-Wextra"]
QUIET = ["-Wno-unknown-warning-option", "-Wno-maybe-uninitialized"]  # GCC's own AVX-512 header trips the latter
SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", "-O0"]
X86_FLAGS = {
    "kernels_avx2": ["-mavx2", "-mfma", "-mf16c"],
    "kernels_avx512": ["-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq", "-mavx512vnni", "-mfma", "-mf16c"],
}
ARM_FLAGS = {"kernels_neon": ["-march=armv8.2-a+dotprod"]}


class CompilerError(RuntimeError):
    """No C++ compiler, or one that fails; the message says what was tried."""


def find_compiler() -> str:
    """$CXX, or the first of g++, clang++ and c++ on the path."""
    wanted = os.environ.get("CXX")
    for name in [wanted] if wanted else ["g++", "clang++", "c++"]:
        found = shutil.which(name)
        if found:
            return found
    raise CompilerError(f"No C++ compiler: {wanted or 'g++, clang++ or c++'} is not on the path.")


def build(target: Path, *, scratch: Path, extra: Sequence[str] = ()) -> Path:
    """Compile into the folder `target`; object files go to `scratch`. Returns the library. Raises CompilerError."""
    compiler = find_compiler()
    scratch.mkdir(parents=True, exist_ok=True)
    target.mkdir(parents=True, exist_ok=True)
    objects, running = [], []
    for source in sorted(SOURCES.glob("*.cpp")):
        objects.append(scratch / f"{source.stem}.o")
        command = [
            compiler,
            *COMMON,
            *QUIET,
            *_flags_of(source.stem),
            *extra,
            "-c",
            str(source),
            "-o",
            str(objects[-1]),
        ]
        running.append((command, subprocess.Popen(command, stderr=subprocess.PIPE, text=True)))
        if len(running) >= (os.cpu_count() or 1):
            _finish(*running.pop(0))
    for job in running:
        _finish(*job)
    library = target / LIBRARY
    fresh = scratch / LIBRARY
    link = [compiler, *COMMON, *extra, "-shared", *map(str, objects), "-o", str(fresh)]
    _finish(link, subprocess.Popen(link, stderr=subprocess.PIPE, text=True))
    shutil.copyfile(fresh, library.with_suffix(".new"))
    os.replace(library.with_suffix(".new"), library)  # a process that has the old one open keeps it
    return library


def _flags_of(stem: str) -> list[str]:
    machine = platform.machine().lower()
    if machine in ("x86_64", "amd64"):
        return X86_FLAGS.get(stem, [])
    if machine in ("aarch64", "arm64"):
        return ARM_FLAGS.get(stem, [])
    return []


def _finish(command: list[str], process: subprocess.Popen[str]) -> None:
    _, errors = process.communicate()
    if process.returncode:
        raise CompilerError(f"{command[0]} failed with code {process.returncode}:\n{errors[-2000:]}")


if __name__ == "__main__":
    print(build(SOURCES, scratch=Path(os.environ.get("TMPDIR", "/tmp")) / "duologue-build"))
