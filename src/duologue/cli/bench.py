"""`duologue bench`: how fast the CPU engine speaks here, beside the memory's own speed."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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
    everything: Annotated[
        bool,
        typer.Option("--all", help="Also long contexts, neighbours that spin, cold starts, and speech with the codec."),
    ] = False,
    peers: Annotated[
        bool, typer.Option("--peers", help="Also transformers, if installed, in turns (with --csm-1b).")
    ] = False,
    llama_cpp: Annotated[
        Path | None, typer.Option("--llama-cpp", help="Also llama.cpp: where node-llama-cpp was installed by npm.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Also write the results to this JSON file.")] = None,
    picture: Annotated[Path | None, typer.Option("--plot", help="Also draw them into this file.")] = None,
    as_json: given.Json = False,
) -> None:
    """Measure the CPU engine: read bandwidth, milliseconds per frame and stage, bytes moved, real-time factor."""
    from ..engine.bench import measure
    from ..engine.native_engine import NativeEngine
    from ..errors import InputError
    from ..evaluation.report import versions
    from .console import print_json

    if (peers or llama_cpp is not None) and not csm_1b:
        raise InputError("Other programs are measured at CSM-1B's size.", hint="Add --csm-1b.", field="peers")
    results: list[BenchResult] = []
    counts, wanted = _numbers(threads, "threads"), formats.split(",")
    for plan in wanted:
        packed = _packed(model, plan, csm_1b)
        for number in counts:
            engine = NativeEngine(packed, threads=number)
            for together in _numbers(streams, "streams"):
                result = measure(engine, streams=together, frames=frames, random_weights=csm_1b)
                results.append(result)
                if not as_json:
                    _show(result, first=len(results) == 1)
    found: dict[str, Any] = {**versions(), "results": [result.as_dict() for result in results]}
    if everything:
        found |= _everything(model, _packed(model, wanted[0], csm_1b), max(counts), csm_1b)
    if peers or llama_cpp is not None:
        found["peers"] = _peers(wanted, max(counts), peers, llama_cpp)
    if as_json:
        print_json(found)
    elif everything or "peers" in found:
        rest = {name: value for name, value in found.items() if name not in ("date", "machine", "versions", "results")}
        typer.echo(json.dumps(rest, indent=2))
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    if picture is not None:
        from ..evaluation.speed_plot import plot

        plot(found, picture)


def _everything(model: str | None, packed: PackedModel, threads: int, csm_1b: bool) -> dict[str, Any]:
    from ..engine.bench import among_neighbours, context_curve
    from ..engine.native_engine import NativeEngine

    engine = NativeEngine(packed, threads=threads)
    room = packed.config.backbone.max_positions
    places = (min(100, room // 4), min(1900, room - 64))
    found: dict[str, Any] = {
        "context": _watched(lambda: context_curve(engine, places)),
        "neighbours": _watched(lambda: among_neighbours(engine)),
    }
    if csm_1b:
        from ..engine.bench_load import cold_start
        from ..engine.bench_model import kept_random_model
        from ..evaluation.speed_whole import whole_system

        path = kept_random_model(packed.config, packed.plan)[1]
        found["whole_system"] = _watched(lambda: whole_system(engine))
        found["cold_start"] = _watched(lambda: asdict(cold_start(path, packed.plan.name, threads)))
    else:
        from ..evaluation.speed_speaking import cold_process, speaking

        found["speaking"] = _watched(lambda: speaking(model))
        found["cold_process"] = _watched(lambda: cold_process(model))
    return found


def _watched(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What was found, with the share of a core that others took meanwhile."""
    from ..engine.bench import Others

    others = Others()
    return {**work(), "others_share": others.share()}


def _peers(plans: list[str], threads: int, transformers: bool, llama_cpp: Path | None) -> dict[str, Any]:
    from ..engine.bench_model import kept_folder
    from ..engine.native_engine import NativeEngine
    from ..evaluation import speed_peers

    contenders: list[speed_peers.Contender] = [
        speed_peers.EngineContender(NativeEngine(_packed(None, plan, True), threads=threads)) for plan in plans
    ]
    if llama_cpp is not None:
        contenders.append(speed_peers.LlamaCppContender(llama_cpp, kept_folder(), threads))
    there = transformers and importlib.util.find_spec("transformers") is not None
    if there:
        contenders.append(speed_peers.TransformersContender(threads))
    try:
        found = speed_peers.side_by_side(contenders, rounds=3, frames=4, threads=threads)
        return found | {"not_installed": ["transformers"] if transformers and not there else []}
    finally:
        speed_peers.close(contenders)


def _packed(model: str | None, plan: str, csm_1b: bool) -> PackedModel:
    from ..csm.config import CSM_1B
    from ..engine.bench_model import kept_random_model
    from ..engine.native_engine import named_plan
    from ..engine.packed import pack_model
    from ..weights.csm_files import read_csm
    from ..weights.load import locate

    if csm_1b:
        return kept_random_model(CSM_1B, named_plan(plan))[0]
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
