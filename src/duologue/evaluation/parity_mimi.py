"""Compare Mimi with transformers, moshi and the CPU engine's form holding the same random weights, and with itself in
pieces; write JSON.

    python -m duologue.evaluation.parity_mimi --size real --out benchmarks/results/parity_mimi.json
    python -m duologue.evaluation.parity_mimi --size real --native --out benchmarks/results/parity_mimi_native.json

The sound is recorded human speech and noise, both longer than the 10 s of attention. Where two implementations choose
different codes, the margin between the two choices is computed in float64: a tie-break has one of float size. Decoded
sound is compared relative to its peak, since random weights make it as loud as they like.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import json
import os
import platform
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..audio import to_audio
from ..mimi.codec import Mimi
from ..mimi.config import MIMI, MimiConfig, QuantizerConfig, SeanetConfig, TransformerConfig
from ..mimi.stream import StreamEncoder
from .mimi_figures import largest, latents_of, tie_margins
from .mimi_native import compare_native, measure_half_width
from .mimi_references import MoshiMimi, Reference, TransformersMimi, lively_codec

SPEECH = Path("tests/data/librivox_austen.flac")
AUDIO_TOLERANCE = 1e-5  # of the peak, or of full scale where that is louder
TIE_MARGIN = 1e-5  # of the squared distance: what float32 can't tell apart
SMALL = MimiConfig(
    width=64,
    seanet=SeanetConfig(filters=4),
    transformer=TransformerConfig(layers=2, heads=4, hidden=128),
    quantizer=QuantizerConfig(codebooks=8, entries=64, width=16),
)


def compare(codec: Mimi, reference: Reference, wav: Tensor) -> dict[str, Any]:
    """Figures of one reference on one sound: latents, codes with their tie-breaks, decoded audio."""
    ours, theirs = codec.encode(wav, tail=reference.tail), reference.encode(wav)
    latents = latents_of(codec, wav, reference.tail)
    sound, other = codec.decode(ours), reference.decode(ours)
    margins = tie_margins(codec, latents, ours, theirs)
    return {
        "tail": reference.tail,
        "frames": ours.shape[-1],
        "codes": ours.numel(),
        "codes_different": int((ours != theirs).sum()),
        "tie_breaks": len(margins),
        "largest_tie_margin": max(margins, default=0.0),
        "latents_max_difference": largest(latents - reference.latents(wav)),
        "latents_std": float(latents.std()),
        "audio_max_difference": largest(sound - other),
        "audio_peak": largest(sound),
    }


def compare_pieces(codec: Mimi, wav: Tensor, frames: int) -> dict[str, Any]:
    """Figures of streaming, `frames` at a time, against the whole; the sound is cut to whole frames."""
    step = frames * codec.config.frame_samples
    wav = wav[..., : wav.shape[-1] // codec.config.frame_samples * codec.config.frame_samples]
    whole, latents, state = latents_of(codec, wav, "waveform"), [], codec.init_encode_state(wav.shape[0])
    for piece in wav.split(step, dim=-1):
        with torch.no_grad():
            part, state = codec.latents_step(piece, state=state)
        latents.append(part)
    encoder, codes = StreamEncoder(codec, wav.shape[0]), codec.encode(wav)
    streamed = torch.cat([encoder.push(piece) for piece in wav.split(step, dim=-1)], dim=-1)
    whole_sound, sound, state = codec.decode(codes), [], codec.init_decode_state(wav.shape[0])
    for part in codes.split(frames, dim=-1):
        piece, state = codec.decode_step(part, state)
        sound.append(piece)
    margins = tie_margins(codec, whole, codes, streamed)
    return {
        "frames_per_step": frames,
        "codes_different": int((codes != streamed).sum()),
        "tie_breaks": len(margins),
        "largest_tie_margin": max(margins, default=0.0),
        "latents_max_difference": largest(torch.cat(latents, dim=-1) - whole),
        "audio_max_difference": largest(torch.cat(sound, dim=-1) - whole_sound),
        "audio_peak": largest(whole_sound),
    }


def holds(figures: dict[str, Any]) -> bool:
    """Whether a comparison shows agreement: only tie-breaks among the codes, sound within 1e-5 of its peak."""
    loudest = max(1.0, figures["audio_peak"])
    near = figures["largest_tie_margin"] <= TIE_MARGIN and figures["audio_max_difference"] <= AUDIO_TOLERANCE * loudest
    return near and not figures.get("bits_differ_in_pieces", False)


def read_speech(path: Path = SPEECH) -> Tensor:
    """Recorded speech as (1,1,N) at 24 kHz."""
    return torch.from_numpy(to_audio(path).samples)[None, None]


def make_noise(seconds: float, seed: int = 1) -> Tensor:
    """White noise (1,1,N) at 24 kHz, of an odd length."""
    return 0.1 * torch.randn(1, 1, int(seconds * 24_000) // 2 * 2 + 1, generator=torch.Generator().manual_seed(seed))


def run(size: str, speech: Path, seed: int, native: bool = False) -> dict[str, Any]:
    """All comparisons at one size; with `native` those of the CPU engine's form alone."""
    sounds = {"recorded speech": read_speech(speech), "noise": make_noise(12.0)}
    config = MIMI if size == "real" else SMALL
    codec = lively_codec(config, torch.cat([sound[..., :96_000] for sound in sounds.values()]), seed)
    results: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for build in () if native else (TransformersMimi, MoshiMimi):
            reference: Reference = build(codec, Path(folder) / build.name)
            for name, sound in sounds.items():
                results.append({"against": reference.name, "sound": name, **compare(codec, reference, sound)})
    for frames in () if native else (1, 7, 150):
        results.append({"against": "itself in pieces", **compare_pieces(codec, sounds["recorded speech"], frames)})
    for name, sound in sounds.items():
        results.append({"against": "the CPU engine's form", "sound": name, **compare_native(codec, sound)})
    half = measure_half_width(codec, sounds["recorded speech"])
    parameters = sum(parameter.numel() for parameter in codec.parameters())
    return {
        "size": size,
        "parameters": parameters,
        "seed": seed,
        "results": results,
        "half_width_weights": half,
        "holds": all(map(holds, results)),
    }


def describe_machine() -> dict[str, Any]:
    """Where and with what the figures came about."""
    packages = ("torch", "transformers", "moshi", "numpy", "safetensors")
    return {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs",
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in packages},
    }


def main() -> int:
    """Run, write and print; 0 if everything holds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=("small", "real"), default="small")
    parser.add_argument("--speech", type=Path, default=SPEECH)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--native", action="store_true", help="only the CPU engine's form")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    report = describe_machine() | run(arguments.size, arguments.speech, arguments.seed, arguments.native)
    text = json.dumps(report, indent=2) + "\n"
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(text, encoding="utf-8")
    print(text, end="")
    return 0 if report["holds"] else 1


if __name__ == "__main__":
    raise SystemExit(main())
