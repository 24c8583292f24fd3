"""Turn sound into codes and codes into sound, whole or piece by piece. Knows no files, voices or language.

    wav (B,1,N) --encoder--> (B,D,2T) --transformer--> --downsample--> latents (B,D,T) --quantizer--> codes (B,K,T)
    codes (B,K,T) --quantizer--> latents --upsample--> (B,D,2T) --transformer--> --decoder--> wav (B,1,frame*T)

Everything is causal: a frame of codes depends on its 80 ms and what came before, and the sound of a frame on its codes
and those before. So pieces of any size give what the whole gives, to float rounding, for clips of any length.

Codes and sound may be long: both are worked through in pieces, so memory does not grow with length beyond the result.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor, nn

from ..nn.conv import CausalConv, State, UpsamplingConv
from ..nn.windowed import WindowedTransformer
from . import seanet
from .checks import Tail, check_codebooks, check_codes, check_lengths, check_tail, check_wav, check_whole_frames
from .config import RESAMPLING, MimiConfig
from .quantizer import SplitQuantizer

PIECE_FRAMES = 250  # long clips are worked through 20 s at a time
NO_CODE = -1  # what `encode` returns in the frames after the end of a shorter row


class Mimi(nn.Module):
    """The codec. Its modules hold weights only; what a stream remembers is in the states that callers keep."""

    def __init__(self, config: MimiConfig) -> None:
        super().__init__()
        self.config = config
        sizes = dataclasses.asdict(config.transformer)
        self.encoder: Any  # (B,1,N) -> (B,D,N/hop), with forward, init_state and step
        self.decoder: Any  # (B,D,S) -> (B,1,S*hop), likewise
        self.encoder, self.decoder = _build_frontend(config)
        self.encoder_transformer = WindowedTransformer(config.width, **sizes)
        self.downsample = CausalConv(
            config.width, config.width, 2 * RESAMPLING, stride=RESAMPLING, bias=False, padding="replicate"
        )
        self.quantizer = SplitQuantizer(config.width, config.quantizer)
        self.upsample = UpsamplingConv(config.width, config.width, RESAMPLING, depthwise=True, bias=False)
        self.decoder_transformer = WindowedTransformer(config.width, **sizes)

    # ---- sound -> codes

    @torch.no_grad()
    def encode(
        self, wav: Tensor, num_codebooks: int | None = None, lengths: Tensor | None = None, tail: Tail = "waveform"
    ) -> Tensor:
        """Turn whole clips of sound (B,1,N) into codes (B,K,ceil(N/frame)), int64.

        `lengths` (B,) are the samples of each row that are sound; a row's codes are then those it would get alone,
        ceil(length/frame) frames of them, and NO_CODE (-1) after that. `num_codebooks` asks for the first K only.
        Raises AudioError for an empty clip or a wrong shape, InputError for a wrong K, length or tail.
        """
        wanted = check_codebooks(num_codebooks, self.config)
        check_wav(wav)
        lengths = check_lengths(lengths, wav.shape[0], wav.shape[-1], "samples")
        check_tail(tail, self.config)
        state, start, codes = self.init_encode_state(wav.shape[0]), 0, []
        for piece in wav.split(PIECE_FRAMES * self.config.frame_samples, dim=-1):
            inside = (lengths.to(wav.device) - start).clamp(0, piece.shape[-1])
            latents, state = self.latents_step(*self._complete(piece, inside, tail), state=state)
            codes.append(self.quantizer.encode(latents, wanted))
            start += piece.shape[-1]
        frames = torch.arange(self.config.frames_covering(start), device=wav.device)
        heard = frames * self.config.frame_samples < lengths.to(wav.device)[:, None]  # (B,T)
        return torch.where(heard[:, None], torch.cat(codes, dim=-1), NO_CODE)

    def init_encode_state(self, batch: int = 1) -> State:
        """The state of `batch` streams of sound of which nothing has been heard."""
        return {
            "encoder": self.encoder.init_state(batch),
            "transformer": self.encoder_transformer.init_state(batch),
            "downsample": self.downsample.init_state(batch),
        }

    @torch.no_grad()
    def encode_step(self, wav: Tensor, state: State, num_codebooks: int | None = None) -> tuple[Tensor, State]:
        """Turn the next whole frames of sound (B,1,n*frame) into codes (B,K,n); returns them and the state after.

        Raises AudioError unless the samples are a positive multiple of a frame; StreamEncoder takes any number.
        """
        wanted = check_codebooks(num_codebooks, self.config)
        check_whole_frames(wav, self.config)
        latents, state = self.latents_step(wav, state=state)
        return self.quantizer.encode(latents, wanted), state

    def latents(self, wav: Tensor) -> Tensor:
        """Sound (B,1,n*frame) -> unquantized latents (B,D,n); differentiable."""
        return self.latents_step(wav, state=self.init_encode_state(wav.shape[0]))[0]

    def latents_step(self, wav: Tensor, lengths: Tensor | None = None, *, state: State) -> tuple[Tensor, State]:
        """The next piece of sound -> latents and the state after; `lengths` end rows by the "layers" rule."""
        wav = wav.to(self.downsample.weight.dtype)
        if lengths is None:
            x, encoder = self.encoder.step(wav, state["encoder"])
        else:
            x, encoder = self.encoder.step(wav, state["encoder"], lengths)
            lengths = -(-lengths // self.config.hop_samples)
        x, transformer = self.encoder_transformer.step(x, state["transformer"])
        x, downsample = self.downsample.step(x, state["downsample"], lengths)
        return x, {"encoder": encoder, "transformer": transformer, "downsample": downsample}

    def _complete(self, piece: Tensor, inside: Tensor, tail: Tail) -> tuple[Tensor, Tensor | None]:
        """Silence after each row's end, up to a whole frame or, by the "layers" rule, none beyond the piece."""
        mask = torch.arange(piece.shape[-1], device=piece.device) < inside[:, None]  # (B,N)
        piece = torch.where(mask[:, None], piece, piece.new_zeros(()))
        if tail == "layers":
            return piece, inside
        return nn.functional.pad(piece, (0, -piece.shape[-1] % self.config.frame_samples)), None

    # ---- codes -> sound

    @torch.no_grad()
    def decode(self, codes: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Turn whole clips of codes (B,K,T), K from 1 up, into sound (B,1,T*frame), float32.

        `lengths` (B,) are the frames of each row that are codes; what follows them is ignored and gives silence.
        The sound can exceed ±1. Raises InputError for a wrong shape or a code outside 0..V-1.
        """
        if lengths is not None and codes.ndim == 3:
            lengths = check_lengths(lengths, codes.shape[0], codes.shape[-1], "frames").to(codes.device)
            spoken = torch.arange(codes.shape[-1], device=codes.device) < lengths[:, None]  # (B,T)
            codes = torch.where(spoken[:, None], codes, 0)
        check_codes(codes, self.config)
        state, sound = self.init_decode_state(codes.shape[0]), []
        for piece in codes.split(PIECE_FRAMES, dim=-1):
            wav, state = self.sound_step(self.quantizer.decode(piece), state)
            sound.append(wav.float())
        whole = torch.cat(sound, dim=-1)
        if lengths is None:
            return whole
        return whole * spoken.repeat_interleave(self.config.frame_samples, dim=-1)[:, None]

    def init_decode_state(self, batch: int = 1) -> State:
        """The state of `batch` streams of codes of which nothing has been spoken."""
        return {
            "upsample": self.upsample.init_state(batch),
            "transformer": self.decoder_transformer.init_state(batch),
            "decoder": self.decoder.init_state(batch),
        }

    @torch.no_grad()
    def decode_step(self, codes: Tensor, state: State) -> tuple[Tensor, State]:
        """Turn the next frames of codes (B,K,n), n from 1 up, into sound (B,1,n*frame) and the state after."""
        check_codes(codes, self.config)
        wav, state = self.sound_step(self.quantizer.decode(codes), state)
        return wav.float(), state

    def sound(self, latents: Tensor) -> Tensor:
        """Latents (B,D,T), quantized or not, -> sound (B,1,T*frame); differentiable."""
        return self.sound_step(latents, self.init_decode_state(latents.shape[0]))[0]

    def sound_step(self, latents: Tensor, state: State) -> tuple[Tensor, State]:
        """The next latents -> sound and the state after."""
        x, upsample = self.upsample.step(latents, state["upsample"])
        x, transformer = self.decoder_transformer.step(x, state["transformer"])
        x, decoder = self.decoder.step(x, state["decoder"])
        return x, {"upsample": upsample, "transformer": transformer, "decoder": decoder}


def _build_frontend(config: MimiConfig) -> tuple[Any, Any]:
    """The pair of modules between sound and latents that the config names."""
    if config.frontend == "spectral":
        from . import spectral

        assert config.spectral is not None
        return (
            spectral.SpectralEncoder(config.spectral, config.width),
            spectral.SpectralDecoder(config.spectral, config.width),
        )
    assert config.seanet is not None
    return seanet.build_encoder(config.width, config.seanet), seanet.build_decoder(config.width, config.seanet)
