"""A fine-tuned model as a folder that `duologue.load` takes: weights, codec, voices, cards. Trains nothing."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..audio import Audio
from ..configuration import to_dict
from ..csm.model import Csm
from ..engine.assembly import assemble_codec
from ..voice import Voice
from ..weights.csm_files import CsmWeights, write_csm
from ..weights.mimi import save_mimi
from .code_shards import SpokenTurn
from .csm_data import turn_rows
from .csm_recipe import CsmRecipe
from .lora import merged
from .model_card import csm_card
from .start import Start, codec_of_files
from .voice_prompts import prompts

PROMPT_SECONDS = (1.0, 12.0)  # a user's corpus may hold short or long turns only


def write_model(folder: Path, model: Csm, start: Start, recipe: CsmRecipe, corpus: Path, facts: dict[str, Any]) -> None:
    """Write a run's newest weights, adapters merged, and around them everything they need to speak."""
    folder.mkdir(parents=True, exist_ok=True)
    dtype = next(iter(start.weights.tensors.values())).dtype
    temporary = folder / ".csm.safetensors"
    write_csm(CsmWeights(recipe.model, dict(merged(model).state_dict())), temporary, "duologue", dtype)
    temporary.replace(folder / "csm.safetensors")
    if not (folder / "model.json").is_file():
        _write_surroundings(folder, start, recipe, corpus)
    (folder / "MODEL_CARD.md").write_text(csm_card(recipe, facts, start), encoding="utf-8")


def _write_surroundings(folder: Path, start: Start, recipe: CsmRecipe, corpus: Path) -> None:
    """What doesn't change while training: codec, tokenizer, voices; model.json last."""
    if start.files.codec is not None and start.files.codec.is_file():
        shutil.copyfile(start.files.codec, folder / "codec.safetensors")
    else:
        save_mimi(codec_of_files(start.files), folder / "codec.safetensors")
    if start.files.tokenizer is not None:
        shutil.copyfile(start.files.tokenizer, folder / "tokenizer.json")
    (folder / "voices").mkdir(exist_ok=True)
    for path in start.files.voices:
        shutil.copyfile(path, folder / "voices" / path.name)
    fresh = write_voices(folder, recipe, corpus)
    card = start.files.card
    card = replace(card, name=f"{card.name}-tuned", default_voice=fresh[0] if fresh else card.default_voice)
    (folder / "model.json").write_text(json.dumps(to_dict(card), indent=2) + "\n", encoding="utf-8")


def write_voices(folder: Path, recipe: CsmRecipe, corpus: Path) -> list[str]:
    """One voice file per voice of the corpus, its prompt taken from there; returns their names."""
    model = recipe.model
    codec = assemble_codec(folder / "codec.safetensors", model.num_codebooks, "cpu")
    least, most = PROMPT_SECONDS
    found = prompts(corpus, list(recipe.voices), least=least, most=most)
    for name, (turn, samples) in found.items():
        speaker, codes = recipe.voices[name], np.asarray(codec.encode(samples))
        pointers = None
        if model.aligned is not None:
            spoken = SpokenTurn(name, turn["text"], turn["phonemes"], turn["durations"], codes)
            pointers = turn_rows(spoken, speaker, model.aligned.max_advance).pointers
        Voice(
            name, turn["text"], Audio(samples), speaker, turn.get("accent", "american"), codes, pointers,
            codec.fingerprint, turn.get("source", "recording"), turn.get("licence", ""),
        ).save(folder / "voices" / f"{name}.safetensors")  # fmt: skip
    return [name for name in recipe.voices if name in found]
