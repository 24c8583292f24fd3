"""The codec on the CPU engine's kernels: one call per piece and direction, for one stream or several at once.

What it computes is mimi/codec.py's, to float rounding; a piece of any size gives the bits that the whole gives, and a
stream among others the bits that it gives alone. A stream's past is a plain array that the caller keeps: copied, it is
a fork; a call moves it on in place.

Weights are float32, or half as wide: float16 relative to a power of two for each matrix, or bfloat16. Between products
everything stays float32, and so does the choice of codes.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from ...errors import AudioError, InputError, LayoutMismatch
from ...native import binding
from ..config import MimiConfig
from .native_tensors import all_centroids, decoder_tensors, encoder_tensors
from .quantizer import Codes, fingerprint
from .tensors import Floats, Tensors

WeightKind = Literal["float32", "bfloat16", "float16"]
WEIGHT_KINDS: tuple[WeightKind, ...] = ("float32", "bfloat16", "float16")
StreamState = npt.NDArray[np.uint8]
_Rest = tuple[int, str]  # threads, path


class _Half:
    """One direction: packed weights on the C side."""

    def __init__(
        self, config: MimiConfig, tensors: Iterator[Floats], decodes: bool, kind: WeightKind, rest: _Rest
    ) -> None:
        arrays = [np.ascontiguousarray(array, np.float32) for array in tensors]
        places = np.array([binding.address(array) for array in arrays], np.uint64)
        counts = np.array([array.size for array in arrays], np.int64)
        sizes = _c_sizes(config, decodes, kind, rest)
        self._books = [array for array in arrays if array.ndim == 3]  # the C side points into the centroids
        new = binding.library().dl_codec_new
        self.handle = new(ctypes.byref(sizes), binding.address(places), binding.address(counts), len(arrays))
        if not self.handle:
            raise LayoutMismatch(f"The kernels can't run this codec: {binding.library().dl_last_error().decode()}.")
        self.state_bytes = int(binding.library().dl_codec_state_bytes(self.handle))

    def __del__(self) -> None:
        if getattr(self, "handle", None):
            binding.library().dl_codec_free(self.handle)
            self.handle = 0


def _c_sizes(config: MimiConfig, decodes: bool, kind: WeightKind, rest: _Rest) -> binding.CCodec:
    seanet, transformer, quantizer = config.seanet, config.transformer, config.quantizer
    assert seanet is not None
    sizes = binding.CCodec(decodes=decodes, width=config.width, kind=WEIGHT_KINDS.index(kind))
    sizes.threads, sizes.path = rest[0], rest[1].encode()
    for name in ("filters", "kernel", "residual_kernel", "last_kernel", "residual_layers", "dilation_base", "compress"):
        setattr(sizes, name, getattr(seanet, name))
    sizes.ratio_count = len(seanet.ratios)
    sizes.ratios[: len(seanet.ratios)] = seanet.ratios
    for name in ("layers", "heads", "hidden", "context", "rope_base", "norm_eps"):
        setattr(sizes, name, getattr(transformer, name))
    sizes.codebooks, sizes.entries = quantizer.codebooks, quantizer.entries
    sizes.code_width, sizes.semantic = quantizer.width, quantizer.semantic
    return sizes


class NativeMimi:
    """The codec's two directions, each built when it is first used: who only speaks never loads the ear."""

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
        if not binding.library().dl_runs(path.encode()):
            raise InputError(f"This CPU or build has no {path!r} path.", field="path")
        for kind in (decoder_weights, encoder_weights):
            if kind not in WEIGHT_KINDS:
                raise InputError(f"Weights can't be {kind!r}; there are {', '.join(WEIGHT_KINDS)}.", field="weights")
        self.config, self._tensors = config, tensors
        self._kinds = {True: decoder_weights, False: encoder_weights}
        self._rest: _Rest = threads, path
        self._halves: dict[bool, _Half] = {}
        self._centroids: Floats | None = None
        self._lock = threading.Lock()

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
        return self._new_state(decodes=False)

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
        if not 1 <= books <= self.config.quantizer.codebooks:
            raise InputError(f"There are 1 to {self.config.quantizer.codebooks} codebooks.", field="num_codebooks")
        places = self._places(states, len(sound), decodes=False)
        codes = np.empty((len(sound), books, frames), np.int64)
        put = None if latents is None else binding.address(latents)
        arguments = (len(sound), binding.address(sound), frames, books, binding.address(codes), put)
        handle = self._half(decodes=False).handle
        binding.check(binding.library().dl_codec_encode(handle, binding.address(places), *arguments))
        return codes

    # ---- codes -> sound

    def decode(self, codes: Codes) -> Floats:
        """A whole clip of codes (K,T) to samples (T*frame,)."""
        return self.decode_step(codes, self.init_decode_state())[0]

    def init_decode_state(self) -> StreamState:
        """Nothing has been spoken."""
        return self._new_state(decodes=True)

    def decode_step(self, codes: Codes, state: StreamState) -> tuple[Floats, StreamState]:
        """The next frames of codes (K,n) to sound (n*frame,); the state moves on in place."""
        return self.decode_together(np.asarray(codes)[None], [state])[0], state

    def decode_together(self, codes: Codes, states: Sequence[StreamState]) -> Floats:
        """The next frames of several streams: codes (B,K,n) to sound (B, n*frame)."""
        values, size = np.ascontiguousarray(codes, np.int64), self.config.quantizer
        if values.ndim != 3 or not values.size or values.shape[1] > size.codebooks:
            raise InputError(f"Codes should be (1 to {size.codebooks}, frames), not {values.shape[1:]}.", field="codes")
        if values.min() < 0 or values.max() >= size.entries:
            raise InputError(
                f"Codes should be 0 to {size.entries - 1}; found {values.min()} to {values.max()}.",
                hint="End-of-speech and padding marks have no sound: cut them off.",
                field="codes",
            )
        streams, books, frames = values.shape
        places = self._places(states, streams, decodes=True)
        sound = np.empty((streams, frames * self.config.frame_samples), np.float32)
        arguments = (streams, binding.address(values), books, frames, binding.address(sound))
        handle = self._half(decodes=True).handle
        binding.check(binding.library().dl_codec_decode(handle, binding.address(places), *arguments))
        return sound

    # ---- the C side

    def fork_state(self, state: StreamState) -> StreamState:
        """A second stream from the same past."""
        return state.copy()

    def _new_state(self, decodes: bool) -> StreamState:
        return np.zeros(self._half(decodes).state_bytes // 8, np.int64).view(np.uint8)

    def _places(self, states: Sequence[StreamState], streams: int, decodes: bool) -> npt.NDArray[np.uint64]:
        wanted = self._half(decodes).state_bytes
        if len(states) != streams or any(state.nbytes != wanted or not state.flags.writeable for state in states):
            raise InputError("Every stream needs a state of this codec and direction.", field="state")
        return np.array([binding.address(state) for state in states], np.uint64)

    def _half(self, decodes: bool) -> _Half:
        with self._lock:
            if decodes not in self._halves:
                if self._centroids is None:
                    self._centroids = all_centroids(self._tensors, self.config)
                order = decoder_tensors if decodes else encoder_tensors
                tensors = order(self._tensors, self.config, self._centroids)
                self._halves[decodes] = _Half(self.config, tensors, decodes, self._kinds[decodes], self._rest)
            return self._halves[decodes]
