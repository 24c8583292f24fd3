"""`duologue doctor`: what is here, what is missing, and how to get it."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Annotated

import typer

from . import options as given


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. `needed` marks what speaking can't do without."""

    what: str
    found: str
    ok: bool
    hint: str = ""
    needed: bool = False


def doctor(
    speak: Annotated[bool, typer.Option("--speak", help="Also speak a sentence with the embedded voice.")] = False,
    as_json: given.Json = False,
) -> None:
    """Look over this installation; exits with 5 if something that speaking needs is missing."""
    from .console import print_json

    checks: list[Callable[[], Finding]] = [
        _python,
        _kernels,
        _torch,
        _engine,
        _voice,
        _playing,
        _ffmpeg,
        _av,
        _hub,
        _token,
    ]
    findings = [check() for check in checks] + ([_speak()] if speak else [])
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        for finding in findings:
            typer.echo(f"{'ok ' if finding.ok else 'no '} {finding.what:16} {finding.found}")
            if not finding.ok and finding.hint:
                typer.echo(f"    {'':16} {finding.hint}")
    if any(finding.needed and not finding.ok for finding in findings):
        raise typer.Exit(5)


def _python() -> Finding:
    from .. import __version__

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    found = f"duologue {__version__}, Python {platform.python_version()}, {platform.machine()}, {cores} cores"
    return Finding("system", found, True)


def _kernels() -> Finding:
    from ..engine.native_engine import available_paths
    from ..errors import BackendUnavailable

    try:
        return Finding("CPU engine", f"compiled; runs {', '.join(available_paths())}", True)
    except BackendUnavailable as error:
        return Finding("CPU engine", error.message, False, error.hint)


def _torch() -> Finding:
    hint = 'pip install "duologue[torch]"'
    needed = not _kernels().ok  # one of the two engines is enough to speak
    try:
        import torch

        from ..engine.assembly import best_device
    except ImportError as error:
        return Finding("torch", f"not usable: {error}", False, hint, needed)
    return Finding("torch", f"{torch.__version__}, reaches {best_device()}", True, needed=needed)


def _engine() -> Finding:
    from ..engine.assembly import usual_engine
    from ..errors import BackendUnavailable

    try:
        return Finding("speaks by", f"{usual_engine(False)}; models of CSM-1B's size by {usual_engine(True)}", True)
    except BackendUnavailable as error:
        return Finding("speaks by", error.message, False, error.hint, needed=True)


def _voice() -> Finding:
    from ..errors import DuologueError
    from ..weights.load import locate

    try:
        files = locate()
    except DuologueError as error:
        return Finding("embedded voice", error.message, False, error.hint, needed=True)
    size = sum(file.stat().st_size for file in (files.csm, files.codec) if file) / 1e6
    return Finding("embedded voice", f"{files.card.name}, {size:.0f} MB, {len(files.voices)} voices", True, needed=True)


def _playing() -> Finding:
    from ..audio import output_device
    from ..errors import BackendUnavailable

    try:
        output_device()
    except BackendUnavailable as error:
        return Finding("sound device", error.message, False, error.hint)
    return Finding("sound device", "found", True)


def _ffmpeg() -> Finding:
    path = shutil.which("ffmpeg")
    return Finding("ffmpeg", path or "not found", path is not None, "Only the tests use it.")


def _av() -> Finding:
    try:
        version = importlib.metadata.version("av")
    except importlib.metadata.PackageNotFoundError:
        return Finding("av", "not installed", False, 'To read m4a and webm: pip install "duologue[av]"')
    return Finding("av", version, True)


def _hub() -> Finding:
    from huggingface_hub import constants

    offline = ", offline" if constants.HF_HUB_OFFLINE else ""
    return Finding("hub", f"{constants.ENDPOINT}, cache {constants.HF_HUB_CACHE}{offline}", True)


def _token() -> Finding:
    from huggingface_hub import get_token

    known = get_token() is not None
    hint = "Only gated models need one: `hf auth login`."
    return Finding("hub token", "set" if known else "not set", known, hint)


def _speak() -> Finding:
    import duologue

    from ..errors import DuologueError
    from .console import spoken_line

    try:
        report = duologue.load().generate("This is a test.", seed=1).report
    except DuologueError as error:
        return Finding("speech", error.message, False, error.hint, needed=True)
    assert report is not None
    line = spoken_line(report.seconds, report.elapsed_seconds, report.first_audio_seconds, report.seed)
    return Finding("speech", f"{line}, engine {report.engine}", True, needed=True)
