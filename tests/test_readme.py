"""The README is true: its tree is the real tree, its examples run, its figures stand in the JSON files they name."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
ENTRY = re.compile(r"^([│ ]*)[├└]── (.+)$")
UNTOLD = {"__init__.py", "py.typed", "__pycache__"}  # of src/duologue; every package has the first two


def blocks(kind: str) -> list[str]:
    fences = re.findall(r"^```(.*?)\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
    return [text for name, text in fences if name == kind]


def told_paths() -> set[str]:
    """Paths in the README's tree, relative to the repository."""
    tree = next(block for block in blocks("") if block.startswith("duologue/"))
    paths, folders = set(), {0: ""}
    for line in tree.splitlines()[1:]:
        match = ENTRY.match(line)
        assert match, line
        depth = len(match[1]) // 4
        names = match[2].split("  ")[0].split()
        for name in names:
            paths.add(folders[depth] + name.rstrip("/"))
        folders[depth + 1] = folders[depth] + names[0].rstrip("/") + "/"
    return paths


def test_everything_in_the_tree_exists() -> None:
    for path in told_paths():
        assert (ROOT / path).exists(), path


def test_everything_that_exists_is_in_the_tree() -> None:
    tracked = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True)
    if tracked.returncode:
        pytest.skip("not a git checkout")
    files = tracked.stdout.splitlines()
    top = {path.split("/")[0] for path in files if not path.startswith(".")}
    package = {path.split("/")[2] for path in files if path.startswith("src/duologue/")} - UNTOLD
    told = told_paths()
    assert top - {"src"} <= {path.split("/")[0] for path in told}
    assert {f"src/duologue/{name}" for name in package} <= told


@pytest.fixture
def spoken_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """An empty folder to work in, and the environment for commands that speak with the embedded voice."""
    monkeypatch.chdir(tmp_path)
    return {
        **os.environ,
        "DUOLOGUE_HOME": str(tmp_path / "home"),
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(ROOT / "src"),
    }


@pytest.mark.parametrize("number", range(len(blocks("python"))))
def test_the_python_examples_run(number: int, spoken_with: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", blocks("python")[number]], env=spoken_with, capture_output=True, text=True, timeout=250
    )
    assert done.returncode == 0, done.stderr


def test_the_commands_run(spoken_with: dict[str, str], tmp_path: Path) -> None:
    lines = [line for block in blocks("bash") for line in block.splitlines() if "duologue " in line]
    assert len(lines) >= 6
    program = f"{shlex.quote(sys.executable)} -m duologue.cli.main "
    for line in lines:
        command = re.sub(r"(^|\| )duologue ", rf"\1{program}", line)
        done = subprocess.run(["bash", "-c", command], env=spoken_with, capture_output=True, text=True, timeout=250)
        assert done.returncode == 0, f"{line}\n{done.stderr}"
    assert (tmp_path / "time.mp3").stat().st_size > 1_000 and json.loads((tmp_path / "scene.json").read_text())["turns"]


def figures() -> list[tuple[str, str]]:
    """(figure, source) rows of the README's table."""
    table = README.split("<!-- figures")[1].split("<!-- end of figures -->")[0]
    rows = [line.strip("|").split("|") for line in table.splitlines() if line.startswith("|")][2:]
    return [(row[1].strip(), row[2].strip().strip("`")) for row in rows]


@pytest.mark.parametrize(("figure", "source"), figures())
def test_each_figure_is_the_one_in_its_file(figure: str, source: str) -> None:
    """A source reads `file.json: key.key`; the figure begins with that value, rounded as it is written."""
    name, _, keys = source.partition(": ")
    value = json.loads((ROOT / "benchmarks" / "results" / name).read_text(encoding="utf-8"))
    for key in keys.split("."):
        value = value[int(key)] if isinstance(value, list) else value[key]
    number = re.match(r"[\d.,]+(e-\d+)?", figure)
    assert number, figure
    written = number[0].replace(",", "")
    if "%" in figure:
        value *= 100
    digits = len(written.partition(".")[2]) if "e" not in written else None
    rounded = round(float(value), digits) if digits is not None else float(f"{float(value):.1e}")
    assert rounded == float(written)


def test_the_documents_name_real_files() -> None:
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        for name in re.findall(r"`((?:src|tests|docs|recipes|benchmarks)/[\w./-]+)`", path.read_text(encoding="utf-8")):
            if "embedded" not in name:
                assert (ROOT / name).exists(), f"{path.name} names {name}"
