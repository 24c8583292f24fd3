"""Pictures of what the load test measured: `python -m duologue.evaluation.load_plot`. Knows no server."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from .load import RESULTS

PICTURE = Path("docs/server-load.svg")
GOAL_MS = 500  # first sound later than this is felt


def draw(results: dict[str, Any], path: Path) -> None:
    """Time to first audio by number of listeners, and memory over time."""
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    with plt.rc_context({"svg.hashsalt": "duologue", "font.size": 9}):
        figure, (first, memory) = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
        levels = sorted((one for one in results.values() if one["first_audio_ms"]), key=lambda one: one["streams"])
        listeners = [one["streams"] for one in levels]
        for name, style in (("p50", "o-"), ("p95", "s--")):
            first.plot(listeners, [one["first_audio_ms"][name] for one in levels], style, label=name.upper())
        first.axhline(GOAL_MS, color="0.7", linewidth=0.8)
        first.set(xscale="log", yscale="log", xlabel="listeners", ylabel="ms to first audio", xticks=listeners)
        first.set_xticklabels([f"{one['streams']}\nload {one['machine_load']['before']:.0f}" for one in levels])
        first.minorticks_off()
        first.legend(frameon=False)
        for one in levels:
            seconds, mib = zip(*one["footprint"]["over_time"], strict=True)
            memory.plot([each / 60 for each in seconds], mib, label=f"{one['streams']} listeners")
        memory.set(xlabel="minutes", ylabel="resident MiB", ylim=(0, None))
        memory.legend(frameon=False)
        figure.savefig(path, metadata={"Date": None})
        plt.close(figure)


def main() -> int:
    """Read the results, write the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--out", type=Path, default=PICTURE)
    arguments = parser.parse_args()
    draw(json.loads(arguments.results.read_text(encoding="utf-8")), arguments.out)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
