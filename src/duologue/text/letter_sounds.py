"""Letters -> phones for words that no lexicon knows: a small network read letter by letter. Knows no context.

At each letter the network sees five letters to either side, the accent and the sounds it gave to the last three
letters, and chooses what this letter adds: nothing, one phone or two. A beam keeps the best few readings.
`recipes/voice/train_letter_sounds.py` learns it from the lexicons and prints its error on held-out words.
"""

from __future__ import annotations

import functools
import importlib.resources
from dataclasses import dataclass

import numpy as np
from safetensors.numpy import load

from .inflection import PRIMARY, STRONG, restress
from .lexicon import Accent

LETTERS = "abcdefghijklmnopqrstuvwxyz'"
REACH = 5  # letters seen to either side
MEMORY = 3  # earlier choices seen
WINDOW = 2 * REACH + 1
BEAM = 4
MAX_LETTERS = 64


@dataclass(frozen=True)
class Network:
    """Weights. chunks: what a letter can sound like, class 0 = nothing; the rest float32 (shapes in `scores`)."""

    chunks: tuple[str, ...]
    letters: np.ndarray  # (WINDOW, 28, H): a letter's contribution at each place of the window; 27 = outside the word
    recall: np.ndarray  # (C + 1, R): embedding of an earlier choice; C = before the word
    from_recall: np.ndarray  # (MEMORY * R, H)
    accent: np.ndarray  # (2, H), with the bias
    middle: np.ndarray  # (H, H)
    middle_bias: np.ndarray  # (H,)
    out: np.ndarray  # (H, C)
    out_bias: np.ndarray  # (C,)

    def scores(self, heard: np.ndarray, earlier: np.ndarray) -> np.ndarray:
        """Log-probabilities (B, C) from the window's contribution (H,) and earlier choices (B, MEMORY)."""
        recalled = self.recall[earlier].reshape(len(earlier), -1)  # (B, MEMORY * R)
        hidden = np.maximum(heard + recalled @ self.from_recall, 0)  # (B, H)
        hidden = np.maximum(hidden @ self.middle + self.middle_bias, 0)
        logits = hidden @ self.out + self.out_bias  # (B, C)
        logits -= logits.max(axis=1, keepdims=True)
        return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


def window_ids(word: str) -> np.ndarray:
    """Letter ids (len(word), WINDOW) around each letter."""
    outside = len(LETTERS)
    ids = [outside] * REACH + [LETTERS.index(letter) for letter in word] + [outside] * REACH
    return np.lib.stride_tricks.sliding_window_view(np.array(ids), WINDOW)


@functools.cache
def load_network() -> Network:
    """The packaged network: 8-bit matrices with a scale per column, and small float16 vectors."""
    stored = load((importlib.resources.files("duologue.text") / "data" / "letter_sounds.safetensors").read_bytes())
    chunks = tuple(stored.pop("chunks").tobytes().decode().split("\n"))
    names = [name for name in stored if not name.endswith(".scale")]
    scales = {name: stored.get(f"{name}.scale", np.ones(1)) for name in names}
    return Network(
        chunks, **{name: stored[name].astype(np.float32) * scales[name].astype(np.float32) for name in names}
    )


@functools.lru_cache(4096)
def sound_out(word: str, accent: Accent) -> str:
    """Phones of a word of the letters a-z and '; other characters are passed over. A vowel always gets the stress."""
    known = "".join(letter for letter in word.lower() if letter in LETTERS)[:MAX_LETTERS].strip("'")
    if not known:
        return ""
    phones = _read(load_network(), known, accent)
    return phones if PRIMARY in phones else restress(phones, STRONG)


def _read(network: Network, word: str, accent: Accent) -> str:
    heard = network.letters[np.arange(WINDOW), window_ids(word)].sum(axis=1) + network.accent[int(accent == "gb")]
    start = len(network.chunks)
    beam: list[tuple[float, tuple[int, ...]]] = [(0.0, (start,) * MEMORY)]
    for contribution in heard:  # (H,)
        scores = network.scores(contribution, np.array([choices[-MEMORY:] for _, choices in beam]))
        candidates = [
            (total + float(row[choice]), (*choices, int(choice)))
            for (total, choices), row in zip(beam, scores, strict=True)
            for choice in np.argsort(-row, kind="stable")[:BEAM]
        ]
        beam = sorted(candidates, key=lambda candidate: -candidate[0])[:BEAM]
    return "".join(network.chunks[choice] for choice in beam[0][1][MEMORY:])
