"""Codebooks 1..K-1 of a frame in memory that stays where it is: one graph on CUDA, the same steps on other devices.

Nothing here waits for the device or depends on what was drawn, so that a GPU can be given the whole frame at once: some
four thousand small operations for CSM-1B, whose starting alone would take longer than the work. Held to the plain
form by tests on the CPU; written for CUDA graphs, not measured on a GPU.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ..csm.model import Csm
from ..nn.llama_past import EvenPast
from .base import FrameRequest, Sampling
from .sampling import Drawing, draw_torch, uniform


@dataclass(frozen=True)
class Rows:
    """Which readings a frame has: `count` rows that draw, then one guide for each of `guided`."""

    count: int
    guided: tuple[int, ...] = ()

    @property
    def owners(self) -> list[int]:
        """The row that each reading belongs to."""
        return [*range(self.count), *self.guided]


class DepthFrame:
    """The depth stage for a fixed set of rows; what goes in and comes out are buffers."""

    def __init__(self, model: Csm, table: torch.Tensor, forbidden: torch.Tensor, rows: Rows) -> None:
        """`table` (·,d): embeddings projected for the depth decoder; `forbidden` (V,): codes that are never drawn."""
        config, device = model.config, table.device
        self._model, self._table, self._forbidden, self._rows = model, table, forbidden, rows
        books, readings = config.num_codebooks, len(rows.owners)
        wide = torch.float32 if device.type == "mps" else torch.float64
        self._hidden = table.new_zeros((readings, config.backbone.width))
        self._codes = torch.zeros((rows.count, books), dtype=torch.long, device=device)
        self._uniforms = torch.zeros((rows.count, books), dtype=wide, device=device)
        self._scales = torch.ones((max(1, len(rows.guided)), 1), device=device)
        self._drawing = Drawing.of([Sampling()] * rows.count, config.codebook_size, device)
        self._owners = torch.tensor(rows.owners, device=device)
        self._which = torch.tensor(rows.guided, dtype=torch.long, device=device)
        self._positions = torch.arange(books, device=device).expand(readings, -1)
        self._pasts = [EvenPast(config.depth, readings, books, table) for _ in range(config.depth.layers)]
        self._graph: torch.cuda.CUDAGraph | None = None

    def draw(self, requests: list[FrameRequest], hidden: torch.Tensor, first: torch.Tensor) -> torch.Tensor:
        """Codes (B,K) after codebook 0's (B,), from hidden (readings,D)."""
        books, size = self._model.config.num_codebooks, self._model.config.codebook_size
        draws = [[uniform(r.sampling.seed, r.index, book) for book in range(books)] for r in requests]
        self._hidden.copy_(hidden)
        self._codes[:, 0].copy_(first)
        self._uniforms.copy_(torch.tensor(draws, dtype=self._uniforms.dtype))
        self._drawing.fill([request.sampling.depth for request in requests], size)
        if self._rows.guided:
            self._scales.copy_(torch.tensor([[requests[b].sampling.guidance] for b in self._rows.guided]))
        if self._hidden.device.type == "cuda":
            self._replay()
        else:
            self._steps()
        return self._codes.clone()

    def _replay(self) -> None:
        if self._graph is None:
            aside = torch.cuda.Stream()
            aside.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(aside):  # once outside the graph: libraries make their workspaces
                self._steps()
            torch.cuda.current_stream().wait_stream(aside)
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph):
                self._steps()
        self._graph.replay()

    def _steps(self) -> None:
        config, model = self._model.config, self._model
        for past in self._pasts:
            past.length = 0
        x = torch.stack([model.projection(self._hidden), self._table[self._codes[:, 0][self._owners]]], dim=1)
        for book in range(1, config.num_codebooks):
            places = self._positions[:, book + 1 - x.shape[1] : book + 1]
            logits = self._mixed(model.decoder(x, places, self._pasts)[:, -1] @ model.audio_head[book - 1])
            logits = logits.float().masked_fill(self._forbidden, -torch.inf)
            self._codes[:, book] = draw_torch(logits, self._uniforms[:, book], self._drawing)
            if book + 1 < config.num_codebooks:
                x = self._table[self._codes[:, book][self._owners] + book * config.codebook_size][:, None]

    def _mixed(self, logits: torch.Tensor) -> torch.Tensor:
        """The rows' logits (B,V), guided ones away from their guides'."""
        own, guides = logits[: self._rows.count], logits[self._rows.count :].float()
        if not self._rows.guided:
            return own
        mixed = own.float()
        return mixed.index_copy(0, self._which, guides + self._scales * (mixed[self._which] - guides))
