"""The CPU engine: a whole frame per call in C++, from packed weights. Needs numpy alone, no torch.

Knows nothing of text, sound or when to stop. The layout of weights and the numbers it draws are those of the torch
engine, to which tests hold it.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..csm.config import CsmConfig
from ..errors import BackendUnavailable, Cancelled, InputError
from ..native import binding
from .base import Cache, Frame, FrameRequest
from .native_model import NativeModel
from .packed import PackedModel, pack_model
from .quantize import PLANS, Floats, FormatPlan

PATHS = ("avx512vnni", "avx2", "neon", "portable")


def available_paths() -> list[str]:
    """The instruction sets' paths that this CPU and this build can run, fastest first.

    Raises BackendUnavailable if the kernels were not compiled.
    """
    return [path for path in PATHS if binding.library().dl_runs(path.encode())]


class NativeCache:
    """One conversation's keys and values; forks share memory until one of them writes."""

    def __init__(self, handle: int, engine: NativeEngine) -> None:
        self._handle = handle
        self._free = binding.library().dl_cache_free  # kept here: modules may be gone when an interpreter ends
        self.engine = engine  # keeps the shapes that the cache was made for, and the library's engine, alive

    @property
    def length(self) -> int:
        """Grid rows taken in so far."""
        return int(binding.library().dl_cache_length(self._handle))

    @property
    def own_bytes(self) -> int:
        """Memory that no fork shares."""
        return int(binding.library().dl_cache_own_bytes(self._handle))

    def fork(self) -> NativeCache:
        """A second conversation that starts from this past; neither sees the other's future."""
        with self.engine.lock:
            return NativeCache(binding.library().dl_cache_fork(self._handle), self.engine)

    def truncate(self, length: int) -> None:
        """Forget every row from `length` on. Raises InputError if there are not so many rows."""
        if not 0 <= length <= self.length:
            raise InputError(f"A cache of {self.length} rows can't be cut to {length}.", field="length")
        with self.engine.lock:
            binding.library().dl_cache_truncate(self._handle, length)

    def __del__(self) -> None:
        if getattr(self, "_handle", None):
            self._free(self._handle)
            self._handle = 0


@dataclass(frozen=True)
class FrameTrace:
    """What a frame was drawn from: hidden (D,), logits of codebook 0 (V,), the pointer (moves,), the others (K-1,V)."""

    hidden: Floats
    first_logits: Floats
    advance_logits: Floats
    depth_logits: Floats


@dataclass(frozen=True)
class StageTimes:
    """Seconds spent since the engine was made, and frames whose helpers rested because others wanted the cores."""

    prefill: float
    backbone: float
    depth: float
    drawing: float
    waiting: float
    rested_frames: float


class NativeEngine:
    """Engine protocol over packed weights. Calls are serialised; other Python threads run while it computes."""

    def __init__(self, packed: PackedModel, *, threads: int = 1, path: str = "auto") -> None:
        """`threads` share the work of one frame; `path` ("auto" or one of PATHS) forces an instruction set.

        Raises BackendUnavailable if the kernels are not compiled or this CPU lacks the path.
        """
        path = os.environ.get("DUOLOGUE_NATIVE_PATH", path) if path == "auto" else path
        if not binding.library().dl_runs(path.encode()):
            raise BackendUnavailable(
                f"This CPU or build has no {path!r} path.", hint=f"There are: auto, {', '.join(available_paths())}."
            )
        self.config: CsmConfig = packed.config
        self.packed = packed
        self.threads = threads
        self.lock = threading.Lock()
        self._model = NativeModel(packed, threads=threads, path=path)  # the memory that the C side points into
        self._free = binding.library().dl_engine_free  # kept here: modules may be gone when an interpreter ends
        self._handle = binding.library().dl_engine_new(ctypes.byref(self._model.c))
        if not self._handle:
            raise InputError(f"The CPU engine can't run this model: {binding.library().dl_last_error().decode()}.")
        chosen = binding.library().dl_engine_path(self._handle).decode()
        self.name = f"native-{chosen}-{packed.plan.name}"
        self._batch = int(binding.library().dl_batch(self._handle))

    @classmethod
    def from_weights(
        cls,
        config: CsmConfig,
        weights: Mapping[str, npt.NDArray[Any]],
        plan: FormatPlan | str = "float32",
        *,
        threads: int = 1,
        path: str = "auto",
    ) -> NativeEngine:
        """Pack a network's arrays (csm/model.py's names) and build an engine on them."""
        chosen = named_plan(plan) if isinstance(plan, str) else plan
        return cls(pack_model(config, weights, chosen), threads=threads, path=path)

    def new_cache(self) -> NativeCache:
        """An empty past."""
        return NativeCache(binding.library().dl_cache_new(self._handle), self)

    def prefill(self, cache: Cache, rows: np.ndarray, positions: np.ndarray) -> None:
        """Take in rows (S, columns) at positions (S,) without sampling, as matrix products."""
        grid = np.ascontiguousarray(rows, np.int64)
        places = np.ascontiguousarray(positions, np.int64)
        if grid.ndim != 2 or grid.shape[1] != self.config.columns or places.shape != (len(grid),):
            raise InputError(f"Rows should be (S, {self.config.columns}) with S positions.", field="rows")
        handle = self._handle_of(cache)
        with self.lock:
            arguments = (self._handle, handle, binding.address(grid), binding.address(places), len(grid))
            binding.check(binding.library().dl_prefill(*arguments))

    def frames(self, requests: list[FrameRequest]) -> list[Frame]:
        """Feed one row each and sample one frame each; every row's result equals its solo run."""
        frames: list[Frame] = []
        start = readings = 0
        for end, request in enumerate(requests):
            wanted = 1 if request.guide is None else 2
            if readings + wanted > self._batch:
                frames += self._frames(requests[start:end])
                start, readings = end, 0
            readings += wanted
        return frames + self._frames(requests[start:]) if requests else frames

    def trace(self, request: FrameRequest, codes: npt.NDArray[np.int64] | None = None) -> tuple[Frame, FrameTrace]:
        """One frame together with all its logits; `codes` (K,) replace the drawn ones (teacher forcing)."""
        size = int(binding.library().dl_trace_size(self._handle))
        values = np.zeros(size, np.float32)
        forced = None if codes is None else np.ascontiguousarray(codes, np.int64)
        frame = self._frames([request], forced, values)[0]
        config = self.config
        moves = 0 if config.aligned is None else config.aligned.max_advance + 1
        parts = np.split(values, np.cumsum([config.backbone.width, config.codebook_size, moves]))
        hidden, first, advance, depth = parts
        return frame, FrameTrace(hidden, first, advance, depth.reshape(-1, config.codebook_size))

    def times(self) -> StageTimes:
        """Where the time went."""
        values = np.zeros(6)
        binding.library().dl_times(self._handle, binding.address(values))
        return StageTimes(*(float(value) for value in values))

    def _frames(
        self,
        requests: list[FrameRequest],
        forced: npt.NDArray[np.int64] | None = None,
        trace: Floats | None = None,
    ) -> list[Frame]:
        books = self.config.num_codebooks
        guided = [(i, request.guide) for i, request in enumerate(requests) if request.guide is not None]
        read = [request.row for request in requests] + [guide.row for _, guide in guided]
        rows = np.stack(read).astype(np.int64, copy=False)
        if rows.shape[1] != self.config.columns or (forced is not None and forced.shape != (books,)):
            raise InputError(f"A row has {self.config.columns} columns, a frame {books} codes.", field="row")
        out = np.empty((len(requests), books + 1), np.int64)
        packed = (binding.CRequest * len(rows))()
        for i, request in enumerate(requests):
            self._fill(packed[i], request, binding.address(rows) + i * rows.strides[0])
            packed[i].forced = None if forced is None else binding.address(forced)
            packed[i].trace = None if trace is None else binding.address(trace)
        for slot, (owner, guide) in enumerate(guided, start=len(requests)):
            self._fill(packed[slot], requests[owner], binding.address(rows) + slot * rows.strides[0])
            packed[slot].cache, packed[slot].guide_of = self._handle_of(guide.cache), owner
        with self.lock:
            binding.check(binding.library().dl_frames(self._handle, packed, len(rows), binding.address(out)))
        return [Frame(codes[:books], int(codes[books])) for codes in out]

    def _fill(self, slot: binding.CRequest, request: FrameRequest, row: int) -> None:
        stages = (request.sampling.first, request.sampling.depth, request.sampling.advance)
        slot.cache, slot.row = self._handle_of(request.cache), row
        slot.position, slot.index = request.position, request.index
        slot.seed = request.sampling.seed & 0xFFFFFFFFFFFFFFFF
        slot.temperature[:] = [stage.temperature for stage in stages]
        slot.top_k[:] = [min(stage.top_k, self.config.codebook_size) for stage in stages]
        slot.allow_eos = request.allow_eos
        slot.guide_of, slot.guidance = -1, request.sampling.guidance

    def _handle_of(self, cache: Cache) -> int:
        if not isinstance(cache, NativeCache) or cache.engine is not self:
            raise InputError("A cache belongs to the engine that made it.", field="cache")
        if not (cache._handle and self._handle):  # a stream that nobody kept, collected together with its engine
            raise Cancelled("The engine is gone.")
        return cache._handle

    def __del__(self) -> None:
        if getattr(self, "_handle", None):
            self._free(self._handle)
            self._handle = 0


def named_plan(name: str) -> FormatPlan:
    """The plan of that name. Raises InputError listing the names."""
    if name not in PLANS:
        raise InputError(f"There is no weight format {name!r}; there are {', '.join(PLANS)}.", field="weights")
    return PLANS[name]
