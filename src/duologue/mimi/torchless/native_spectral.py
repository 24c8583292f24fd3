"""The spectral codec with its networks on the CPU engine's kernels, and its sound (spectral_sound.py) in numpy.

Like NativeMimi: one stream's past is the caller's, pieces of any size give the bits of the whole.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...errors import AudioError, InputError
from ..config import MimiConfig
from .layers import State
from .native_half import Halves, StreamState, WeightKind
from .quantizer import Codes, fingerprint
from .spectral_sound import HopFeatures, HopSound, filter_count
from .tensors import Floats, Tensors

PIECE_FRAMES = 50  # 4 s: spectra of a long clip needn't all be in memory


@dataclass
class SpokenPast:
    """What a stream of sound remembers: the networks' part is moved on in place, the sound's is replaced."""

    network: StreamState
    sound: State


@dataclass
class HeardPast:
    """What a stream of codes remembers."""

    network: StreamState
    samples: Floats


class NativeSpectral:
    """The codec's two directions, each built when it is first used."""

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

        Raises BackendUnavailable if there are no kernels, InputError for a codec whose front end is another.
        """
        if config.spectral is None or config.frontend != "spectral":
            raise InputError(f"This is no {config.frontend} codec's form.", hint="Use NativeMimi.")
        self.config, self._tensors = config, tensors
        self._halves = Halves(config, tensors, (decoder_weights, encoder_weights), (threads, path))
        self._features, self._sound = HopFeatures(config.spectral), HopSound(config.spectral)
        self._said = filter_count(config.spectral)

    def fingerprint(self) -> str:
        """Names the meaning of the codes."""
        return fingerprint(self._tensors.within("quantizer"), self.config.width, self.config.quantizer)

    def encode(self, samples: Floats, num_codebooks: int) -> Codes:
        """A whole clip (N,) to codes (num_codebooks, ceil(N/frame)); the last frame is filled up with silence."""
        if samples.ndim != 1 or not len(samples):
            raise AudioError(f"Sound should be samples (N,), not {samples.shape}.", field="wav")
        frame = self.config.frame_samples
        sound = np.pad(np.asarray(samples, np.float32), (0, -len(samples) % frame))
        state, codes = self.init_encode_state(), []
        for start in range(0, len(sound), PIECE_FRAMES * frame):
            codes.append(self.encode_step(sound[start : start + PIECE_FRAMES * frame], num_codebooks, state)[0])
        return np.concatenate(codes, axis=1)

    def init_encode_state(self) -> HeardPast:
        """Nothing has been heard."""
        return HeardPast(self._halves.new_state(decodes=False), self._features.init_state())

    def encode_step(self, samples: Floats, num_codebooks: int, state: HeardPast) -> tuple[Codes, HeardPast]:
        """The next whole frames of sound (n*frame,) to codes (num_codebooks,n); the state moves on in place."""
        sound = np.ascontiguousarray(samples, np.float32)
        if sound.ndim != 1 or not len(sound) or len(sound) % self.config.frame_samples:
            raise AudioError(f"Sound should be whole frames of {self.config.frame_samples} samples.", field="wav")
        features, state.samples = self._features.step(sound, state.samples)
        return self._halves.encode(features.reshape(1, -1), num_codebooks, [state.network])[0], state

    def decode(self, codes: Codes) -> Floats:
        """A whole clip of codes (K,T) to samples (T*frame,)."""
        state, sound = self.init_decode_state(), []
        for start in range(0, max(codes.shape[-1], 1), PIECE_FRAMES):
            sound.append(self.decode_step(codes[:, start : start + PIECE_FRAMES], state)[0])
        return np.concatenate(sound)

    def init_decode_state(self) -> SpokenPast:
        """Nothing has been spoken."""
        return SpokenPast(self._halves.new_state(decodes=True), self._sound.init_state())

    def decode_step(self, codes: Codes, state: SpokenPast) -> tuple[Floats, SpokenPast]:
        """The next frames of codes (K,n) to sound (n*frame,); the state moves on in place."""
        said = self._halves.decode(np.asarray(codes)[None], [state.network]).reshape(-1, self._said)
        samples, state.sound = self._sound.step(said, state.sound)
        return samples, state

    def fork_state(self, state: SpokenPast) -> SpokenPast:
        """A second stream from the same past."""
        return SpokenPast(state.network.copy(), state.sound)
