"""What rounding does to the codec: codes that come out otherwise, and how far its sound moves. Knows no speech model.

The reference is the same codec as it is stored, computing in float32. Vectors are never rounded, nor convolutions whose
short kernels no block divides: those become half floats (weights/type_policy.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..mimi.torchless.sounding import TorchlessSoundCodec
from ..weights.mimi_arrays import torchless_of_part
from ..weights.model_parts import CodecPart
from ..weights.quantized_types import dequantize, quantize, stored_bytes
from ..weights.stored_array import as_floats, type_of
from ..weights.type_policy import TypePolicy, is_vector
from .codec_metrics import mel_distance, pitch_kept

TYPES = ("F16", "Q8_0", "Q6_K", "Q5_K", "Q4_K", "Q4_0")
Samples = npt.NDArray[np.float32]


def codec_rows(part: CodecPart, recordings: Sequence[Samples]) -> list[dict[str, Any]]:
    """A row for each type: recordings encoded, and the reference's codes decoded, by a codec rounded to it."""
    if not recordings:
        return []
    exact = _codec(part)
    codes = [np.asarray(exact.encode(sound)) for sound in recordings]
    sounds = [exact.decode(each) for each in codes]
    return [_row(part, kind, recordings, codes, sounds) for kind in TYPES]


def _row(
    part: CodecPart,
    kind: str,
    recordings: Sequence[Samples],
    codes: Sequence[npt.NDArray[np.int64]],
    sounds: Sequence[Samples],
) -> dict[str, Any]:
    tensors = list(_rounded(part, kind))
    codec = _codec(CodecPart(part.config, {name: values for name, _, _, values in tensors}))
    changed = [np.asarray(codec.encode(sound)) != before for sound, before in zip(recordings, codes, strict=True)]
    decoded = [codec.decode(each) for each in codes]
    pairs = list(zip(sounds, decoded, strict=True))
    noise = sum(float(np.square(a.astype(np.float64) - b).sum()) for a, b in pairs)
    power = sum(float(np.square(a.astype(np.float64)).sum()) for a, _ in pairs)
    kept = [pitch_kept(before, after) for before, after in pairs]
    matrices = [(chosen, values.size) for _, chosen, vector, values in tensors if not vector]
    other = sum(size for chosen, size in matrices if chosen != kind)
    return {
        "type": kind,
        "megabytes": round(sum(stored_bytes(chosen, values.shape) for _, chosen, _, values in tensors) / 1e6, 2),
        "fallback_percent": round(100 * other / sum(size for _, size in matrices), 1),
        "frames": sum(each.shape[1] for each in codes),
        "first_code_changed_percent": round(100 * float(np.concatenate([each[0] for each in changed]).mean()), 2),
        "codes_changed_percent": round(100 * float(np.concatenate(changed, axis=1).mean()), 2),
        "snr_db": round(10 * float(np.log10(power / max(noise, 1e-30))), 2),
        "mel_distance": round(float(np.mean([mel_distance(a, b) for a, b in pairs])), 4),
        "pitch_kept_percent": round(100 * sum(share * n for share, n in kept) / max(1, sum(n for _, n in kept)), 2),
    }


def _rounded(part: CodecPart, kind: str) -> Iterator[tuple[str, str, bool, npt.NDArray[np.float32]]]:
    """Each tensor: its name, the type that it gets, whether it is a vector, its values after rounding."""
    policy = TypePolicy(codec=kind)
    for name, array in part.arrays.items():
        values, named = as_floats(array), f"codec.{name}"
        chosen = policy.type_for(named, values.shape, type_of(array))
        vector = is_vector(named, values.shape)
        yield name, chosen, vector, values if vector else dequantize(quantize(values, chosen), chosen)


def _codec(part: CodecPart) -> TorchlessSoundCodec:
    return TorchlessSoundCodec(torchless_of_part(part, "float32", 1))
