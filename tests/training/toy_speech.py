"""A folder of one corpus shard with sung vowels instead of speech: enough for a codec to start learning."""

import json
from pathlib import Path

import numpy as np
import soundfile

from duologue.mimi.config import MimiConfig, QuantizerConfig, TransformerConfig
from duologue.mimi.spectral_config import SpectralConfig

UNIT = 600
TINY_CODEC = MimiConfig(
    width=16,
    frontend="spectral",
    seanet=None,
    spectral=SpectralConfig(dim=16, encoder_blocks=1, decoder_blocks=1),
    transformer=TransformerConfig(layers=1, heads=2, hidden=32, context=20),
    quantizer=QuantizerConfig(codebooks=3, entries=16, width=8),
)


def write_toy_shards(folder: Path, turns: int = 14) -> Path:
    """Write shard 00000; every seventh item is validation. Returns the folder."""
    rng = np.random.default_rng(3)
    folder.mkdir(parents=True, exist_ok=True)
    lines, sounds, start = [], [], 0
    for number in range(turns):
        phonemes = "".join(rng.choice(list("aiostm"), 10))
        durations = [4, *rng.integers(3, 7, len(phonemes)).tolist(), 4]
        samples = sum(durations) * UNIT
        split = "validation" if number % 7 == 6 else "train"
        turn = {"voice": "toy", "text": "la", "speed": 1.0, "phonemes": phonemes, "durations": durations}
        turn |= {"start": start, "samples": samples}
        lines.append({"id": number, "kind": "line", "split": split, "turns": [turn]})
        sounds.append(_sing(phonemes, durations, rng))
        start += samples
    soundfile.write(folder / "00000.flac", np.concatenate(sounds), 24_000)
    (folder / "00000.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n", encoding="utf-8")
    return folder


def _sing(phonemes: str, durations: list[int], rng: np.random.Generator) -> np.ndarray:
    hertz = rng.uniform(100, 250)
    parts = [np.zeros(durations[0] * UNIT)]
    for symbol, count in zip(phonemes, durations[1:-1], strict=True):
        time = np.arange(count * UNIT) / 24_000
        if symbol in "st":
            parts.append(0.03 * rng.standard_normal(len(time)))
        else:
            colour = 1 + "aiom".index(symbol)
            angle = 2 * np.pi * hertz * time
            parts.append(sum(0.1 / (1 + abs(h - 2 * colour)) * np.sin(h * angle) for h in range(1, 12)))
    return np.concatenate([*parts, np.zeros(durations[-1] * UNIT)])
