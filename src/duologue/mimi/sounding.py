"""A Mimi codec for one partner at a time, in numpy terms: samples in, codes out, and back. Knows no files or voices."""

from __future__ import annotations

import copy
import hashlib
import threading

import numpy as np
import numpy.typing as npt
import torch

from ..errors import InputError
from .codec import Mimi
from .config import MimiConfig


class SoundCodec:
    """Encodes clips and decodes streams with the first `num_codebooks` codebooks of a Mimi."""

    def __init__(self, mimi: Mimi, num_codebooks: int | None = None, device: str = "cpu") -> None:
        available = mimi.config.quantizer.codebooks
        self.num_codebooks = available if num_codebooks is None else num_codebooks
        if not 1 <= self.num_codebooks <= available:
            raise InputError(
                f"The codec has {available} codebooks; the model wants {self.num_codebooks}.",
                hint="Load the codec that the model was trained with.",
                field="num_codebooks",
            )
        self.device = torch.device(device)
        self.mimi = mimi.to(self.device).eval().requires_grad_(False)
        self.config: MimiConfig = mimi.config
        self._lock = threading.Lock()  # torch modules are shared by conversations in several threads
        self.fingerprint = _fingerprint(mimi)
        self.exact_pieces = False  # torch rounds larger products otherwise

    @property
    def frame_samples(self) -> int:
        """Samples per frame of codes."""
        return self.config.frame_samples

    def encode(self, samples: npt.NDArray[np.float32], num_codebooks: int | None = None) -> npt.NDArray[np.int64]:
        """Samples (N,) as codes (K, ceil(N/frame)); the last frame is filled up with silence."""
        wav = torch.from_numpy(np.ascontiguousarray(samples, np.float32)).to(self.device)[None, None]
        with self._lock:
            codes: npt.NDArray[np.int64] = self.mimi.encode(wav, num_codebooks or self.num_codebooks)[0].cpu().numpy()
        return codes

    def decode(self, codes: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """Codes (K,T) of a whole clip as samples (T·frame,)."""
        with self._lock:
            wav = self.mimi.decode(torch.from_numpy(np.ascontiguousarray(codes, np.int64)).to(self.device)[None])
        samples: npt.NDArray[np.float32] = wav[0, 0].cpu().numpy()
        return samples

    def decoder(self) -> SoundDecoder:
        """A new stream of sound."""
        return SoundDecoder(self)


class SoundDecoder:
    """One stream: frames of codes in, their samples out, remembering what came before."""

    def __init__(self, codec: SoundCodec) -> None:
        self._codec = codec
        self._state = codec.mimi.init_decode_state(1)

    def decode(self, codes: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """The next frames of codes (K,n) as samples (n·frame,)."""
        codec = self._codec
        with codec._lock:
            tensor = torch.from_numpy(np.ascontiguousarray(codes, np.int64)).to(codec.device)[None]
            wav, self._state = codec.mimi.decode_step(tensor, self._state)
        samples: npt.NDArray[np.float32] = wav[0, 0].cpu().numpy()
        return samples

    def fork(self) -> SoundDecoder:
        """A second stream from the same past."""
        twin = SoundDecoder.__new__(SoundDecoder)
        twin._codec, twin._state = self._codec, copy.deepcopy(self._state)
        return twin


def _fingerprint(mimi: Mimi) -> str:
    """Names the meaning of the codes: a hash of the quantizer's tensors."""
    digest = hashlib.blake2b(digest_size=8)
    for name, tensor in sorted(mimi.quantizer.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().float().numpy().tobytes())
    return digest.hexdigest()
