"""Telephone sound: G.711 µ-law and A-law, 8 kHz, one byte a sample. Knows samples and bytes only.

Source: ITU-T G.711, in the segment form that every telephone system uses.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

RATE_HZ = 8_000
Samples = npt.NDArray[np.float32]
_BIAS, _CLIP = 33, 8_158  # of 14-bit samples
_POSITIVE = 0x80  # the sign bit as it goes over the line, before A-law's toggling
_A_TOGGLE = 0x55


def encode_ulaw(samples: Samples) -> bytes:
    """Samples (N,) float32 in [-1, 1] as N bytes of µ-law."""
    wide = _integers(samples)
    size = np.minimum(np.abs(wide >> 2), _CLIP) + _BIAS << 2
    segment = _segment(size)
    step = (size >> (segment + 3)) & 0x0F
    sign = np.where(wide < 0, 0x80, 0)
    return (~(sign | segment << 4 | step) & 0xFF).astype(np.uint8).tobytes()


def decode_ulaw(data: bytes) -> Samples:
    """N bytes of µ-law as samples (N,) float32."""
    return _ULAW[np.frombuffer(data, np.uint8)]


def encode_alaw(samples: Samples) -> bytes:
    """Samples (N,) float32 in [-1, 1] as N bytes of A-law."""
    wide = _integers(samples)
    size = np.where(wide < 0, ~wide, wide)
    segment = _segment(size)
    step = np.where(segment > 0, size >> (segment + 3), size >> 4) & 0x0F
    sign = np.where(wide < 0, 0, _POSITIVE)
    return ((sign | segment << 4 | step) ^ _A_TOGGLE).astype(np.uint8).tobytes()


def decode_alaw(data: bytes) -> Samples:
    """N bytes of A-law as samples (N,) float32."""
    return _ALAW[np.frombuffer(data, np.uint8)]


def _integers(samples: Samples) -> npt.NDArray[np.int32]:
    return np.clip(np.round(samples * 32_768), -32_768, 32_767).astype(np.int32)


def _segment(size: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """Which power of two, from 256 on, a size reaches: 0 to 7."""
    return np.searchsorted([256, 512, 1_024, 2_048, 4_096, 8_192, 16_384], size, "right").astype(np.int32)


def _ulaw_table() -> Samples:
    code = ~np.arange(256) & 0xFF
    size = (((code & 0x0F) << 3) + 4 * _BIAS << (code >> 4 & 7)) - 4 * _BIAS
    return (np.where(code & 0x80, -size, size) / 32_768).astype(np.float32)


def _alaw_table() -> Samples:
    code = np.arange(256) ^ _A_TOGGLE
    segment, step = code >> 4 & 7, (code & 0x0F) << 4
    size = np.where(segment > 0, step + 0x108 << np.maximum(segment - 1, 0), step + 8)
    return (np.where(code & _POSITIVE, size, -size) / 32_768).astype(np.float32)


_ULAW, _ALAW = _ulaw_table(), _alaw_table()
