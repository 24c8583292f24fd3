"""A corpus small enough to learn in seconds: every frame's codes follow from its unit, its speaker and its age."""

import json
import random
from pathlib import Path

import numpy as np

from duologue.configuration import to_dict
from duologue.csm.alignment import pointers_from_durations
from duologue.csm.config import AlignedText, CsmConfig, StackConfig
from duologue.text.units import UNITS, unit_durations, unit_ids, units_of
from duologue.timebase import FRAME_SAMPLES
from duologue.training.batches import Phase
from duologue.training.code_shards import write_code_shard
from duologue.training.csm_data import Augmentation
from duologue.training.csm_recipe import CsmRecipe, Optimization

VOICES = {"af_heart": 0, "bm_george": 1}
CODES = 60
MODEL = CsmConfig(
    backbone=StackConfig(2, 48, 2, 2, 24, 96, max_positions=512, rope_base=10_000.0),
    depth=StackConfig(1, 32, 2, 2, 16, 64, max_positions=8, rope_base=10_000.0),
    num_codebooks=3,
    codebook_size=CODES + 2,
    text_vocab=len(UNITS),
    codec_entries=CODES,
    eos="code",
    eos_code=CODES,
    positions="parallel",
    aligned=AlignedText(max_advance=4),
)
WORDS = ["hˈaʊs", "tɹˈi", "bˈɛl", "ɡˈO", "mˈun", "wɪð", "ə", "stˈOn", "fˈɪʃ", "ʃˈIn"]


def toy_recipe(**changes) -> CsmRecipe:
    """A recipe whose steps take some ten milliseconds and whose randomness can be switched off by `changes`."""
    settings = {
        "model": MODEL,
        "voices": VOICES,
        "phases": (Phase(0.3, 40, 1.0), Phase(1.0, 120, 0.4)),
        "augmentation": Augmentation(0.05, 0.1, 0.2, 0.05, 0.2),
        "frames_per_batch": 120,
        "optimization": Optimization(peak_rate=3e-3, warmup_steps=5, dropout=0.1),
        "depth_fraction": 0.5,
        "precision": "float32",
        "validate_every": 1000,
    }
    return CsmRecipe(**{**settings, **changes})


def write_toy_corpus(folder: Path, items: int = 24, codec: str = "toy codec") -> tuple[Path, Path]:
    """Write one shard of listing and codes. Returns (codes folder, corpus folder)."""
    rng = random.Random(5)
    codes, corpus = folder / "codes", folder / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    lines, turns = [], []
    for number in range(items):
        speakers = rng.sample(sorted(VOICES), 2)
        spoken = [_turn(rng, speakers[i % 2]) for i in range(rng.choice([1, 2, 3]))]
        split = "validation" if number % 8 == 0 else "train"
        lines.append({"id": number, "kind": "chat", "split": split, "turns": [listing for listing, _ in spoken]})
        turns += [sound for _, sound in spoken]
    (corpus / "00000.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    write_code_shard(codes / "00000.safetensors", turns, codec=codec, corpus="listing")
    return codes, corpus


def write_recipe(path: Path, recipe: CsmRecipe) -> Path:
    """Write a recipe as the command line reads it."""
    path.write_text(json.dumps(to_dict(recipe)), encoding="utf-8")
    return path


def _turn(rng: random.Random, voice: str) -> tuple[dict, np.ndarray]:
    phonemes = " ".join(rng.choices(WORDS, k=rng.randint(1, 3))) + "."
    durations = [4, *(rng.choice([2, 3, 4, 5]) for _ in phonemes), 4]
    samples = 600 * sum(durations)
    frames = -(-samples // FRAME_SAMPLES)
    units = unit_ids(units_of(phonemes))
    pointers = pointers_from_durations(
        np.array(unit_durations(phonemes, durations)) * 600, frames, FRAME_SAMPLES, max_advance=4
    )[:-1]
    spoken = np.array([*units, 0])[pointers]
    books = np.arange(MODEL.num_codebooks)[:, None]
    codes = (spoken * (7 + books) + 11 * VOICES[voice] + 3 * books) % CODES
    listing = {"voice": voice, "text": phonemes, "phonemes": phonemes, "durations": durations, "samples": samples}
    return listing, codes
