"""How long the codec takes for a frame here, first and steady, both ways, beside torch's form in the same run.

    python -m duologue.evaluation.codec_speed --out benchmarks/results/codec_speed.json

Random weights of the released size: speed does not depend on their values. Steady streams have 10 s behind them,
so that attention looks as far back as it ever does. Forms take turns within a round, so that a slow minute meets all.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..mimi.config import MIMI, MimiConfig
from ..mimi.torchless.native import NativeMimi, WeightKind
from ..mimi.torchless.tensors import Floats, Tensors
from .report import versions

FRAMES_PER_CALL = (1, 2, 4)
PAST_FRAMES = 125  # 10 s: all that attention sees
KINDS: tuple[WeightKind, ...] = ("float32", "float16", "bfloat16")
Stream = Callable[[npt.NDArray[Any]], object]


class RandomTensors(Tensors):
    """Whatever is asked for, from one pool of numbers."""

    def __init__(self) -> None:
        super().__init__({})
        self._pool = np.random.default_rng(0).standard_normal(1 << 24).astype(np.float32)

    def within(self, prefix: str) -> Tensors:
        """The same numbers."""
        return self

    def take(self, name: str, *shape: int) -> Floats:
        """Some numbers; counters are positive."""
        values = self._pool[: int(np.prod(shape))].reshape(shape)
        if name.endswith("cluster_usage"):
            return np.abs(values) + np.float32(0.5)
        return values if name.endswith("embedding_sum") else values * np.float32(0.02)


class NativeForm:
    """The codec on the engine's kernels; a stream takes the next codes (K,n) or samples (n*frame,)."""

    def __init__(self, config: MimiConfig, kind: WeightKind, threads: int) -> None:
        self.name = f"native-{kind}"
        weights = {"decoder_weights": kind, "encoder_weights": kind}
        self._mimi = NativeMimi(config, RandomTensors(), threads=threads, **weights)  # type: ignore[arg-type]

    def speak(self) -> Stream:
        """A new stream of codes."""
        state = self._mimi.init_decode_state()
        return lambda codes: self._mimi.decode_step(codes, state)

    def hear(self) -> Stream:
        """A new stream of sound."""
        state, books = self._mimi.init_encode_state(), self._mimi.config.quantizer.codebooks
        return lambda samples: self._mimi.encode_step(samples, books, state)


class TorchForm:
    """mimi/codec.py on the CPU."""

    def __init__(self, config: MimiConfig, kind: str, threads: int) -> None:
        import torch

        from ..mimi.codec import Mimi

        self.name, self._threads = f"torch-{kind}", threads
        torch.manual_seed(0)
        self._mimi = Mimi(config).eval().to(getattr(torch, kind))

    def speak(self) -> Stream:
        """A new stream of codes."""
        import torch

        torch.set_num_threads(self._threads)
        state = [self._mimi.init_decode_state(1)]

        def step(codes: npt.NDArray[Any]) -> None:
            _, state[0] = self._mimi.decode_step(torch.from_numpy(codes)[None], state[0])

        return step

    def hear(self) -> Stream:
        """A new stream of sound."""
        import torch

        torch.set_num_threads(self._threads)
        state = [self._mimi.init_encode_state(1)]

        def step(samples: npt.NDArray[Any]) -> None:
            _, state[0] = self._mimi.encode_step(torch.from_numpy(samples)[None, None], state[0])

        return step


Form = NativeForm | TorchForm


def measure_codec(
    *, threads: int = 1, rounds: int = 3, calls: int = 8, config: MimiConfig = MIMI, torch: bool = True
) -> dict[str, Any]:
    """Milliseconds per frame of every form, medians over rounds: {form: {"decode": {...}, "encode": {...}}}.

    In each, `first` is a new stream's first frame, `steady_1`, `_2` and `_4` that many frames per call, per frame, and
    `fastest_1` … the least that was seen. `torch` False leaves torch's form out.
    """
    forms: list[Form] = [NativeForm(config, kind, threads) for kind in KINDS]
    if torch:
        forms.append(TorchForm(config, "float32", threads))
    found: dict[str, dict[str, dict[str, list[float]]]] = {f.name: {"decode": {}, "encode": {}} for f in forms}
    for _ in range(rounds):
        for form in forms:
            _time_direction(form.speak, _codes(config), calls, found[form.name]["decode"])
            _time_direction(form.hear, _sound(config), calls, found[form.name]["encode"])
    return {name: {way: _summary(times) for way, times in ways.items()} for name, ways in found.items()}


def _codes(config: MimiConfig) -> Callable[[int], npt.NDArray[Any]]:
    size, random = config.quantizer, np.random.default_rng(1)
    return lambda frames: random.integers(0, size.entries, (size.codebooks, frames))


def _sound(config: MimiConfig) -> Callable[[int], npt.NDArray[Any]]:
    random = np.random.default_rng(1)
    return lambda frames: random.standard_normal(frames * config.frame_samples, np.float32) / 10


def _time_direction(
    new: Callable[[], Stream], draw: Callable[[int], npt.NDArray[Any]], calls: int, times: dict[str, list[float]]
) -> None:
    for _ in range(3):
        times.setdefault("first", []).append(_timed(new(), draw(1)))
    stream = new()
    for start in range(0, PAST_FRAMES, 5):
        stream(draw(min(5, PAST_FRAMES - start)))
    for frames in FRAMES_PER_CALL:
        for _ in range(calls):
            times.setdefault(f"steady_{frames}", []).append(_timed(stream, draw(frames)) / frames)


def _timed(stream: Stream, given: npt.NDArray[Any]) -> float:
    start = time.perf_counter()
    stream(given)
    return 1e3 * (time.perf_counter() - start)


def _summary(times: dict[str, list[float]]) -> dict[str, float]:
    out = {name: round(statistics.median(values), 3) for name, values in times.items()}
    return out | {f"fastest_{name}": round(min(values), 3) for name, values in times.items()}


def main() -> int:
    """Measure, write, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    report = versions() | {"unit": "ms per frame of 80 ms", "random_weights": True, "results": []}
    for threads in arguments.threads:
        report["results"].append(measure(threads, arguments.rounds))
        text = json.dumps(report, indent=2) + "\n"
        if arguments.out:  # after each, so that a run cut short leaves what it has
            arguments.out.parent.mkdir(parents=True, exist_ok=True)
            arguments.out.write_text(text, encoding="utf-8")
    print(text, end="")
    return 0


def measure(threads: int, rounds: int) -> dict[str, Any]:
    """All forms on so many threads, with the memory's speed before and after, and the load of the machine."""
    from ..engine.bench import read_bandwidth

    before = read_bandwidth(threads)
    forms = measure_codec(threads=threads, rounds=rounds)
    speeds = [round(speed / 1e9, 1) for speed in (before, read_bandwidth(threads))]
    return {"threads": threads, "bandwidth_gb_s": speeds, "load_average": round(os.getloadavg()[0], 2), "forms": forms}


if __name__ == "__main__":
    raise SystemExit(main())
