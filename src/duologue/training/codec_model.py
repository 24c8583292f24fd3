"""A Mimi while it learns: the codec, the phone reader on codebook 0, and the terms of the loss. Knows no data files.

Either front end learns: the spectral pair with its terms of pitch and voicing, or SEANet with the spectral terms alone.

Semantic distillation of the first version: a linear head reads the phone of each half frame from the quantized vector
of codebook 0 (the teacher's exact durations give the labels), so that codebook 0 learns what is said.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..mimi.codec import Mimi
from ..mimi.config import MimiConfig
from ..mimi.spectral import SpectralDecoder
from ..nn.conv import CausalConv, UpsamplingConv
from .codec_data import PHONES, Crops
from .codec_quantizer import Quantized, pass_through, quantize
from .losses_spectral import SpectralDistance
from .parallel import mean_over_all


@dataclass(frozen=True)
class LossWeights:
    """Weights of the terms; mel is the unit."""

    mel: float = 1.0
    linear: float = 0.5
    envelope: float = 0.0
    commitment: float = 1.0
    pitch: float = 2.0
    voicing: float = 0.1
    phones: float = 0.1


class LearningCodec(nn.Module):
    """A Mimi and what it needs only while learning."""

    def __init__(self, config: MimiConfig, weight_norm: bool = False) -> None:
        """`weight_norm` splits the weights of the front end's convolutions into length and direction."""
        super().__init__()
        self.codec = Mimi(config)
        if weight_norm:
            split_weights(self.codec)
        self.phone_head = nn.Linear(config.quantizer.width, 2 * len(PHONES))
        self.distance = SpectralDistance()

    def forward(
        self, crops: Crops, levels: Tensor | None, *, plain: bool = False
    ) -> tuple[dict[str, Tensor], Quantized | None]:
        """Loss terms of a batch, and what the quantizer saw (None while `plain`)."""
        latents = self.codec.latents(crops.wav)
        with torch.autocast(latents.device.type, enabled=False):
            latents = latents.float()
            seen = None if plain else quantize(self.codec.quantizer, latents, levels)
            shown = pass_through(self.codec.quantizer, latents) if seen is None else seen.latents
            terms = {} if seen is None else {"commitment": seen.commitment, "phones": self._phones(seen, crops.phones)}
        made, sources = self.sound(shown, crops)
        return terms | sources | self.distances(made, crops.wav), seen

    def sound(self, latents: Tensor, crops: Crops) -> tuple[Tensor, dict[str, Tensor]]:
        """Latents to wav (B, 1, N); a spectral decoder with the true pitch where voiced, and the terms of its source.

        The true pitch lets the spectral losses see each harmonic where it belongs; the predicted one is held to it.
        """
        codec, decoder = self.codec, self.codec.decoder
        if not isinstance(decoder, SpectralDecoder):
            return codec.sound(latents), {}
        x = codec.decoder_transformer(codec.upsample(latents))
        state = decoder.init_state(latents.shape[0])
        state["hop"] = crops.hop
        x, _ = decoder.trunk(x, state)
        log_pitch, voicing, filters = decoder.heads(x)
        pitch_hz = crops.pitch_hz
        voiced = pitch_hz > 0
        hertz = decoder.pitch_hz(log_pitch)
        wav, _ = decoder.sound(torch.where(voiced, pitch_hz, hertz), voicing, filters, state)
        return wav, source_terms(log_pitch, voicing, pitch_hz)

    def distances(self, made: Tensor, real: Tensor) -> dict[str, Tensor]:
        """The spectral terms."""
        with torch.autocast(made.device.type, enabled=False):
            terms: dict[str, Tensor] = self.distance(made[:, 0], real[:, 0])
        return terms

    def _phones(self, seen: Quantized, phones: Tensor) -> Tensor:
        scores = self.phone_head(seen.semantic).view(-1, len(PHONES))  # (M * 2, phones)
        return F.cross_entropy(scores, phones.flatten())


def split_weights(codec: Mimi) -> None:
    """Weight norm (arXiv 1602.07868) on every convolution of encoder and decoder; folded again on export."""
    for part in (codec.encoder, codec.decoder):
        for layer in part.modules():
            if isinstance(layer, CausalConv | UpsamplingConv):
                nn.utils.parametrizations.weight_norm(layer)


def source_terms(log_pitch: Tensor, voicing: Tensor, pitch_hz: Tensor) -> dict[str, Tensor]:
    """L1 of the log pitch over voiced hops; cross-entropy of voicing."""
    voiced = (pitch_hz > 0).float()
    target = torch.log(pitch_hz.clamp(min=50.0) / 150.0)
    pitch = mean_over_all(((log_pitch - target).abs() * voiced).sum(), voiced.sum())
    return {"pitch": pitch, "voicing": F.binary_cross_entropy_with_logits(voicing, voiced)}


def weigh(terms: dict[str, Tensor], weights: LossWeights) -> Tensor:
    """The sum that is minimised."""
    total = torch.zeros(())
    for name, term in terms.items():
        total = total + getattr(weights, name) * term
    return total
