"""`duologue bench`: how fast the CPU engine speaks here, beside the memory's own speed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import options as given

if TYPE_CHECKING:
    from ..engine.bench import BenchResult
    from ..engine.packed import PackedModel


def bench(
    model: Annotated[str | None, typer.Argument(help="A model to measure; by default the embedded one.")] = None,
    csm_1b: Annotated[bool, typer.Option("--csm-1b", help="Random weights of CSM-1B's size instead.")] = False,
    formats: Annotated[str, typer.Option("--formats", help="Weight formats, separated by commas.")] = "float32",
    threads: Annotated[str, typer.Option("--threads", help="Thread counts, separated by commas.")] = "1",
    streams: Annotated[str, typer.Option("--streams", help="Conversations spoken together.")] = "1",
    frames: Annotated[int, typer.Option("--frames", min=1, help="Frames in each of three rounds.")] = 12,
    out: Annotated[Path | None, typer.Option("--out", help="Also write the results to this JSON file.")] = None,
    as_json: given.Json = False,
) -> None:
    """Measure the CPU engine: read bandwidth, milliseconds per frame and stage, bytes moved, real-time factor."""
    from ..engine.bench import measure
    from ..engine.native_engine import NativeEngine
    from ..evaluation.report import versions
    from .console import print_json

    results: list[BenchResult] = []
    for plan in formats.split(","):
        packed = _packed(model, plan, csm_1b)
        for number in _numbers(threads, "threads"):
            engine = NativeEngine(packed, threads=number)
            for together in _numbers(streams, "streams"):
                result = measure(engine, streams=together, frames=frames, random_weights=csm_1b)
                results.append(result)
                if not as_json:
                    _show(result, first=len(results) == 1)
    found = {**versions(), "results": [result.as_dict() for result in results]}
    if as_json:
        print_json(found)
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


def _packed(model: str | None, plan: str, csm_1b: bool) -> PackedModel:
    from ..csm.config import CSM_1B
    from ..engine.bench import random_model
    from ..engine.native_engine import named_plan
    from ..engine.packed import pack_model
    from ..weights.csm_files import read_csm
    from ..weights.load import locate

    if csm_1b:
        return random_model(CSM_1B, named_plan(plan))
    weights = read_csm(locate(model).csm, as_arrays=True)
    return pack_model(weights.config, weights.tensors, named_plan(plan))


def _numbers(listed: str, field: str) -> list[int]:
    from ..errors import InputError

    parts = listed.split(",")
    if not all(part.isdigit() and 1 <= int(part) <= 32 for part in parts):
        raise InputError(f"--{field} should be numbers from 1 to 32, separated by commas.", field=field)
    return [int(part) for part in parts]


def _show(result: BenchResult, first: bool) -> None:
    if first:
        typer.echo(f"{'GB/s':>6} {'engine':26} {'thr':>3} {'str':>3} {'ms/frame':>9} {'fastest':>8} {'backbone':>9}"
                   f" {'depth':>7} {'MB/frame':>9} {'share':>6} {'RTF':>6} {'prefill':>8} {'others':>7}")  # fmt: skip
    typer.echo(
        f"{result.bandwidth_gb_s:6.1f} {result.engine:26} {result.threads:3} {result.streams:3} {result.frame_ms:9.2f}"
        f" {result.fastest_frame_ms:8.2f} {result.backbone_ms:9.2f} {result.depth_ms:7.2f}"
        f" {result.bytes_per_frame / 1e6:9.1f} {result.bandwidth_share:6.2f} {result.real_time_factor:6.3f}"
        f" {result.prefill_ms:8.0f} {result.others_share:6.0%}"
    )
    if result.others_share > 0.1:
        typer.echo(f"{'':6} The machine was not quiet: others took {result.others_share:.0%} of a core.")
