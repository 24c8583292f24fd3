"""A whole model of random weights, small enough to speak noise in a blink: the real parts, none of the training."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from duologue.audio import Audio
from duologue.csm.config import AlignedText, CsmConfig, StackConfig
from duologue.mimi.config import MimiConfig, QuantizerConfig, SeanetConfig, TransformerConfig
from duologue.text.units import UNITS
from duologue.voice import Voice

BOOKS, ENTRIES = 4, 32


def tiny_csm_config(*, aligned: bool = True) -> CsmConfig:
    """A CSM like the embedded voice's, or, not `aligned`, like Sesame's."""
    stack = StackConfig(layers=2, width=32, heads=4, kv_heads=2, head_width=8, hidden=48, max_positions=512)
    depth = StackConfig(layers=1, width=16, heads=2, kv_heads=1, head_width=8, hidden=24, max_positions=BOOKS + 1)
    if not aligned:
        return CsmConfig(stack, depth, BOOKS, ENTRIES + 3, len(UNITS), ENTRIES)
    return CsmConfig(
        stack, depth, BOOKS, ENTRIES + 1, len(UNITS), ENTRIES,
        eos="code", eos_code=ENTRIES, positions="parallel", aligned=AlignedText(),
    )  # fmt: skip


def tiny_codec_config() -> MimiConfig:
    return MimiConfig(
        width=16,
        seanet=SeanetConfig(filters=2),
        transformer=TransformerConfig(layers=1, heads=2, hidden=16, context=20),
        quantizer=QuantizerConfig(codebooks=BOOKS, entries=ENTRIES, width=8),
    )


def speech_like(seconds: float = 2.0, seed: int = 0) -> np.ndarray:
    """Noise with a speech-like level and rhythm."""
    rng = np.random.default_rng(seed)
    times = np.arange(int(seconds * 24_000)) / 24_000
    rhythm = 0.2 + 0.8 * np.clip(np.sin(2 * np.pi * 3 * times), 0, 1)
    return (
        0.1 * rhythm * np.sin(2 * np.pi * (140 + 20 * seed) * times) + 0.02 * rng.standard_normal(len(times))
    ).astype(np.float32)


def write_tiny_model(folder: Path, *, aligned: bool = True) -> Path:
    """Write a complete model folder with two voices, "one" (speaker 0) and "two" (speaker 1)."""
    import torch

    from duologue.csm.model import Csm
    from duologue.mimi.codec import Mimi
    from duologue.weights.csm_files import CsmWeights, write_csm
    from duologue.weights.mimi import save_mimi

    torch.manual_seed(7)
    config = tiny_csm_config(aligned=aligned)
    csm, codec = Csm(config), Mimi(tiny_codec_config())
    with torch.no_grad():
        for name, parameter in codec.named_parameters():  # without training, sound would hardly move codes
            if name.startswith(("encoder.", "downsample", "quantizer")):
                parameter.mul_(4.0)
    folder.mkdir(parents=True, exist_ok=True)
    write_csm(CsmWeights(config, csm.state_dict()), folder / "csm.safetensors", "duologue")
    save_mimi(codec, folder / "codec.safetensors")
    (folder / "voices").mkdir(exist_ok=True)
    for number, name in enumerate(("one", "two")):
        voice = Voice.from_audio(
            Audio(speech_like(2.0, number)), "These are the words of the voice.", name=name, speaker=number
        )
        voice.save(folder / "voices" / f"{name}.safetensors")
    card = {"name": "tiny", "text": "phones", "default_voice": "one", "noise": True}
    (folder / "model.json").write_text(json.dumps(card))
    return folder
