"""The build: what it needs, what it says when that is missing, and what sanitizers say of what it made."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from duologue.errors import BackendUnavailable
from duologue.native import binding, build

ROOT = Path(__file__).parents[2]


def run(script: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run Python code or a module in a fresh process that sees this source tree."""
    path = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    command = [sys.executable, "-m" if script.startswith("tests.") else "-c", script, *arguments]
    variables = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"} | environment
    return subprocess.run(command, env=variables, cwd=ROOT, capture_output=True, text=True, timeout=800, check=False)


def compiler_or_skip() -> str:
    try:
        return build.find_compiler()
    except build.CompilerError:
        pytest.skip("no C++ compiler")


def test_without_a_compiler_the_message_says_what_was_sought(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(build.CompilerError, match="clang"):
        build.find_compiler()


def test_without_the_library_the_engine_says_how_to_get_it(tmp_path: Path) -> None:
    done = run(
        "from duologue.native import binding; binding.library()", DUOLOGUE_NATIVE_LIBRARY=str(tmp_path / "none.so")
    )
    assert "BackendUnavailable" in done.stderr
    assert "duologue.native.build" in done.stderr


def test_a_library_of_another_version_is_refused(tmp_path: Path) -> None:
    compiler = compiler_or_skip()
    source, library = tmp_path / "old.cpp", tmp_path / "old.so"
    source.write_text('extern "C" int dl_layout_version() { return 0; }')
    subprocess.run([compiler, "-shared", "-fPIC", str(source), "-o", str(library)], check=True)
    done = run("from duologue.native import binding; binding.library()", DUOLOGUE_NATIVE_LIBRARY=str(library))
    assert "another version" in done.stderr


def test_the_engine_needs_no_torch() -> None:
    done = run("tests.native.exercise")
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout) > 1000


@pytest.mark.timeout(900)  # a build and a slow run: 20 s of processor time, long on a machine that others use
def test_sanitizers_find_nothing(tmp_path: Path) -> None:
    """The kernels run on odd sizes under AddressSanitizer and UndefinedBehaviorSanitizer."""
    compiler = compiler_or_skip()
    found = subprocess.run([compiler, "-print-file-name=libasan.so"], capture_output=True, text=True, check=True)
    runtime = found.stdout.strip()
    if not Path(runtime).is_absolute():
        pytest.skip("this compiler has no AddressSanitizer")
    library = build.build(tmp_path, scratch=tmp_path / "objects", extra=build.SANITIZERS)
    done = run(
        "tests.native.exercise",
        "some",
        DUOLOGUE_NATIVE_LIBRARY=str(library),
        LD_PRELOAD=runtime,
        ASAN_OPTIONS="detect_leaks=0,allocator_may_return_null=0",
    )
    assert done.returncode == 0, done.stderr[-3000:]


def test_threads_share_units_without_races(tmp_path: Path) -> None:
    """team.cpp alone under ThreadSanitizer."""
    compiler = compiler_or_skip()
    found = subprocess.run([compiler, "-print-file-name=libtsan.so"], capture_output=True, text=True, check=True)
    if not Path(found.stdout.strip()).is_absolute():
        pytest.skip("this compiler has no ThreadSanitizer")
    sources = [str(build.SOURCES / "team.cpp"), str(Path(__file__).with_name("team_check.cpp"))]
    flags = ["-std=c++17", "-O1", "-g", "-fsanitize=thread", "-pthread", f"-I{build.SOURCES}"]
    program = tmp_path / "team_check"
    subprocess.run([compiler, *flags, *sources, "-o", str(program)], check=True)
    done = subprocess.run([str(program)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]


def test_the_loaded_library_is_reported_missing_only_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A failure isn't remembered: once the library is there, the next call finds it."""
    binding.library.cache_clear()
    monkeypatch.setenv("DUOLOGUE_NATIVE_LIBRARY", str(tmp_path / "none.so"))
    with pytest.raises(BackendUnavailable):
        binding.library()
    monkeypatch.delenv("DUOLOGUE_NATIVE_LIBRARY")
    assert binding.library().dl_runs(b"auto")
