"""Sound to codes and codes to sound in numpy, one stream at a time; mimi/codec.py is its torch twin."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ...errors import AudioError, InputError
from ..config import RESAMPLING, MimiConfig
from . import seanet, spectral
from .layers import Conv, DepthwiseUpsampling, State, Transformer
from .quantizer import Codes, SplitQuantizer
from .tensors import Floats, Tensors

PIECE_FRAMES = 50  # long clips are worked through 4 s at a time: attention within a piece is dense


class TorchlessMimi:
    """The codec's two directions; what a stream remembers is in the states that callers keep."""

    exact_pieces = False  # attention's sums are rounded otherwise in longer pieces

    def __init__(self, config: MimiConfig, tensors: Tensors) -> None:
        """Raises LayoutMismatch if the tensors aren't this config's."""
        self.config = config
        width, transformer = config.width, config.transformer
        self.encoder, self.decoder = _front_end(config, tensors)
        self.encoder_transformer = Transformer(tensors.within("encoder_transformer"), width, transformer)
        self.downsample = Conv(
            tensors.within("downsample"),
            width,
            width,
            2 * RESAMPLING,
            stride=RESAMPLING,
            bias=False,
            replicate=True,
        )
        self.quantizer = SplitQuantizer(tensors.within("quantizer"), width, config.quantizer)
        self.upsample = DepthwiseUpsampling(tensors.within("upsample"), width, RESAMPLING)
        self.decoder_transformer = Transformer(tensors.within("decoder_transformer"), width, transformer)

    def fingerprint(self) -> str:
        """Names the meaning of the codes."""
        return self.quantizer.fingerprint()

    def fork_state(self, state: State) -> State:
        """A second stream from the same past: states are replaced and never written to, so nothing is copied."""
        return state

    def encode(self, samples: npt.NDArray[np.float32], num_codebooks: int) -> Codes:
        """A whole clip (N,) to codes (num_codebooks,ceil(N/frame)); the last frame is filled up with silence."""
        if samples.ndim != 1 or not len(samples):
            raise AudioError(f"Sound should be samples (N,), not {samples.shape}.", field="wav")
        frame = self.config.frame_samples
        sound = np.pad(np.asarray(samples, np.float32), (0, -len(samples) % frame))
        state, codes = self.init_encode_state(), []
        for start in range(0, len(sound), PIECE_FRAMES * frame):
            piece, state = self.encode_step(sound[start : start + PIECE_FRAMES * frame], num_codebooks, state)
            codes.append(piece)
        return np.concatenate(codes, axis=1)

    def init_encode_state(self) -> State:
        """Nothing has been heard."""
        return {
            "encoder": self.encoder.init_state(),
            "transformer": self.encoder_transformer.init_state(),
            "downsample": self.downsample.init_state(),
        }

    def encode_step(self, samples: Floats, num_codebooks: int, state: State) -> tuple[Codes, State]:
        """The next whole frames of sound (n*frame,) to codes (num_codebooks,n)."""
        sound = samples if self.config.frontend == "spectral" else samples[:, None]
        x, encoder = self.encoder.step(sound, state["encoder"])
        x, transformer = self.encoder_transformer.step(x, state["transformer"])
        x, downsample = self.downsample.step(x, state["downsample"])
        after = {"encoder": encoder, "transformer": transformer, "downsample": downsample}
        return self.quantizer.encode(x, num_codebooks), after

    def decode(self, codes: Codes) -> Floats:
        """A whole clip of codes (K,T) to samples (T*frame,)."""
        state, sound = self.init_decode_state(), []
        for start in range(0, max(codes.shape[-1], 1), PIECE_FRAMES):
            piece, state = self.decode_step(codes[:, start : start + PIECE_FRAMES], state)
            sound.append(piece)
        return np.concatenate(sound)

    def init_decode_state(self) -> State:
        """Nothing has been spoken."""
        return {
            "upsample": self.upsample.init_state(),
            "transformer": self.decoder_transformer.init_state(),
            "decoder": self.decoder.init_state(),
        }

    def decode_step(self, codes: Codes, state: State) -> tuple[Floats, State]:
        """The next frames of codes (K,n) to sound (n*frame,). Raises InputError for codes that don't exist."""
        self._check(codes)
        x, upsample = self.upsample.step(self.quantizer.decode(codes), state["upsample"])
        x, transformer = self.decoder_transformer.step(x, state["transformer"])
        wav, decoder = self.decoder.step(x, state["decoder"])
        return wav.reshape(-1), {"upsample": upsample, "transformer": transformer, "decoder": decoder}

    def _check(self, codes: Codes) -> None:
        size = self.config.quantizer
        if codes.ndim != 2 or not codes.size or len(codes) > size.codebooks:
            raise InputError(f"Codes should be (1 to {size.codebooks}, frames), not {codes.shape}.", field="codes")
        if codes.min() < 0 or codes.max() >= size.entries:
            raise InputError(
                f"Codes should be 0 to {size.entries - 1}; found {codes.min()} to {codes.max()}.",
                hint="End-of-speech and padding marks have no sound: cut them off.",
                field="codes",
            )


def _front_end(config: MimiConfig, tensors: Tensors) -> tuple[Any, Any]:
    encoder, decoder = tensors.within("encoder"), tensors.within("decoder")
    if config.frontend == "spectral":
        assert config.spectral is not None
        return (
            spectral.SpectralEncoder(encoder, config.spectral, config.width),
            spectral.SpectralDecoder(decoder, config.spectral, config.width),
        )
    assert config.seanet is not None
    return (
        seanet.build_encoder(encoder, config.width, config.seanet),
        seanet.build_decoder(decoder, config.width, config.seanet),
    )
