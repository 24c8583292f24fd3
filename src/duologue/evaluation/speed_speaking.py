"""A whole model as its users meet it: text to sound, the first sound of a stream, and of a process that has just begun.

Times by a clock on the wall; those of the processor stand beside them, since other programs hardly change these.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

TEXTS = (
    "Twenty past ten, already? I had no idea that it was so late.",
    "The ship was in the harbour before the rain began.",
    "Nobody asked him, and so he never told them.",
)
SEED = 7
COLD = """
import json, sys, time
began = time.perf_counter()
import duologue
imported = time.perf_counter()
model = duologue.load({source!r}, device="cpu")
loaded = time.perf_counter()
next(model.stream({text!r}, seed={seed}, check=False))
spoken, processor = time.perf_counter(), time.process_time()
from duologue.engine.bench_load import peak_mb
print(json.dumps([imported - began, loaded - imported, spoken - loaded, processor, peak_mb()]))
"""


def speaking(source: str | None, rounds: int = 3) -> dict[str, Any]:
    """Speak each text whole and as a stream, warm, the two taking turns."""
    import duologue

    model = duologue.load(source, device="cpu")
    options = {"seed": SEED, "check": False, "max_seconds": 8.0}
    model.generate(TEXTS[0], **options)  # type: ignore[arg-type]
    walls, processors, firsts, seconds = [], [], [], 0.0
    for _ in range(rounds):
        for text in TEXTS:
            wall, processor = time.perf_counter(), time.process_time()
            audio = model.generate(text, **options)  # type: ignore[arg-type]
            walls.append((time.perf_counter() - wall) / audio.seconds)
            processors.append((time.process_time() - processor) / audio.seconds)
            seconds += audio.seconds
            began = time.perf_counter()
            stream = model.stream(text, **options)  # type: ignore[arg-type]
            next(stream)
            firsts.append(1e3 * (time.perf_counter() - began))
            stream.close()
    return {
        "engine": model.engine.name,
        "seconds_of_speech": seconds,
        "real_time_factor": statistics.median(walls),
        "real_time_factor_of_the_processor": statistics.median(processors),
        "first_audio_ms": statistics.median(firsts),
        "slowest_first_audio_ms": max(firsts),
    }


def cold_process(source: str | None, rounds: int = 3) -> dict[str, Any]:
    """A fresh process up to its first sound; seconds, medians, and the process's peak in MB.

    Python keeps what it compiled, as it does after any first start; one that is not counted sees to that.
    """
    command = [sys.executable, "-c", COLD.format(source=source, text=TEXTS[0], seed=SEED)]
    found, wholes = [], []
    with tempfile.TemporaryDirectory() as kept:
        usual = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        for _ in range(rounds + 1):
            began = time.perf_counter()
            done = subprocess.run(
                command,
                env=usual | {"PYTHONPYCACHEPREFIX": kept},
                capture_output=True,
                text=True,
                check=True,
                timeout=300,
            )
            wholes.append(time.perf_counter() - began)
            found.append(json.loads(done.stdout))
    imported, loaded, spoken, processor, peak = (statistics.median(column) for column in zip(*found[1:], strict=True))
    return {
        "import_seconds": imported,
        "load_seconds": loaded,
        "first_sound_after_load_seconds": spoken,
        "first_sound_of_the_process_seconds": imported + loaded + spoken,
        "processor_seconds_to_first_sound": processor,
        "whole_process_seconds": statistics.median(wholes[1:]),
        "peak_memory_mb": peak,
    }
