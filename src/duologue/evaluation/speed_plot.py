"""A bench's JSON as one picture: milliseconds a frame by stage, batch curve, and other programs beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

REAL_TIME_MS = 80.0


def plot(found: Mapping[str, Any], path: Path) -> None:
    """Draw what was measured. Raises BackendUnavailable without matplotlib."""
    from ..errors import BackendUnavailable

    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise BackendUnavailable(
            f"No plot without matplotlib: {error}", hint='pip install "duologue[train]"'
        ) from error
    parts: list[Callable[[Any], None]] = [
        lambda axes: _stages(axes, found["results"]),
        lambda axes: _batches(axes, found["results"]),
    ]
    if "context" in found:
        parts.append(lambda axes: _circumstances(axes, found))
    if "peers" in found:
        parts.append(lambda axes: _peers(axes, found["peers"]))
    figure = Figure(figsize=(5.5 * len(parts), 4.2), layout="constrained")
    for axes, part in zip(figure.subplots(1, len(parts)), parts, strict=True):
        part(axes)
    machine = found["machine"]
    figure.suptitle(f"{machine['cpu']}, {machine['cores']} cores, {found['date'][:10]}")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def _stages(axes: Any, results: list[Mapping[str, Any]]) -> None:
    solo = [result for result in results if result["streams"] == 1]
    names = [f"{result['engine'].removeprefix('native-')}\n{result['threads']} threads" for result in solo]
    backbone = [result["backbone_ms"] for result in solo]
    depth = [result["depth_ms"] for result in solo]
    axes.bar(names, backbone, label="backbone")
    axes.bar(names, depth, bottom=backbone, label="depth decoder and drawing")
    axes.axhline(REAL_TIME_MS, color="black", linewidth=0.8, linestyle="--", label="real time")
    axes.set_ylabel("ms a frame, one stream")
    axes.tick_params(axis="x", labelsize=7)
    axes.legend(fontsize=8)


def _batches(axes: Any, results: list[Mapping[str, Any]]) -> None:
    lines: dict[str, list[tuple[int, float]]] = {}
    for result in results:
        name = f"{result['engine'].removeprefix('native-')}, {result['threads']} threads"
        lines.setdefault(name, []).append((result["streams"], result["frame_ms"] / result["streams"]))
    for name, points in lines.items():
        axes.plot(*zip(*sorted(points), strict=True), marker="o", label=name)
    axes.set_xlabel("streams spoken together")
    axes.set_ylabel("ms a frame and stream")
    axes.set_ylim(bottom=0)
    axes.legend(fontsize=8)


def _circumstances(axes: Any, found: Mapping[str, Any]) -> None:
    times = {f"after {place} rows": ms for place, ms in found["context"]["frame_ms"].items()}
    beside = found["neighbours"]
    times["alone"] = beside["quiet_ms"]
    times[f"{beside['spinning_processes']} neighbours\nthat never rest"] = beside["pressed_ms"]
    axes.bar_label(axes.bar(list(times), list(times.values())), fmt="%.1f")
    axes.set_ylabel("ms a frame, one stream")
    axes.tick_params(axis="x", labelsize=7)


def _peers(axes: Any, peers: Mapping[str, Any]) -> None:
    names, values = list(peers["frame_ms"]), list(peers["frame_ms"].values())
    bars = axes.barh(names, values)
    axes.bar_label(bars, fmt="%.0f")
    axes.axvline(REAL_TIME_MS, color="black", linewidth=0.8, linestyle="--")
    axes.set_xscale("log")
    axes.set_xlabel("ms a frame, taking turns")
    axes.tick_params(axis="y", labelsize=7)
