"""How well can phones be read from codebook 0 alone? A table of the likeliest phone for each code. Knows no training.

The table (two phones a code: one for each half of its 80 ms) is counted on training speech and read on held-out speech.
Nothing that sees one code at a time can read more from it, so no head has to be trained, and codecs that never saw a
phone are measured like those that did.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from ..mimi.codec import Mimi
from ..timebase import FRAME_SAMPLES, RATE_HZ
from .codec_data import PHONES, CropCorpus, crop_of

PIECE_SAMPLES = 75 * FRAME_SAMPLES
SILENCE = 0  # of PHONES


def read_phones(codec: Mimi, corpus: CropCorpus, most_training_seconds: float = 1200.0) -> dict[str, float | int]:
    """Share of held-out half frames whose phone the table names, in percent: all of them, and those with speech.

    `always_one_phone` is what a table without codes would read: the commonest phone of each half.
    """
    entries = codec.config.quantizer.entries
    counts = np.zeros((2, entries, len(PHONES)), np.int64)
    frames = 0
    for codes, phones in _labelled(codec, corpus, ("train",), most_training_seconds):
        for half in (0, 1):
            np.add.at(counts[half], (codes, phones[:, half]), 1)
        frames += len(codes)
    usual = counts.sum(axis=1).argmax(axis=1)  # for codes that training speech never had
    table = np.where(counts.sum(axis=2) > 0, counts.argmax(axis=2), usual[:, None])
    speech_usual = counts[:, :, 1:].sum(axis=1).argmax(axis=1) + 1
    right, plain, wanted = [], [], []
    for codes, phones in _labelled(codec, corpus, ("validation", "test"), np.inf):
        right.append(np.stack([table[half][codes] for half in (0, 1)], axis=1) == phones)
        plain.append(speech_usual == phones)
        wanted.append(phones)
    hits, spoken = np.concatenate(right), np.concatenate(wanted) != SILENCE
    return {
        "all_percent": round(100 * float(hits.mean()), 1),
        "speech_percent": round(100 * float(hits[spoken].mean()), 1),
        "always_one_phone_speech_percent": round(100 * float(np.concatenate(plain)[spoken].mean()), 1),
        "codes_used": int((counts[0].sum(axis=1) > 0).sum()),
        "training_frames": frames,
        "held_out_half_frames_with_speech": int(spoken.sum()),
    }


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
