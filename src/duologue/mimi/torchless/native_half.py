"""A codec's two directions on the C side, each built when it is first used. Knows arrays, no sound.

On the outer side a frame is `values` float32 numbers: samples with SEANet, numbers of its hops' spectra otherwise.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from ...errors import InputError, LayoutMismatch
from ...native import binding
from ..config import RESAMPLING, MimiConfig
from .native_tensors import all_centroids, decoder_tensors, encoder_tensors
from .quantizer import Codes
from .spectral import HOPS_PER_LATENT
from .spectral_sound import feature_count, filter_count
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
        new, self._free = binding.library().dl_codec_new, binding.library().dl_codec_free  # modules may end before it
        self.handle = new(ctypes.byref(sizes), binding.address(places), binding.address(counts), len(arrays))
        if not self.handle:
            raise LayoutMismatch(f"The kernels can't run this codec: {binding.library().dl_last_error().decode()}.")
        self.state_bytes = int(binding.library().dl_codec_state_bytes(self.handle))

    def __del__(self) -> None:
        if getattr(self, "handle", None):
            self._free(self.handle)
            self.handle = 0


class Halves:
    """Both directions of one codec; who only speaks never loads the ear."""

    def __init__(self, config: MimiConfig, tensors: Tensors, kinds: tuple[WeightKind, WeightKind], rest: _Rest) -> None:
        """`kinds`: of the weights that decode, of those that encode; `rest`: threads, path.

        Raises BackendUnavailable if there are no kernels.
        """
        if not binding.library().dl_runs(rest[1].encode()):
            raise InputError(f"This CPU or build has no {rest[1]!r} path.", field="path")
        for kind in kinds:
            if kind not in WEIGHT_KINDS:
                raise InputError(f"Weights can't be {kind!r}; there are {', '.join(WEIGHT_KINDS)}.", field="weights")
        self.config, self._tensors, self._rest = config, tensors, rest
        self._kinds = {True: kinds[0], False: kinds[1]}
        self._halves: dict[bool, _Half] = {}
        self._centroids: Floats | None = None
        self._lock = threading.Lock()

    def new_state(self, decodes: bool) -> StreamState:
        """A stream's past before its first frame."""
        return np.zeros(self._half(decodes).state_bytes // 8, np.int64).view(np.uint8)

    def decode(self, codes: Codes, states: Sequence[StreamState]) -> Floats:
        """The next frames of several streams: codes (B,K,n) to the outer side's numbers (B, n*values)."""
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
        out = np.empty((streams, frames * frame_values(self.config, decodes=True)), np.float32)
        arguments = (streams, binding.address(values), books, frames, binding.address(out))
        binding.check(binding.library().dl_codec_decode(self._half(True).handle, binding.address(places), *arguments))
        return out

    def encode(self, values: Floats, books: int, states: Sequence[StreamState], latents: Floats | None = None) -> Codes:
        """The outer side's numbers (B, n*values) to codes (B,books,n), and to `latents` (B,n,D) if wanted."""
        if not 1 <= books <= self.config.quantizer.codebooks:
            raise InputError(f"There are 1 to {self.config.quantizer.codebooks} codebooks.", field="num_codebooks")
        given = np.ascontiguousarray(values, np.float32)
        frames = given.shape[1] // frame_values(self.config, decodes=False)
        places = self._places(states, len(given), decodes=False)
        codes = np.empty((len(given), books, frames), np.int64)
        put = None if latents is None else binding.address(latents)
        arguments = (len(given), binding.address(given), frames, books, binding.address(codes), put)
        binding.check(binding.library().dl_codec_encode(self._half(False).handle, binding.address(places), *arguments))
        return codes

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


def frame_values(config: MimiConfig, decodes: bool) -> int:
    """Numbers of one frame on the outer side."""
    if config.frontend == "spectral":
        return RESAMPLING * HOPS_PER_LATENT * _hop_values(config, decodes)
    return config.frame_samples


def _hop_values(config: MimiConfig, decodes: bool) -> int:
    assert config.spectral is not None
    return filter_count(config.spectral) if decodes else feature_count(config.spectral)


def _c_sizes(config: MimiConfig, decodes: bool, kind: WeightKind, rest: _Rest) -> binding.CCodec:
    seanet, transformer, quantizer = config.seanet, config.transformer, config.quantizer
    sizes = binding.CCodec(decodes=decodes, width=config.width, kind=WEIGHT_KINDS.index(kind))
    sizes.threads, sizes.path = rest[0], rest[1].encode()
    if config.frontend == "spectral":
        assert config.spectral is not None
        sizes.spectral_dim, sizes.kernel = config.spectral.dim, config.spectral.kernel
        sizes.blocks = config.spectral.decoder_blocks if decodes else config.spectral.encoder_blocks
        sizes.expansion, sizes.hop_values = config.spectral.expansion, _hop_values(config, decodes)
    else:
        assert seanet is not None
        kernels = ("kernel", "residual_kernel", "last_kernel")
        for name in (*kernels, "filters", "residual_layers", "dilation_base", "compress"):
            setattr(sizes, name, getattr(seanet, name))
        sizes.ratio_count = len(seanet.ratios)
        sizes.ratios[: len(seanet.ratios)] = seanet.ratios
    for name in ("layers", "heads", "hidden", "context", "rope_base", "norm_eps"):
        setattr(sizes, name, getattr(transformer, name))
    sizes.codebooks, sizes.entries = quantizer.codebooks, quantizer.entries
    sizes.code_width, sizes.semantic = quantizer.width, quantizer.semantic
    return sizes
