"""A codec for one partner at a time, without torch: the interface of mimi/sounding.py."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ...errors import InputError
from ..config import MimiConfig
from .codec import TorchlessMimi
from .native import NativeMimi
from .native_spectral import NativeSpectral


class TorchlessSoundCodec:
    """Encodes clips and decodes streams with the first `num_codebooks` codebooks. Threads may share it."""

    def __init__(self, mimi: TorchlessMimi | NativeMimi | NativeSpectral, num_codebooks: int | None = None) -> None:
        available = mimi.config.quantizer.codebooks
        self.num_codebooks = available if num_codebooks is None else num_codebooks
        if not 1 <= self.num_codebooks <= available:
            raise InputError(
                f"The codec has {available} codebooks; the model wants {self.num_codebooks}.",
                hint="Load the codec that the model was trained with.",
                field="num_codebooks",
            )
        self.mimi: Any = mimi  # both have the same methods, with states of their own kind
        self.config: MimiConfig = mimi.config
        self.fingerprint = mimi.fingerprint()
        self.exact_pieces = mimi.exact_pieces

    @property
    def frame_samples(self) -> int:
        """Samples per frame of codes."""
        return self.config.frame_samples

    def encode(self, samples: npt.NDArray[np.float32], num_codebooks: int | None = None) -> npt.NDArray[np.int64]:
        """Samples (N,) as codes (K, ceil(N/frame)); the last frame is filled up with silence."""
        codes: npt.NDArray[np.int64] = self.mimi.encode(samples, num_codebooks or self.num_codebooks)
        return codes

    def decode(self, codes: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """Codes (K,T) of a whole clip as samples (T·frame,)."""
        samples: npt.NDArray[np.float32] = self.mimi.decode(np.asarray(codes, np.int64))
        return samples

    def decoder(self) -> TorchlessSoundDecoder:
        """A new stream of sound."""
        return TorchlessSoundDecoder(self)


class TorchlessSoundDecoder:
    """One stream: frames of codes in, their samples out, remembering what came before."""

    def __init__(self, codec: TorchlessSoundCodec) -> None:
        self._codec = codec
        self._state = codec.mimi.init_decode_state()

    def decode(self, codes: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """The next frames of codes (K,n) as samples (n·frame,)."""
        samples: npt.NDArray[np.float32]
        samples, self._state = self._codec.mimi.decode_step(np.asarray(codes, np.int64), self._state)
        return samples

    def fork(self) -> TorchlessSoundDecoder:
        """A second stream from the same past."""
        twin = TorchlessSoundDecoder.__new__(TorchlessSoundDecoder)
        twin._codec, twin._state = self._codec, self._codec.mimi.fork_state(self._state)
        return twin
