"""Other programs on the same frames, taking turns with the engine so that a slow minute meets all.

transformers: `generate` of its CSM in bfloat16 at CSM-1B's size, random weights, everything but its codec.
llama.cpp: its Q4_0 kernels on Llama networks of the backbone's and the depth decoder's shapes, one token of the first
and 31 of the second a frame. It has one output matrix where CSM has 31 (so it reads less), and draws nothing. It comes
from npm's node-llama-cpp, which brings compiled kernels; each token is one call from JavaScript.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import shutil
import statistics
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ..csm.config import CSM_1B, CsmConfig
from ..engine.base import FrameRequest, FrameSampling
from ..engine.bench import CONTEXT_ROWS, read_bandwidth
from ..engine.bench_model import random_rows
from ..engine.native_engine import NativeEngine
from ..errors import BackendUnavailable
from .llama_cpp_files import write_llama_files

SCRIPT = Path(__file__).with_name("llama_cpp_speed.mjs")


class Contender(Protocol):
    """Something that speaks frames of CSM-1B's size."""

    name: str

    def speak(self, frames: int) -> list[float]:
        """Milliseconds of each frame."""
        ...


class EngineContender:
    """This engine, after 300 rows of context."""

    def __init__(self, engine: NativeEngine) -> None:
        self.name = f"{engine.name}-{engine.threads}threads"
        self._engine, self._rows, self._place = engine, random_rows(CSM_1B, 1024), CONTEXT_ROWS
        self._cache = engine.new_cache()
        engine.prefill(self._cache, self._rows[:CONTEXT_ROWS], np.arange(CONTEXT_ROWS))

    def speak(self, frames: int) -> list[float]:
        times = []
        for _ in range(frames):
            request = FrameRequest(self._cache, self._rows[self._place], self._place, 0, FrameSampling(1), False)
            started = time.perf_counter()
            self._engine.frames([request])
            times.append(1e3 * (time.perf_counter() - started))
            self._place += 1
        return times


class TransformersContender:
    """transformers' CSM in bfloat16; its codec is small here and never runs."""

    name = "transformers-bfloat16"

    def __init__(self, threads: int, config: CsmConfig = CSM_1B, context_rows: int = CONTEXT_ROWS) -> None:
        import torch
        from transformers import CsmConfig, CsmForConditionalGeneration

        from ..weights.transformers_csm_config import write_config
        from .parity_csm import SMALL_CODEC

        torch.set_num_threads(threads)
        values = write_config(config, SMALL_CODEC | {"num_quantizers": config.num_codebooks})
        with torch.device("meta"):
            model = CsmForConditionalGeneration(CsmConfig.from_dict(values))
        self._model: Any = model.to(torch.bfloat16).to_empty(device="cpu").eval()  # type: ignore[arg-type]
        pool = torch.randn(1 << 20) * 0.02
        for tensor in [*self._model.parameters(), *self._model.buffers()]:
            if tensor.is_floating_point():
                flat = tensor.data.view(-1)
                for start in range(0, len(flat), len(pool)):
                    flat[start : start + len(pool)] = pool[: len(flat[start : start + len(pool)])].abs()
            else:
                tensor.data.zero_()
        self._ids = torch.from_numpy(random_rows(config, context_rows)[None, :, : config.num_codebooks].copy())

    def speak(self, frames: int) -> list[float]:
        """The time between a frame and the next one, so that reading the prompt isn't in it."""
        import torch

        watch = _FrameWatch()
        with torch.inference_mode():
            self._model.generate(
                input_ids=self._ids,
                attention_mask=torch.ones(self._ids.shape[:2], dtype=torch.long),
                max_new_tokens=frames + 1,
                min_new_tokens=frames + 1,
                do_sample=False,
                depth_decoder_do_sample=False,
                output_audio=False,
                streamer=watch,
            )
        spoken = watch.seen[-frames - 1 :]
        return [1e3 * (after - before) for before, after in itertools.pairwise(spoken)]


class _FrameWatch:
    """Notes when transformers' generate hands over a frame (and, first, its prompt)."""

    def __init__(self) -> None:
        self.seen: list[float] = []

    def put(self, value: Any) -> None:
        self.seen.append(time.perf_counter())

    def end(self) -> None:
        pass


class LlamaCppContender:
    """llama.cpp's kernels, in a process of their own."""

    name = "llama.cpp-Q4_0"

    def __init__(self, folder: Path, files: Path, threads: int) -> None:
        """`folder` is where `npm install node-llama-cpp` was run; the networks are kept in `files`.

        Raises BackendUnavailable if it can't be started.
        """
        node = shutil.which("node")
        if node is None or not (folder / "node_modules" / "node-llama-cpp").is_dir():
            raise BackendUnavailable(
                f"{folder} has no llama.cpp to measure.", hint="Run `npm install node-llama-cpp` there; node is needed."
            )
        backbone, depth = write_llama_files(CSM_1B, files)
        command = [node, str(SCRIPT), str(backbone), str(depth), str(threads), str(folder.resolve())]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._line()
        self.stages: list[list[float]] = []

    def speak(self, frames: int) -> list[float]:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{frames}\n")
        self._process.stdin.flush()
        times = self._line()["times"]
        self.stages += times
        return [sum(stages) for stages in times]

    def close(self) -> None:
        """End its process."""
        self._process.terminate()
        self._process.wait()

    def _line(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise BackendUnavailable("llama.cpp's process ended.", hint="Its messages stand above.")
        found: dict[str, Any] = json.loads(line)
        return found


def side_by_side(contenders: Sequence[Contender], rounds: int, frames: int, threads: int) -> dict[str, Any]:
    """Median milliseconds a frame of each, in turns, with the bandwidth of each round; ratios to the first one."""
    times: dict[str, list[float]] = {contender.name: [] for contender in contenders}
    bandwidths = []
    for _ in range(rounds):
        bandwidths.append(read_bandwidth(threads) / 1e9)
        for contender in contenders:
            times[contender.name] += contender.speak(frames)
    medians = {name: statistics.median(values) for name, values in times.items()}
    first = medians[contenders[0].name]
    return {
        "rounds": rounds,
        "frames_per_round": frames,
        "bandwidth_gb_s": bandwidths,
        "frame_ms": medians,
        "fastest_frame_ms": {name: min(values) for name, values in times.items()},
        "times_as_long_as_the_first": {name: value / first for name, value in medians.items()},
    }


def close(contenders: Sequence[Contender]) -> None:
    """End what runs in processes of its own."""
    for contender in contenders:
        if isinstance(contender, LlamaCppContender):
            with contextlib.suppress(OSError):
                contender.close()
