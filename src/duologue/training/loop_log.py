"""A run's diary: learning curves as CSV and as a picture, and one progress line with an ETA. Knows no model.

Rows after the step that a run resumes from are cut off, so a curve never runs twice over the same steps.
"""

from __future__ import annotations

import csv
import math
import time
from pathlib import Path


class CurveLog:
    """Append-only CSV of scalar curves; columns may be added later (the file is then rewritten)."""

    def __init__(self, path: Path, resume_step: int = 0) -> None:
        self.path = path
        self.rows = [row for row in read_curves(path) if row["step"] <= resume_step] if path.exists() else []
        self.columns = list(dict.fromkeys(key for row in self.rows for key in row)) or ["step"]
        path.parent.mkdir(parents=True, exist_ok=True)
        self._rewrite()

    def append(self, step: int, **values: float) -> None:
        """Add one row; values that aren't numbers any more (NaN) are kept as such."""
        row = {"step": float(step), **{key: float(value) for key, value in values.items()}}
        self.rows.append(row)
        fresh = [key for key in row if key not in self.columns]
        if fresh:
            self.columns += fresh
            self._rewrite()
            return
        with self.path.open("a", encoding="utf-8", newline="") as stream:
            csv.writer(stream).writerow(self._cells(row))

    def _rewrite(self) -> None:
        temporary = self.path.with_suffix(".csv.tmp")
        with temporary.open("w", encoding="utf-8", newline="") as stream:
            csv.writer(stream).writerows([self.columns, *map(self._cells, self.rows)])
        temporary.replace(self.path)

    def _cells(self, row: dict[str, float]) -> list[str]:
        return [format(row[key], ".8g") if key in row else "" for key in self.columns]


def read_curves(path: Path) -> list[dict[str, float]]:
    """Rows of a curve file; empty cells are left out, a half-written last line too."""
    with path.open(encoding="utf-8", newline="") as stream:
        lines = list(csv.reader(line for line in stream if line.endswith("\n")))
    return [
        {key: float(cell) for key, cell in zip(lines[0], cells, strict=True) if cell}
        for cells in lines[1:]
        if len(cells) == len(lines[0])
    ]


def draw_curves(source: Path, picture: Path, panels: dict[str, list[str]]) -> None:
    """Draw the named columns of a curve file, one panel for each entry of `panels` (title to columns)."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    rows = read_curves(source)
    figure, axes = pyplot.subplots(1, len(panels), figsize=(5 * len(panels), 3.6), squeeze=False)
    for axis, (title, columns) in zip(axes[0], panels.items(), strict=True):
        for column in columns:
            points = [(row["step"], row[column]) for row in rows if column in row and math.isfinite(row[column])]
            if points:
                axis.plot(*zip(*points, strict=True), label=column, linewidth=1)
        axis.set(title=title, xlabel="step")
        axis.grid(alpha=0.3)
        if axis.lines:
            axis.legend(fontsize=7)
    figure.tight_layout()
    temporary = picture.with_name(f".{picture.name}")
    figure.savefig(temporary, dpi=110, format="png")
    pyplot.close(figure)
    temporary.replace(picture)


def eta(fraction: float, started: float, started_fraction: float = 0.0) -> str:
    """Time left as h:mm:ss, from the fraction done now and the one at `started` (time.monotonic())."""
    done = fraction - started_fraction
    if done <= 0:
        return "?"
    left = int((time.monotonic() - started) * max(0.0, 1 - fraction) / done)
    return f"{left // 3600}:{left // 60 % 60:02d}:{left % 60:02d}"
