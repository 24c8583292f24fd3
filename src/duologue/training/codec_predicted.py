"""Crops with the codes that a speech model drew for them, so that a decoder learns to sound those as the recording.

See predicted_codes.py for how such codes are made. Knows shards and codes, no models.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError
from ..timebase import FRAME_SAMPLES
from .code_shards import read_code_shard
from .codec_data import CropCorpus, Crops, crop_of


class PredictedCrops:
    """Draws whole frames of training turns, each with its predicted codes."""

    def __init__(self, corpus: CropCorpus, folder: Path) -> None:
        self.corpus, self.folder = corpus, folder
        self.frames = corpus.crop_samples // FRAME_SAMPLES
        self.names: list[str] = []
        self._places: list[tuple[int, int, np.ndarray]] = []  # shard in the corpus, first sample, codes (K, T)
        self._upto = np.zeros(0)

    def available(self) -> list[str]:
        """Shards of the corpus that have predicted codes now."""
        return [name for name in self.corpus.names if (self.folder / f"{name}.safetensors").exists()]

    def use(self, names: list[str]) -> None:
        """Draw from these shards from now on. Raises InputError if none has a turn of a crop's length."""
        for name in names:
            if name not in self.names:
                self._places += self._turns(name)
                self.names.append(name)
        if not self._places:
            raise InputError(f"{self.folder} holds no codes for this corpus.", field="predicted")
        rooms = np.array([codes.shape[1] - self.frames + 1 for _, _, codes in self._places], np.float64)
        self._upto = np.cumsum(rooms) / rooms.sum()

    def _turns(self, name: str) -> list[tuple[int, int, np.ndarray]]:
        listing = (self.corpus.folder / f"{name}.jsonl").read_text(encoding="utf-8")
        items = [json.loads(line) for line in listing.splitlines()]
        split = [(item["split"], turn) for item in items for turn in item["turns"]]
        drawn = read_code_shard(self.folder / f"{name}.safetensors").turns
        if len(drawn) != len(split):
            raise InputError(f"{self.folder}/{name} holds the codes of another listing.", field="predicted")
        found = []
        for (part, turn), codes in zip(split, drawn, strict=True):
            whole = codes[:, : turn["samples"] // FRAME_SAMPLES]
            if part == "train" and whole.shape[1] >= self.frames:
                found.append((self.corpus.names.index(name), int(turn["start"]), whole))
        return found

    def draw(self, count: int, rng: np.random.Generator) -> tuple[Crops, Tensor]:
        """Draw `count` crops and their codes (B, K, T), each place being as likely as any other."""
        crops, codes = [], []
        for _ in range(count):
            number, start, drawn = self._places[int(np.searchsorted(self._upto, rng.random()))]
            first = int(rng.integers(drawn.shape[1] - self.frames + 1))
            crops.append(crop_of(self.corpus.shards[number], start + first * FRAME_SAMPLES, self.corpus.crop_samples))
            codes.append(drawn[:, first : first + self.frames])
        return self.corpus.batch(crops, rng), torch.from_numpy(np.stack(codes))
