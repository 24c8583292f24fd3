"""The codec on the CPU engine's kernels: one call per piece and direction, for one stream or several at once.

What it computes is mimi/codec.py's, to float rounding; a piece of any size gives the bits that the whole gives, and a
stream among others the bits that it gives alone. A stream's past is a plain array that the caller keeps: copied, it is
a fork; a call moves it on in place.

Weights are float32, or half as wide: float16 relative to a power of two for each matrix, or bfloat16. Between products
everything stays float32, and so does the choice of codes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...errors import AudioError, InputError
from ..config import MimiConfig
from .native_half import WEIGHT_KINDS, Halves, StreamState, WeightKind
from .quantizer import Codes, fingerprint
from .tensors import Floats, Tensors

__all__ = ["WEIGHT_KINDS", "NativeMimi", "StreamState", "WeightKind"]


class NativeMimi:
    """The codec's two directions, each built when it is first used: who only speaks never loads the ear."""

    exact_pieces = True

    def __init__(
        self,
        config: MimiConfig,
        tensors: Tensors,
        *,
        decoder_weights: WeightKind = "float16",
        encoder_weights: WeightKind = "float32",
        threads: int = 1,
        path: str = "auto",
    ) -> None:
        """`threads` share the work of one call; `path` forces an instruction set.

        Raises BackendUnavailable if there are no kernels, InputError for a codec whose front end is not SEANet.
        """
        if config.seanet is None or config.frontend != "seanet":
            raise InputError(f"The {config.frontend} front end has no kernels.", hint="Use TorchlessMimi.")
        self.config, self._tensors = config, tensors
        self._halves = Halves(config, tensors, (decoder_weights, encoder_weights), (threads, path))

    def fingerprint(self) -> str:
        """Names the meaning of the codes."""
        return fingerprint(self._tensors.within("quantizer"), self.config.width, self.config.quantizer)

    # ---- sound -> codes

    def encode(self, samples: Floats, num_codebooks: int) -> Codes:
        """A whole clip (N,) to codes (num_codebooks, ceil(N/frame)); the last frame is filled up with silence."""
        if samples.ndim != 1 or not len(samples):
            raise AudioError(f"Sound should be samples (N,), not {samples.shape}.", field="wav")
        sound = np.pad(np.asarray(samples, np.float32), (0, -len(samples) % self.config.frame_samples))
        return self.encode_step(sound, num_codebooks, self.init_encode_state())[0]

    def init_encode_state(self) -> StreamState:
        """Nothing has been heard."""
        return self._halves.new_state(decodes=False)

    def encode_step(self, samples: Floats, num_codebooks: int, state: StreamState) -> tuple[Codes, StreamState]:
        """The next whole frames of sound (n*frame,) to codes (num_codebooks,n); the state moves on in place."""
        return self.encode_together(np.asarray(samples, np.float32)[None], num_codebooks, [state])[0], state

    def encode_together(self, samples: Floats, num_codebooks: int, states: Sequence[StreamState]) -> Codes:
        """The next frames of several streams: (B, n*frame) to codes (B,num_codebooks,n)."""
        return self._encode(samples, num_codebooks, states, None)

    def latents(self, samples: Floats, state: StreamState) -> Floats:
        """The next whole frames of sound (n*frame,) to what is quantized, (n,D)."""
        out = np.empty((len(samples) // self.config.frame_samples, self.config.width), np.float32)
        self._encode(np.asarray(samples, np.float32)[None], 1, [state], out)
        return out

    def _encode(self, samples: Floats, books: int, states: Sequence[StreamState], latents: Floats | None) -> Codes:
        sound = np.ascontiguousarray(samples, np.float32)
        frames, rest = divmod(sound.shape[-1], self.config.frame_samples)
        if sound.ndim != 2 or rest or not frames:
            raise AudioError(f"Sound should be whole frames of {self.config.frame_samples} samples.", field="wav")
        return self._halves.encode(sound, books, states, latents)

    # ---- codes -> sound

    def decode(self, codes: Codes) -> Floats:
        """A whole clip of codes (K,T) to samples (T*frame,)."""
        return self.decode_step(codes, self.init_decode_state())[0]

    def init_decode_state(self) -> StreamState:
        """Nothing has been spoken."""
        return self._halves.new_state(decodes=True)

    def decode_step(self, codes: Codes, state: StreamState) -> tuple[Floats, StreamState]:
        """The next frames of codes (K,n) to sound (n*frame,); the state moves on in place."""
        return self.decode_together(np.asarray(codes)[None], [state])[0], state

    def decode_together(self, codes: Codes, states: Sequence[StreamState]) -> Floats:
        """The next frames of several streams: codes (B,K,n) to sound (B, n*frame)."""
        return self._halves.decode(codes, states)

    def fork_state(self, state: StreamState) -> StreamState:
        """A second stream from the same past."""
        return state.copy()
