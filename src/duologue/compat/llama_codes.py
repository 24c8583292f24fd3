"""The codes that llama.cpp's Mimi command takes: a list in a file, or one of two by name. Knows no model of speech."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ..codes_file import read_codes
from ..errors import InputError
from ..voice import Voice
from ..weights.load import locate

if TYPE_CHECKING:
    from ..engine.assembly import AnyCodec

Codes = npt.NDArray[np.int64]
DUMMY_FRAMES = {"dummy0": 3, "dummy1": 32}


def named_codes(name: str, codec: AnyCodec) -> Codes:
    """Codes (K,T) of a file, or of dummy0 or dummy1. Raises InputError for codes that the codec doesn't have."""
    if name == "dummy0":
        codes = counted_codes(codec.num_codebooks)
    elif name == "dummy1":
        codes = sample_codes(codec)
    else:
        codes = read_codes(name, codec.num_codebooks)
    entries = codec.config.quantizer.entries
    if codes.min() < 0 or codes.max() >= entries:
        hint = f"Is it a list for another codec? This one has {codec.num_codebooks} codebooks."
        raise InputError(f"{name} holds codes to {codes.max()}; this codec knows 0 to {entries - 1}.", hint=hint)
    return codes


def counted_codes(codebooks: int) -> Codes:
    """dummy0: 0, 1, 2, … frame after frame, three frames (K,3). For comparing numbers, not for listening."""
    frames = DUMMY_FRAMES["dummy0"]
    return np.arange(frames * codebooks, dtype=np.int64).reshape(frames, codebooks).T


def sample_codes(codec: AnyCodec) -> Codes:
    """dummy1: 32 frames of speech (K,32), from the first packaged voice's recording, encoded by the codec at hand.

    llama.cpp's command holds a fixed list of codes, which are good for Kyutai's Mimi alone.
    """
    frames = DUMMY_FRAMES["dummy1"]
    recording = Voice.load(locate(None).voices[0]).audio.samples[: frames * codec.frame_samples]
    return np.asarray(codec.encode(recording), np.int64)
