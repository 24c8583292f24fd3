"""Guess a word's class (a Penn tag) from its neighbours: a small linear classifier. Knows no pronunciations.

Only words whose sound depends on their class are asked about: that, in, read, live, use, record. The weights (hashed
features by classes, one byte each) are learned from spaCy's tags by `recipes/voice/train_word_class.py`.
"""

from __future__ import annotations

import functools
import zlib
from collections.abc import Sequence

import numpy as np

from .lexicon import read_asset

CLASSES = ("NN", "NNP", "VB", "VBD", "VBN", "VBP", "JJ", "RB", "DT", "IN", "RP", "PRP", "TO", "X")
BUCKETS = 1 << 14


def features(words: Sequence[str], i: int) -> list[str]:
    """What the classifier sees of word `i`: itself, two neighbours to each side, endings, pairs."""
    window = ["", "", *(word.lower() for word in words), "", ""]
    before2, before, word, after, after2 = window[i : i + 5]
    return [
        "bias",
        f"w={word}",
        f"w-1={before}",
        f"w-2={before2}",
        f"w+1={after}",
        f"w+2={after2}",
        f"e={word[-3:]}",
        f"e-1={before[-3:]}",
        f"e+1={after[-3:]}",
        f"e+2={after2[-3:]}",
        f"w-1,w={before},{word}",
        f"w,w+1={word},{after}",
        f"w-1,w+1={before},{after}",
        f"w,e-1={word},{before[-2:]}",
        f"w,e+1={word},{after[-2:]}",
        f"capital={words[i][:1].isupper() and i > 0}",
    ]


def buckets(words: Sequence[str], i: int) -> list[int]:
    """Rows of the weight table that belong to word `i`."""
    return [zlib.crc32(feature.encode()) % BUCKETS for feature in features(words, i)]


@functools.cache
def _weights() -> np.ndarray:
    return np.frombuffer(read_asset("word_class.gz"), np.int8).reshape(BUCKETS, len(CLASSES))


def guess_class(words: Sequence[str], i: int) -> str:
    """The likeliest class of word `i` of a sentence; `words` holds words and punctuation marks as written."""
    scores = _weights()[buckets(words, i)].sum(axis=0, dtype=np.int32)
    return CLASSES[int(scores.argmax())]
