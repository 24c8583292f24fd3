"""The CPU engine's form of the codec against torch's: figures for parity_mimi.py. Knows no other implementation."""

from __future__ import annotations

import copy
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from ..mimi.codec import Mimi
from ..mimi.torchless.native import NativeMimi, WeightKind
from ..mimi.torchless.quantizer import Codes
from ..mimi.torchless.tensors import Floats, Tensors
from .mimi_figures import largest, latents_of, tie_margins


def compare_native(codec: Mimi, wav: Tensor, path: str = "auto") -> dict[str, Any]:
    """Figures of the CPU engine's form in float32, whole and in pieces of 1 and 3 frames, against this one."""
    mimi, samples, whole = _native(codec, "float32", path), wav[0, 0].numpy(), codec.encode(wav)
    frame = codec.config.frame_samples
    frames, ours = samples[: len(samples) // frame * frame], whole[0].numpy()
    state = mimi.init_encode_state()
    latents = torch.from_numpy(mimi.latents(frames, state)).T[None]
    expected = latents_of(codec, torch.from_numpy(frames)[None, None], "waveform")
    codes, sound = mimi.encode(samples, len(ours)), mimi.decode(ours)
    margins = tie_margins(codec, latents_of(codec, wav, "waveform"), whole, torch.from_numpy(codes)[None])
    other = codec.decode(whole)[0, 0]
    return {
        "path": path,
        "codes": codes.size,
        "codes_different": int((codes != ours).sum()),
        "tie_breaks": len(margins),
        "largest_tie_margin": max(margins, default=0.0),
        "latents_max_difference": largest(latents - expected),
        "audio_max_difference": largest(torch.from_numpy(sound) - other),
        "audio_peak": largest(other),
        "audio_from_float64": _from_float64(codec, whole, {"torch": other, "engine": torch.from_numpy(sound)}),
        "bits_differ_in_pieces": _native_pieces(mimi, ours, sound, frames, codes),
    }


def _from_float64(codec: Mimi, codes: Tensor, sounds: dict[str, Tensor]) -> dict[str, Any]:
    """How far each form's sound (N,) lies from the same codes decoded in float64: what rounding alone explains."""
    exact = copy.deepcopy(codec).double().decode(codes)[0, 0]
    found: dict[str, Any] = {}
    for name, sound in sounds.items():
        noise = sound.double() - exact
        decibels = 10 * float(torch.log10(exact.square().sum() / noise.square().sum()))
        found[name] = {"max_difference": largest(noise), "signal_to_noise_db": round(decibels, 1)}
    return found


def _native_pieces(mimi: NativeMimi, codes: Codes, sound: Floats, samples: Floats, heard: Codes) -> bool:
    """Whether pieces of 1 and 3 frames give anything but the whole's bits."""
    frame, differ = mimi.config.frame_samples, False
    for step in (1, 3):
        speaking, hearing = mimi.init_decode_state(), mimi.init_encode_state()
        for start in range(0, len(samples) // frame, step):
            here = slice(start, min(start + step, len(samples) // frame))
            inside = slice(here.start * frame, here.stop * frame)
            differ |= bool((mimi.decode_step(codes[:, here], speaking)[0] != sound[inside]).any())
            again, _ = mimi.encode_step(samples[inside], len(heard), hearing)
            differ |= bool((again != heard[:, here]).any())
    return differ


def measure_half_width(codec: Mimi, wav: Tensor) -> dict[str, Any]:
    """What 16-bit weights cost: decoded sound against float32's in dB, and codes that come out otherwise."""
    exact, samples = _native(codec, "float32"), wav[0, 0].numpy()
    codes = exact.encode(samples, codec.config.quantizer.codebooks)
    sound = exact.decode(codes).astype(np.float64)
    found: dict[str, Any] = {"codes": codes.size}
    for kind in ("float16", "bfloat16"):
        mimi = _native(codec, cast("WeightKind", kind))
        noise = np.square(mimi.decode(codes) - sound).sum() / np.square(sound).sum()
        other = mimi.encode(samples, len(codes))
        found[kind] = {
            "decoded_signal_to_noise_db": round(-10 * float(np.log10(noise)), 1),
            "codes_different": int((other != codes).sum()),
            "first_codes_different": int((other[0] != codes[0]).sum()),
        }
    return found


def _native(codec: Mimi, kind: WeightKind, path: str = "auto") -> NativeMimi:
    tensors = Tensors({name: tensor.numpy() for name, tensor in codec.state_dict().items()})
    return NativeMimi(codec.config, tensors, decoder_weights=kind, encoder_weights=kind, path=path)
