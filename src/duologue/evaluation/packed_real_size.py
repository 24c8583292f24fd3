"""A file in the CPU engine's own form at csm-1b's size: how it starts, what memory it takes, how fast it speaks.

    python -m duologue.evaluation.packed_real_size --folder DIR --out benchmarks/results/packed_real_size.json

Random weights; each way of loading (mapped, read) in a process of its own, several times in turn. The file lies in the
system's page cache. Takes as much disk and memory as the form does, twice.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..csm.config import CSM_1B, CsmConfig
from ..engine.bench import measure
from ..engine.bench_model import random_model
from ..engine.native_engine import NativeEngine
from ..engine.packed_file import for_file, load_part
from ..engine.quantize import PLANS
from ..weights.gguf_file import open_gguf
from ..weights.gguf_own import read_own, write_own
from ..weights.gguf_packed import PackedPart
from .report import versions

SMALL = replace(
    CSM_1B,
    backbone=replace(CSM_1B.backbone, layers=2, width=256, heads=4, kv_heads=1, hidden=512),
    depth=replace(CSM_1B.depth, layers=2, width=256, heads=2, kv_heads=1, hidden=512),
    text_vocab=500,
)


def run(config: CsmConfig, plan: str, folder: Path, threads: int, rounds: int) -> dict[str, Any]:
    """Write the file if it isn't there, and load it both ways in turn."""
    path = folder / f"random-{config.backbone.width}-{plan}.gguf"
    if not path.is_file():
        write_own(path, for_file(random_model(config, PLANS[plan])), None)
    found: dict[str, list[dict[str, float]]] = {"mapped": [], "read": []}
    for _ in range(rounds):
        for way, rows in found.items():
            command = [sys.executable, "-m", __spec__.name, "--load", way, "--file", str(path)]
            done = subprocess.run([*command, "--threads", str(threads)], check=True, capture_output=True, text=True)
            rows.append(json.loads(done.stdout))
            print(way, done.stdout.strip(), flush=True)
    medians = {
        way: {key: statistics.median(row[key] for row in rows) for key in rows[0]} for way, rows in found.items()
    }
    return {
        "what": f"a file in the CPU engine's own form ({plan}, random weights), mapped and read into memory",
        **versions(),
        "file_bytes": path.stat().st_size,
        "threads": threads,
        "medians": medians,
        "runs": found,
    }


def load(path: Path, way: str, threads: int) -> dict[str, float]:
    """In a process of its own: seconds until it could speak, memory afterwards, milliseconds a frame."""
    began, before = time.perf_counter(), _memory_mb()
    engine = NativeEngine(load_part(_part(path), mapped=way == "mapped"), threads=threads)
    seconds = time.perf_counter() - began
    bench = measure(engine, rounds=2, frames=8, random_weights=True)
    after = _memory_mb()
    return {
        "start_seconds": round(seconds, 3),
        "own_mb": round(after["own"] - before["own"], 1),
        "file_mb": round(after["file"] - before["file"], 1),
        "frame_ms": round(bench.frame_ms, 2),
        "fastest_frame_ms": round(bench.fastest_frame_ms, 2),
        "bandwidth_gb_s": round(bench.bandwidth_gb_s, 1),
        "others_share": round(bench.others_share, 2),
    }


def _part(path: Path) -> PackedPart:
    packed = read_own(open_gguf(path)).packed
    assert packed is not None
    return packed()


def _memory_mb() -> dict[str, float]:
    """Memory of this process: its own (anonymous and shared), and pages of files."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    sizes = {kind: int(lines[kind].split()[0]) / 1000 for kind in ("RssAnon", "RssShmem", "RssFile")}
    return {"own": sizes["RssAnon"] + sizes["RssShmem"], "file": sizes["RssFile"]}


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path(), help="where the file is written, and left")
    parser.add_argument("--plan", choices=tuple(PLANS), default="int4")
    parser.add_argument("--size", choices=("small", "real"), default="real")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/packed_real_size.json"))
    parser.add_argument("--load", choices=("mapped", "read"), help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.load:
        print(json.dumps(load(options.file, options.load, options.threads)))
        return
    options.folder.mkdir(parents=True, exist_ok=True)
    config = CSM_1B if options.size == "real" else SMALL
    result = run(config, options.plan, options.folder, options.threads, options.rounds)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result["medians"], indent=2))


if __name__ == "__main__":
    main()
