"""Held-out figures of a codec while it learns. Knows crops and the learning codec; draws nothing at random."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .codec_data import PHONES, Crop, CropCorpus, crop_of
from .codec_model import LearningCodec
from .codec_pitch import pitch_track
from .codec_quantizer import pass_through, quantize
from .losses_spectral import MelMetric

_MOST_CLIPS = 24
_MOST_SAMPLES = 1920 * 75
_WITHIN = float(np.log(1.1))


class Validation:
    """The first validation and test stretches of the corpus, at most 6 s each; never trained on."""

    def __init__(self, corpus: CropCorpus) -> None:
        self.metric = MelMetric()
        self.clips: list[Crop] = []
        for shard in corpus.shards:
            for split in ("validation", "test"):
                for start, stop in shard.stretches.get(split, []):
                    count = min(stop - start, _MOST_SAMPLES) // 1920 * 1920
                    if count and len(self.clips) < _MOST_CLIPS:
                        self.clips.append(crop_of(shard, start, count))

    @torch.no_grad()
    def measure(self, model: LearningCodec, *, plain: bool) -> dict[str, float]:
        """Mel distance, share of voiced hops with pitch within 10 %, share of phones read from codebook 0."""
        mels, right, phones = [], [], []
        for samples, _, labels in self.clips:
            wav = torch.from_numpy(samples)[None, None]
            made, read = self._resynthesise(model, wav, plain=plain)
            mels.append(float(self.metric(made[:, 0], wav[:, 0])))
            right.append(pitch_right(made[0, 0].numpy(), samples))
            phones.append((read == torch.from_numpy(labels).flatten()).float())
        return {
            "val_mel": float(np.mean(mels)),
            "val_pitch_right": float(np.mean(np.concatenate(right))),
            "val_phones_right": 0.0 if plain else float(torch.cat(phones).mean()),
        }

    def _resynthesise(self, model: LearningCodec, wav: Tensor, *, plain: bool) -> tuple[Tensor, Tensor]:
        latents = model.codec.latents(wav)
        if plain:
            return model.codec.sound(pass_through(model.codec.quantizer, latents)), torch.zeros(())
        seen = quantize(model.codec.quantizer, latents, None)
        read = model.phone_head(seen.semantic).view(-1, len(PHONES)).argmax(-1)
        return model.codec.sound(seen.latents), read


def pitch_right(made: np.ndarray, real: np.ndarray) -> np.ndarray:
    """For each hop where `real` is voiced: is `made` voiced with a pitch within 10 %? Both by `pitch_track`."""
    ours, theirs = pitch_track(made), pitch_track(real)
    voiced = theirs > 0
    return (ours[voiced] > 0) & (np.abs(np.log(np.maximum(ours[voiced], 1.0) / theirs[voiced])) < _WITHIN)
