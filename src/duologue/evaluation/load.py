"""How many listeners one server carries: `python -m duologue.evaluation.load --streams 16 --seconds 560`.

Starts a real `duologue serve`, lets so many listeners ask and play in real time, and writes time to first audio,
under-runs, memory over time, and whether each one's sound equals the same request made alone. Then a burst of
requests that can't all be served: each must be answered, in words, at once or after the promised wait.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from .load_listener import PATIENCE, Heard, Line, alone, crowd, listen, script
from .load_server import Footprint, ServerProcess
from .report import versions

LINES = 24
SAMPLE_SECONDS = 1.0
WARM_UP = 0.2  # share of the time after which memory should stand still
RESULTS = Path("benchmarks/results/load.json")


async def measure(server: ServerProcess, streams: int, seconds: float, lines: int = LINES) -> dict[str, Any]:
    """One level of load against a running server, as JSON."""
    model, voices = await _what_it_has(server.url)
    asked = script(voices, lines)
    known = await alone(server.url, model, asked)
    before, load_before, carried = server.footprint(), os.getloadavg()[0], await _carried(server.url)
    footprints: list[Footprint] = []
    watching = asyncio.create_task(_watch(server, footprints))
    heard = await crowd(server.url, model, known, streams, seconds)
    watching.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await watching
    after = server.footprint()
    return {
        "streams": streams,
        "seconds": seconds,
        "model": model,
        "lines": len(known),
        "lines_the_model_fails_at_alone": len(asked) - len(known),
        "machine_load": {"before": round(load_before, 2), "after": round(os.getloadavg()[0], 2)},
        "rows_carried_in_real_time": {"before": carried, "after": await _carried(server.url)},
        "server_cpu_share": round((after.cpu_seconds - before.cpu_seconds) / seconds, 3),
        **outcome(heard, known),
        "footprint": _footprint(footprints),
    }


def outcome(heard: Sequence[Heard], known: Mapping[Line, str]) -> dict[str, Any]:
    """What the listeners got, counted. `differing` is sound that was not that of the same request made alone."""
    served = [one for one in heard if one.status == 200 and not one.broken]
    refused = [one for one in heard if one.status in (429, 503)]
    first = [one.first_audio for one in served]
    seconds = sum(one.audio for one in served)
    return {
        "requests": len(heard),
        "served": len(served),
        "refused": len(refused),
        "refused_after_ms": _percentiles([one.answered for one in refused]),
        "refused_without_retry_after": sum(one.retry_after is None for one in refused),
        "other_statuses": dict(Counter(str(one.status) for one in heard if one.status not in (200, 429, 503))),
        "broken": dict(Counter(one.broken for one in heard if one.broken)),
        "differing": sum(one.digest != known[one.line] for one in served),
        "audio_seconds": round(seconds, 1),
        "first_audio_ms": _percentiles(first),
        "slowest_answer_ms": round(1e3 * max((one.answered for one in heard), default=0.0), 1),
        "streams_with_under_runs_percent": round(100 * sum(one.under_runs > 0 for one in served) / len(served), 2)
        if served
        else None,
        "under_runs": sum(one.under_runs for one in served),
        "silent_percent": round(100 * sum(one.late for one in served) / seconds, 3) if seconds else None,
    }


def _percentiles(seconds: Sequence[float]) -> dict[str, float] | None:
    if not seconds:
        return None
    values = np.percentile(np.asarray(seconds) * 1e3, [50, 95, 100])
    return dict(zip(("p50", "p95", "worst"), (round(float(value), 1) for value in values), strict=True))


def _footprint(samples: Sequence[Footprint]) -> dict[str, Any]:
    """Memory over time and its slope once warm; threads and open files at their most."""
    times = np.array([one.at_seconds for one in samples])
    memory = np.array([one.resident_mib for one in samples])
    warm = times >= times[0] + WARM_UP * (times[-1] - times[0])
    slope = float(np.polyfit(times[warm] / 60, memory[warm], 1)[0]) if warm.sum() > 2 else 0.0
    step = max(1, len(samples) // 120)
    return {
        "resident_mib": {
            "first": round(float(memory[0]), 1),
            "peak": round(float(memory.max()), 1),
            "last": round(float(memory[-1]), 1),
            "slope_per_minute_once_warm": round(slope, 3),
        },
        "most_threads": max(one.threads for one in samples),
        "most_open_files": max(one.open_files for one in samples),
        "over_time": [[round(one.at_seconds - times[0], 1), round(one.resident_mib, 1)] for one in samples[::step]],
    }


async def _watch(server: ServerProcess, samples: list[Footprint]) -> None:
    while True:
        samples.append(server.footprint())
        await asyncio.sleep(SAMPLE_SECONDS)


async def overload(server: ServerProcess, requests: int) -> dict[str, Any]:
    """Many requests in the same moment: every one is answered, with sound or with when to come back."""
    model, voices = await _what_it_has(server.url)
    lines = script(voices, 3)
    known = await alone(server.url, model, lines)
    limits = httpx.Limits(max_connections=requests)
    async with httpx.AsyncClient(base_url=server.url, timeout=PATIENCE, limits=limits) as client:
        chosen = [list(known)[number % len(known)] for number in range(requests)]
        heard = await asyncio.gather(*(listen(client, line, model, play=False) for line in chosen))
    return outcome(heard, known)


async def _what_it_has(url: str) -> tuple[str, list[str]]:
    async with httpx.AsyncClient(base_url=url, timeout=PATIENCE) as client:
        models = (await client.get("/v1/models")).raise_for_status().json()
        voices = (await client.get("/v1/audio/voices")).raise_for_status().json()
    return str(models["data"][0]["id"]), [str(voice["id"]) for voice in voices["data"]]


async def _carried(url: str) -> int:
    """How many rows the server admits at present."""
    async with httpx.AsyncClient(base_url=url, timeout=PATIENCE) as client:
        return int((await client.get("/ready")).json()["capacity"])


def holds(result: Mapping[str, Any]) -> bool:
    """Nothing mixed up, lost or left without an answer."""
    wrong = result["differing"] or result["broken"] or result["other_statuses"] or result["refused_without_retry_after"]
    return not wrong and result["served"] > 0


def store(path: Path, key: str, result: dict[str, Any]) -> None:
    """Put one result beside those that the file already has."""
    kept: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    kept[key] = result
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(dict(sorted(kept.items())), indent=1) + "\n", encoding="utf-8")


def main() -> int:
    """Measure one level, write it, print it; 0 if it holds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=4, help="listeners at the same time")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--rows", type=int, help="rows of the server; as many as listeners if left out")
    parser.add_argument("--any-pace", action="store_true", help="admit more than the machine speaks in real time")
    parser.add_argument("--burst", type=int, default=0, help="afterwards, so many requests in one moment")
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    rows = arguments.rows or arguments.streams
    pace = ["--any-pace"] if arguments.any_pace else []
    with ServerProcess(["--streams", str(rows), *pace]) as server:
        result = {
            **versions(),
            "rows": rows,
            "any_pace": arguments.any_pace,
            **asyncio.run(measure(server, arguments.streams, arguments.seconds)),
        }
        if arguments.burst:
            result["burst"] = asyncio.run(overload(server, arguments.burst))
    key = f"{arguments.streams:03d} listeners, {rows:03d} rows{', any pace' if pace else ''}"
    store(arguments.out, key, result)
    shown = {name: value for name, value in result.items() if name not in ("footprint", "versions", "machine")}
    json.dump({**shown, "footprint": {**result["footprint"], "over_time": "…"}}, sys.stdout, indent=1)
    return 0 if all(holds(part) for part in (result, result.get("burst", result))) else 1


if __name__ == "__main__":
    raise SystemExit(main())
