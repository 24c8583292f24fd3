"""The ARM path on any machine: cross-compiled and run by an emulator, kernel by kernel against the portable path."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from duologue.native import build

COMPILER, EMULATOR = "aarch64-linux-gnu-g++", "qemu-aarch64"
CHECK = Path(__file__).with_name("paths_check.cpp")
NEEDED = ("kernels_neon", "kernels_avx2", "kernels_avx512", "kernels_portable", "packing", "packing_scales", "dispatch")
FLAGS = ["-std=c++17", "-O1", "-ffp-contract=off", "-Wall", "-Wextra", "-Werror", f"-I{build.SOURCES}"]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which(COMPILER) is None or shutil.which(EMULATOR) is None:
        pytest.skip(f"no {COMPILER} or no {EMULATOR}")
    folder = tmp_path_factory.mktemp("arm")
    objects = []
    for source in (*(build.SOURCES / f"{stem}.cpp" for stem in NEEDED), CHECK):
        objects.append(str(folder / f"{source.stem}.o"))
        special = build.ARM_FLAGS.get(source.stem, [])
        subprocess.run([COMPILER, *FLAGS, *special, "-c", str(source), "-o", objects[-1]], check=True)
    found = folder / "paths_check"
    subprocess.run([COMPILER, "-static", *objects, "-o", str(found)], check=True)
    return found


def test_every_kernel_agrees_with_the_portable_one(program: Path) -> None:
    done = subprocess.run([EMULATOR, "-cpu", "max", str(program), "neon"], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    assert len(done.stdout.splitlines()) > 200


def test_an_arm_processor_without_dot_products_takes_the_portable_path(program: Path) -> None:
    done = subprocess.run(
        [EMULATOR, "-cpu", "cortex-a53", str(program), "neon"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2, done.stdout
