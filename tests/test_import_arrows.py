"""Imports point one way: down the staircase. Each floor knows only the floors below it; torch stays in its rooms."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "duologue"
FLOORS = [
    {"timebase", "errors", "configuration"},
    {"audio", "audio_files", "codes_file"},
    {"nn", "native"},
    {"mimi", "csm", "text"},
    {"weights"},
    {"engine"},
    {
        "voice",
        "speech_checks",
        "longtext",
        "spoken_context",
        "pacing",
        "generation_config",
        "side_by_side",
        "speaking",
        "conversation",
        "conversation_file",
    },
    {"reading", "api"},
    {"compat"},
    {"corpus", "training", "evaluation"},
    {"server", "agent"},
    {"integrations"},
    {"cli"},
]
LEVEL = {room: level for level, rooms in enumerate(FLOORS) for room in rooms}
TORCH_ROOMS = {"nn", "mimi", "csm", "training", "weights", "evaluation"}
TORCH_FILES = {
    "engine/torch_engine.py",
    "engine/torch_frame.py",
    "corpus/teacher_layers.py",
    "corpus/teacher_sound.py",
}
WITHOUT_TORCH = {"mimi/config.py", "csm/config.py", "csm/frames.py", "csm/alignment.py"}
FILES = sorted(SOURCE.rglob("*.py"))


def room_of(path: Path) -> str:
    relative = path.relative_to(SOURCE)
    return relative.parts[0] if len(relative.parts) > 1 else relative.stem


def imported(path: Path, *, at_import: bool = False) -> set[str]:
    """Modules a file names: duologue's as "duologue.x.y", others by their first name. `at_import`: top level only."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = list(_top_level(tree)) if at_import else list(ast.walk(tree))
    package = ["duologue", *path.relative_to(SOURCE).with_suffix("").parts][:-1]
    names: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            names |= {f"{module}.{alias.name}" for alias in node.names} if node.level else {module}
    return names


def _top_level(tree: ast.Module) -> list[ast.stmt]:
    nodes: list[ast.stmt] = []
    for node in tree.body:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        nodes += (
            [each for each in ast.walk(node) if isinstance(each, ast.Import | ast.ImportFrom)]
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
            else []
        )
    return nodes


def test_every_room_has_its_floor() -> None:
    rooms = {room_of(path) for path in FILES} - {"__init__", "__main__"}
    assert rooms <= set(LEVEL), f"rooms without a floor: {rooms - set(LEVEL)}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_point_down(path: Path) -> None:
    room = room_of(path)
    if room == "__init__":
        return
    for name in imported(path, at_import=True):
        parts = name.split(".")
        if parts[0] == "duologue" and len(parts) > 1 and parts[1] in LEVEL:
            assert LEVEL[parts[1]] <= LEVEL[room], f"{path.name} ({room}) imports {name}"


def test_nothing_imports_the_command_line() -> None:
    for path in FILES:
        if room_of(path) != "cli":
            assert not any(name.startswith("duologue.cli") for name in imported(path)), path


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_torch_stays_in_its_rooms(path: Path) -> None:
    relative = str(path.relative_to(SOURCE))
    uses = any(name.split(".")[0] == "torch" for name in imported(path, at_import=True))
    allowed = (room_of(path) in TORCH_ROOMS or relative in TORCH_FILES) and relative not in WITHOUT_TORCH
    assert allowed or not uses, f"{relative} imports torch"


def test_importing_the_package_is_light() -> None:
    code = (
        "import sys, time; began = time.process_time(); import duologue; took = time.process_time() - began\n"
        "heavy = [m for m in ('torch', 'numpy', 'typer', 'huggingface_hub', 'tokenizers') if m in sys.modules]\n"
        "print(took, heavy)"
    )
    seconds, heavy = min(_run(code) for _ in range(3))
    assert heavy == "[]"
    assert seconds < 0.2


def test_help_is_quick_and_needs_no_torch() -> None:
    ours, plain = [], []
    for _ in range(
        3
    ):  # in turns, as the machine may be slow or busy: 0.2 s of computing on a quick one, 0.55 on a slow one
        ours.append(_cpu_seconds([sys.executable, "-m", "duologue.cli.main", "--help"]))
        plain.append(_cpu_seconds([sys.executable, "-c", "import typer, rich.console, rich.table, rich.panel"]))
    assert min(ours) < 4.5 * min(plain)
    _, heavy = _run(
        "import sys, duologue.cli.main\n"
        "print(0, [m for m in ('torch', 'numpy', 'huggingface_hub', 'tokenizers', 'fastapi') if m in sys.modules])"
    )
    assert heavy == "[]"


def _cpu_seconds(command: list[str]) -> float:
    """Computing time, which other processes on the machine hardly change."""
    before = os.times()
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def _run(code: str) -> tuple[float, str]:
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60)
    seconds, _, heavy = done.stdout.strip().partition(" ")
    return float(seconds), heavy
