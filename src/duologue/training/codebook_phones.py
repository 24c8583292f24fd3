"""How well can phones be read from codebook 0 alone? A table of the likeliest phone for each code. Knows no training.

The table (two phones a code: one for each half of its 80 ms) is counted on training speech and read on held-out speech.
Nothing that sees one code at a time can read more from it, so no head has to be trained, and codecs that never saw a
phone are measured like those that did.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch

from ..mimi.codec import Mimi
from ..timebase import FRAME_SAMPLES, RATE_HZ
from .codec_data import PHONES, CropCorpus, crop_of

PIECE_SAMPLES = 75 * FRAME_SAMPLES
SILENCE = 0  # of PHONES


def read_phones(codec: Mimi, corpus: CropCorpus, most_training_seconds: float = 1200.0) -> dict[str, float | int]:
    """Share of held-out half frames whose phone the table names, in percent: all of them, and those with speech.

    For those with speech the table knows no silence. `always_one_phone` is what a table without codes would read there:
    the commonest phone of each half.
    """
    entries = codec.config.quantizer.entries
    counts = np.zeros((2, entries, len(PHONES)), np.int64)
    frames = 0
    for codes, phones in _labelled(codec, corpus, ("train",), most_training_seconds):
        for half in (0, 1):
            np.add.at(counts[half], (codes, phones[:, half]), 1)
        frames += len(codes)
    every, spoken_only = likeliest(counts), likeliest(counts[:, :, 1:]) + 1
    usual = counts[:, :, 1:].sum(axis=1).argmax(axis=1) + 1
    found = list(_labelled(codec, corpus, ("validation", "test"), np.inf))
    codes, wanted = (np.concatenate(parts) for parts in zip(*found, strict=True))
    halves = np.arange(2)
    right, said = every[halves, codes[:, None]] == wanted, spoken_only[halves, codes[:, None]] == wanted
    spoken = wanted != SILENCE
    return {
        "all_percent": round(100 * float(right.mean()), 1),
        "speech_percent": round(100 * float(said[spoken].mean()), 1),
        "always_one_phone_speech_percent": round(100 * float((usual == wanted)[spoken].mean()), 1),
        "codes_used": int((counts[0].sum(axis=1) > 0).sum()),
        "training_frames": frames,
        "held_out_half_frames_with_speech": int(spoken.sum()),
    }


def likeliest(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """For each half and code the commonest phone (2, codes) of counts (2, codes, phones).

    A code that training speech never had gets the commonest of all.
    """
    usual = counts.sum(axis=1).argmax(axis=1)
    return np.where(counts.sum(axis=2) > 0, counts.argmax(axis=2), usual[:, None])


@torch.no_grad()
def _labelled(
    codec: Mimi, corpus: CropCorpus, splits: tuple[str, ...], most_seconds: float
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Codes of codebook 0 (T,) and phones (T, 2) of pieces of at most 6 s."""
    left = most_seconds * RATE_HZ
    for shard in corpus.shards:
        for split in splits:
            for start, stop in shard.stretches.get(split, []):
                for first in range(start, stop, PIECE_SAMPLES):
                    count = min(stop - first, PIECE_SAMPLES) // FRAME_SAMPLES * FRAME_SAMPLES
                    if not count or left <= 0:
                        continue
                    left -= count
                    samples, _, phones = crop_of(shard, first, count)
                    yield codec.encode(torch.from_numpy(samples)[None, None], 1)[0, 0].numpy(), phones
