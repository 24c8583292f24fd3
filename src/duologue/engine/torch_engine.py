"""The plain engine: CSM in PyTorch, one frame per call, on any device torch knows. The exact reference of all engines.

In float32 on the CPU it is held to other implementations by tests. Knows nothing of text, of sound or of when to stop.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np
import torch

from ..csm.config import CsmConfig
from ..csm.frames import is_eos
from ..csm.model import Csm
from ..errors import BackendUnavailable, InputError
from ..nn.int4_linear import int4_reason, rounded_linears
from ..nn.llama_past import EvenPast, Past, UnevenPast
from .base import Cache, Frame, FrameRequest, Sampling
from .sampling import forbidden_codes, pick, pick_torch, uniform
from .torch_frame import DepthFrame, Rows

FRAMES_KEPT = 16  # depth stages, by their rows
FIRST_ROOM = 256  # rows that a new cache has place for; it doubles when full


class TorchCache:
    """One conversation's keys and values, one EvenPast of batch 1 per backbone layer."""

    def __init__(self, pasts: list[EvenPast]) -> None:
        self.pasts = pasts

    @property
    def length(self) -> int:
        """Grid rows taken in so far."""
        return self.pasts[0].length

    def fork(self) -> TorchCache:
        """A second conversation from this past, in memory of its own."""
        with torch.inference_mode():
            return TorchCache([past.copy() for past in self.pasts])

    def truncate(self, length: int) -> None:
        """Forget every row from `length` on. Raises InputError if there are not so many rows."""
        if not 0 <= length <= self.length:
            raise InputError(f"A cache of {self.length} rows can't be cut to {length}.", field="length")
        for past in self.pasts:
            past.length = length


class TorchEngine:
    """Speaks with a Csm module. Calls from several threads wait for each other."""

    def __init__(
        self,
        model: Csm,
        device: str = "cpu",
        dtype: torch.dtype = torch.float32,
        *,
        int4: bool = False,
        static: bool | None = None,
    ) -> None:
        """Move the module to a device ("cpu", "cuda", "cuda:1", "mps") and type, and take it over.

        `int4` rounds its linear layers for torch's own CPU kernel: faster, where no kernels of ours are. `static` keeps
        a frame's depth stage in memory of its own and hands it over as a whole (torch_frame.py); None: on GPUs.
        Raises BackendUnavailable if torch can't reach the device, or has no such kernel.
        """
        self.device = _reach(device)
        self.model = model.to(device=self.device, dtype=dtype).eval().requires_grad_(False)
        self.config: CsmConfig = model.config
        self.name = f"torch-{self.device}-{'int4' if int4 else str(dtype).removeprefix('torch.')}"
        if int4:
            _round(self.model, self.device)
        self._static = self.device.type != "cpu" if static is None else static
        self._depth_frames: dict[Rows, DepthFrame] = {}
        self._lock = threading.Lock()
        self._depth_pasts: dict[int, list[EvenPast]] = {}  # by batch size, reused by every frame
        self._forbidden = {
            (book, allow): torch.from_numpy(forbidden_codes(self.config, book, allow)).to(self.device)
            for book in range(self.config.num_codebooks)
            for allow in (True, False)
        }
        known = (self.config.num_codebooks - 1) * self.config.codebook_size  # the last codebook is never read
        with torch.inference_mode():
            self._depth_table = self.model.projection(self.model.audio_embeddings.weight[:known])  # (·,d)

    def new_cache(self) -> TorchCache:
        """An empty past."""
        stack = self.config.backbone
        like = self.model.text_embeddings.weight
        with torch.inference_mode():
            return TorchCache([EvenPast(stack, 1, FIRST_ROOM, like) for _ in range(stack.layers)])

    @torch.inference_mode()
    def prefill(self, cache: Cache, rows: np.ndarray, positions: np.ndarray) -> None:
        """Take in rows (S, columns) at positions (S,) without sampling."""
        if len(rows) == 0:
            return
        with self._lock:
            self.model.hidden_states(self._tensor(rows)[None], self._tensor(positions)[None], _pasts([cache]))

    @torch.inference_mode()
    def frames(self, requests: list[FrameRequest]) -> list[Frame]:
        """Feed one row each and sample one frame each; every row's result equals its solo run."""
        with self._lock:
            guides = [(request.guide, request.position) for request in requests if request.guide is not None]
            rows = [request.row for request in requests] + [guide.row for guide, _ in guides]
            places = [request.position for request in requests] + [position for _, position in guides]
            pasts = _pasts([request.cache for request in requests] + [guide.cache for guide, _ in guides])
            grid = self._tensor(np.stack(rows))[:, None]
            hidden = self.model.hidden_states(grid, self._tensor(np.array(places))[:, None], pasts)[:, 0]
            stage = self.model.first_stage(hidden)
            codes = self._codes(requests, hidden, _guided(requests, stage.first_logits))
            moves = self._moves(requests, stage.advance_logits)
        return [Frame(codes[b], int(moves[b])) for b in range(len(requests))]

    def _codes(self, requests: list[FrameRequest], hidden: torch.Tensor, logits: torch.Tensor) -> np.ndarray:
        """Draw whole frames (B,K) from hidden (B + guides,D) and codebook 0's logits (B,V).

        With eos "zeros" a frame may turn out to be the end where none is allowed: it is drawn again from the same
        numbers, with code 0 barred from codebook 0.
        """
        first = self._draw(requests, 0, logits)
        codes = self._complete(requests, hidden, first).cpu().numpy()  # (B,K)
        barred = [b for b, request in enumerate(requests) if not request.allow_eos and is_eos(self.config, codes[b])]
        if barred:
            again = logits[barred].clone()
            again[:, 0] = -torch.inf
            states = hidden[[*barred, *_guides_of(requests, barred)]]
            codes[barred] = self._codes([requests[b] for b in barred], states, again)
        return codes

    def _complete(self, requests: list[FrameRequest], hidden: torch.Tensor, first: torch.Tensor) -> torch.Tensor:
        """Codes (B,K): codebooks 1..K-1 drawn by the depth decoder after codebook 0 (B,), guides (in hidden) beside."""
        config, model = self.config, self.model
        if config.num_codebooks == 1:
            return first[:, None]  # nothing for the depth decoder to add
        if self._static:
            return self._depth_frame(requests).draw(requests, hidden, first)
        codes = [first]
        owners = [*range(len(requests)), *(b for b, request in enumerate(requests) if request.guide is not None)]
        pasts = self._fresh_depth(len(owners))
        x = torch.stack([model.projection(hidden), self._depth_table[first[owners]]], dim=1)  # (·,2,d): h and c0
        positions = torch.arange(config.num_codebooks, device=self.device).expand(len(owners), -1)
        for book in range(1, config.num_codebooks):
            out = model.decoder(x, positions[:, book + 1 - x.shape[1] : book + 1], pasts)[:, -1]  # (B,d)
            codes.append(self._draw(requests, book, _guided(requests, out @ model.audio_head[book - 1])))
            if book + 1 < config.num_codebooks:
                x = self._depth_table[codes[-1][owners] + book * config.codebook_size][:, None]
        return torch.stack(codes, dim=1)

    def _depth_frame(self, requests: list[FrameRequest]) -> DepthFrame:
        rows = Rows(len(requests), tuple(b for b, request in enumerate(requests) if request.guide is not None))
        if rows not in self._depth_frames:
            if len(self._depth_frames) >= FRAMES_KEPT:
                self._depth_frames.pop(next(iter(self._depth_frames)))
            self._depth_frames[rows] = DepthFrame(self.model, self._depth_table, self._forbidden[1, False], rows)
        return self._depth_frames[rows]

    def _fresh_depth(self, batch: int) -> list[EvenPast]:
        if batch not in self._depth_pasts:
            stack, books, like = self.config.depth, self.config.num_codebooks, self._depth_table
            self._depth_pasts[batch] = [EvenPast(stack, batch, books, like) for _ in range(stack.layers)]
        for past in self._depth_pasts[batch]:
            past.length = 0
        return self._depth_pasts[batch]

    def _draw(self, requests: list[FrameRequest], book: int, logits: torch.Tensor) -> torch.Tensor:
        """One code (B,) per row from logits (B,V) of a codebook, on the engine's device."""
        samplings = [request.sampling.first if book == 0 else request.sampling.depth for request in requests]
        forbidden = torch.stack([self._forbidden[book, request.allow_eos] for request in requests])
        return self._pick(requests, book, logits.float().masked_fill(forbidden, -torch.inf), samplings)

    def _moves(self, requests: list[FrameRequest], logits: torch.Tensor | None) -> np.ndarray:
        """The pointer's move (B,) after each frame; zeros without aligned text."""
        if logits is None:
            return np.zeros(len(requests), np.int64)
        samplings = [request.sampling.advance for request in requests]
        own = logits[: len(requests)].float()
        moves: np.ndarray = self._pick(requests, self.config.num_codebooks, own, samplings).cpu().numpy()
        return moves

    def _pick(
        self, requests: list[FrameRequest], draw: int, logits: torch.Tensor, samplings: list[Sampling]
    ) -> torch.Tensor:
        uniforms = [uniform(request.sampling.seed, request.index, draw) for request in requests]
        if self.device.type == "cpu":
            table = logits.numpy()
            return torch.tensor([pick(table[b], u, samplings[b]) for b, u in enumerate(uniforms)])
        wide = torch.float32 if self.device.type == "mps" else torch.float64
        picked: torch.Tensor = pick_torch(logits, torch.tensor(uniforms, dtype=wide, device=self.device), samplings)
        return picked

    def _tensor(self, values: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(values, np.int64)).to(self.device)


def _pasts(caches: Sequence[Cache]) -> list[Past]:
    """One past per layer over the rows of these caches."""
    own = [cache for cache in caches if isinstance(cache, TorchCache)]
    if len(own) < len(caches) or len({id(cache) for cache in own}) < len(own):
        raise InputError("Each row needs a cache of its own, made by this kind of engine.", field="cache")
    if len(own) == 1:
        return list(own[0].pasts)
    return [UnevenPast(list(layer)) for layer in zip(*(cache.pasts for cache in own), strict=True)]


def _guided(requests: list[FrameRequest], logits: torch.Tensor) -> torch.Tensor:
    """Logits (B,V) to draw from, out of those of B requests and, after them, of their guides."""
    which = [b for b, request in enumerate(requests) if request.guide is not None]
    own, guides = logits[: len(requests)], logits[len(requests) :]
    if not which:
        return own
    scales = torch.tensor([[requests[b].sampling.guidance] for b in which], device=logits.device)
    mixed = own.float().clone()
    mixed[which] = guides.float() + scales * (mixed[which] - guides.float())
    return mixed


def _guides_of(requests: list[FrameRequest], chosen: list[int]) -> list[int]:
    """Where the guides of these requests stand among the readings."""
    which = [b for b, request in enumerate(requests) if request.guide is not None]
    return [len(requests) + which.index(b) for b in chosen if b in which]


def _round(model: Csm, device: torch.device) -> None:
    reason = f"it runs on the CPU, not on {device}" if device.type != "cpu" else int4_reason()
    if reason is not None:
        raise BackendUnavailable(f"No int4 by torch: {reason}.", hint='Use engine="torch".')
    rounded_linears(model)


def _reach(name: str) -> torch.device:
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise BackendUnavailable(
            f"torch {torch.__version__} can't use the device {name!r}: {str(error).splitlines()[0]}",
            hint='Use device="cpu", or install a torch build for this device.',
        ) from error
    return device
