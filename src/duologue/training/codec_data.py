"""Crops of the corpus for the codec: samples, pitch and phones, prepared once per shard. Knows shards, no models.

A prepared shard is three .npy files beside the corpus: samples (int16), pitch per 240 samples (Hz, 0 unvoiced) and
phone per 600 samples (index into PHONES). Crops come from the train split, and are drawn from (seed, step, rank).
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import torch
from torch import Tensor

from ..errors import InputError
from ..mimi.pulses import HISS_HOPS
from .codec_pitch import HOP, pitch_track

UNIT = 600  # samples of a duration unit
PHONE_SPAN = 960  # samples of half a frame: one phone label each
STRESS = "ˈˌ"
Crop = tuple[np.ndarray, np.ndarray, np.ndarray]  # samples, pitch, phones
# Index 0: silence and boundaries (spaces, punctuation). Stress marks take the phone that follows.
PHONES = "_AIOQTWYabdefhijklmnoprstuvwxzæðŋɐɑɒɔəɚɛɜɡɪɹɾʃʊʌʒʔʤʧθᵊᵻː"


@dataclass
class Crops:
    """A batch: wav (B, 1, N); pitch_hz (B, hops), 0 unvoiced; phones (B, T, 2), one per half frame; where in the
    decoder's hiss each starts (B,)."""

    wav: Tensor
    pitch_hz: Tensor
    phones: Tensor
    hop: Tensor

    def part(self, rank: int, count: int) -> Crops:
        """The share of one process: `count` crops from rank * count on."""
        chosen = slice(rank * count, (rank + 1) * count)
        return Crops(self.wav[chosen], self.pitch_hz[chosen], self.phones[chosen], self.hop[chosen])

    def with_more(self, more: Crops) -> Crops:
        """These, then others of the same length."""
        pairs = zip(vars(self).values(), vars(more).values(), strict=True)
        return Crops(*(torch.cat(pair) for pair in pairs))


@dataclass(frozen=True)
class PreparedShard:
    """Memory-mapped arrays of one shard and the stretches [start, stop) of samples by split."""

    samples: np.ndarray
    pitch_hz: np.ndarray
    phones: np.ndarray
    stretches: dict[str, list[tuple[int, int]]]


def phone_units(phonemes: str, durations: list[int]) -> list[int]:
    """The phone index of each 600-sample unit of a turn."""
    labels = [0] * durations[0]
    pending = 0
    for symbol, count in zip(phonemes, durations[1:-1], strict=True):
        if symbol in STRESS:
            pending += count
            continue
        labels += [max(0, PHONES.find(symbol))] * (pending + count)
        pending = 0
    return labels + [0] * (pending + durations[-1])


def prepare_shard(shard: Path, folder: Path) -> PreparedShard:
    """Load the prepared form of `shard` (its .jsonl), making it if needed."""
    items = [json.loads(line) for line in shard.read_text(encoding="utf-8").splitlines()]
    names = [folder / f"{shard.stem}.{kind}.npy" for kind in ("samples", "pitch", "phones")]
    if not all(name.exists() for name in names):
        wav, _ = soundfile.read(shard.with_suffix(".flac"), dtype="int16")
        phones = np.zeros(len(wav) // UNIT + 1, np.int8)
        for turn in (turn for item in items for turn in item["turns"]):
            labels = phone_units(turn["phonemes"], turn["durations"])
            phones[turn["start"] // UNIT : turn["start"] // UNIT + len(labels)] = labels
        for name, array in zip(names, (wav, pitch_track(wav.astype(np.float32) / 32768), phones), strict=True):
            _save_whole(name, array)
    samples, pitch_hz, phones = (np.load(name, mmap_mode="r") for name in names)
    return PreparedShard(samples, pitch_hz, phones, _stretches(items, len(samples)))


def _save_whole(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.npy")
    np.save(temporary, array)
    temporary.replace(path)


def _stretches(items: list[dict], samples: int) -> dict[str, list[tuple[int, int]]]:
    """Join neighbouring items of one split."""
    stretches: dict[str, list[tuple[int, int]]] = {}
    before = None
    for item in items:
        start, last = item["turns"][0]["start"], item["turns"][-1]
        stop = min(samples, last["start"] + last["samples"])
        mine = stretches.setdefault(item["split"], [])
        if before == item["split"] and mine and mine[-1][1] == start:
            mine[-1] = (mine[-1][0], stop)
        else:
            mine.append((start, stop))
        before = item["split"]
    return stretches


class CropCorpus:
    """Draws crops from a growing folder of shards."""

    def __init__(self, shards: Path, prepared: Path, crop_samples: int) -> None:
        if crop_samples % 1920:
            raise InputError(f"A crop of {crop_samples} samples isn't whole frames of 1920.", field="crop_seconds")
        self.folder, self.prepared, self.crop_samples = shards, prepared, crop_samples
        self.names: list[str] = []
        self.shards: list[PreparedShard] = []

    def available(self) -> list[str]:
        """Names of the shards that exist now."""
        return sorted(path.stem for path in self.folder.glob("*.jsonl"))

    def use(self, names: list[str]) -> None:
        """Draw from these shards from now on (a superset of those in use); prepare the new ones."""
        for name in names:
            if name not in self.names:
                self.shards.append(prepare_shard(self.folder / f"{name}.jsonl", self.prepared))
                self.names.append(name)
        self.places = [
            (number, start, stop - self.crop_samples)
            for number, shard in enumerate(self.shards)
            for start, stop in shard.stretches.get("train", [])
            if stop - start > self.crop_samples + HOP
        ]
        if not self.places:
            raise InputError(f"{self.folder} holds no training speech of at least one crop.", field="shards")
        lengths = np.array([stop - start for _, start, stop in self.places], np.float64)
        self.upto = np.cumsum(lengths) / lengths.sum()

    def seconds(self) -> float:
        """Training speech at hand."""
        return sum(stop - start for s in self.shards for start, stop in s.stretches.get("train", [])) / 24_000

    def draw(self, count: int, rng: np.random.Generator) -> Crops:
        """Draw `count` crops, each place of the corpus being as likely as any other."""
        return self.batch([self._crop(rng) for _ in range(count)], rng)

    def batch(self, picked: Sequence[Crop], rng: np.random.Generator) -> Crops:
        """Crops as one batch, each somewhere in the decoder's hiss."""
        wav, pitch_hz, phones = (torch.from_numpy(np.stack(parts)) for parts in zip(*picked, strict=True))
        return Crops(wav[:, None], pitch_hz, phones, torch.from_numpy(rng.integers(HISS_HOPS, size=len(picked))))

    def _crop(self, rng: np.random.Generator) -> Crop:
        number, first, last = self.places[int(np.searchsorted(self.upto, rng.random()))]
        start = int(rng.integers(first // HOP, last // HOP + 1)) * HOP
        return crop_of(self.shards[number], start, self.crop_samples)


def crop_of(shard: PreparedShard, start: int, count: int) -> Crop:
    """Samples, pitch and phones of [start, start + count). Pitch j is what a decoder's hop j glides to: 15 ms on."""
    wav = shard.samples[start : start + count].astype(np.float32) / 32768
    first = start // HOP + 1
    pitch = np.zeros(count // HOP, np.float32)
    found = shard.pitch_hz[first : first + len(pitch)]
    pitch[: len(found)] = found
    centres = start + PHONE_SPAN // 2 + PHONE_SPAN * np.arange(count // PHONE_SPAN)
    phones = shard.phones[np.minimum(centres // UNIT, len(shard.phones) - 1)].astype(np.int64)
    return np.pad(wav, (0, count - len(wav))), pitch, phones.reshape(-1, 2)
