"""The pronunciation lexicon of one accent: word -> phones, read from packed assets. Knows no rules and no context.

`data/words.gz` holds one word a line, sorted by bytes, for both accents; `data/us.gz` and `data/gb.gz` hold the
pronunciation on the same line, or nothing. A leading "~" marks an entry that no one reviewed ("silver"). An entry
with several forms reads `DEFAULT=…  NOUN=…`. The files stay packed bytes: a look-up is a binary search.
`recipes/voice/build_lexicon.py` makes them from misaki 0.9.4 (Apache-2.0, see data/NOTICE.txt).
"""

from __future__ import annotations

import functools
import gzip
import importlib.resources
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

Accent = Literal["us", "gb"]
SILVER_MARK = "~"


@dataclass(frozen=True)
class Entry:
    """One word's pronunciations by form; DEFAULT is always there. A form may be None: then it is spelled out."""

    forms: Mapping[str, str | None]
    reviewed: bool

    @property
    def default(self) -> str | None:
        return self.forms["DEFAULT"]


def pack(forms: Mapping[str, str | None], reviewed: bool) -> str:
    """Write an entry as a line of an asset."""
    if list(forms) == ["DEFAULT"]:
        body = forms["DEFAULT"] or ""
    else:
        body = " ".join(f"{form}={phones or ''}" for form, phones in forms.items())
    return body if reviewed else SILVER_MARK + body


def unpack(line: str) -> Entry:
    """Read an entry from a line of an asset."""
    reviewed = not line.startswith(SILVER_MARK)
    line = line.removeprefix(SILVER_MARK)
    if "=" not in line:
        return Entry({"DEFAULT": line}, reviewed)
    forms = (part.split("=", 1) for part in line.split(" "))
    return Entry({form: phones or None for form, phones in forms}, reviewed)


class Lexicon:
    """Look up words as written; a lower-case word is also found capitalised and the other way round.

    A reviewed entry of either spelling wins over an unreviewed one.
    """

    def __init__(self, words: bytes, phones: bytes) -> None:
        self._words, self._phones = _Lines(words), _Lines(phones)

    def get(self, word: str) -> Entry | None:
        """The entry of `word`, or None."""
        exact = self._exact(word)
        if (exact is not None and exact.reviewed) or len(word) < 2:
            return exact
        lower, capital = word.lower(), word.capitalize()
        other = capital if word == lower else lower if word == capital else word
        grown = self._exact(other) if other != word else None
        return grown if grown is not None and (grown.reviewed or exact is None) else exact

    def _exact(self, word: str) -> Entry | None:
        line = self._words.find(word.encode())
        packed = "" if line is None else self._phones[line].decode()
        return unpack(packed) if packed else None

    def __contains__(self, word: str) -> bool:
        return self.get(word) is not None


class _Lines:
    """Lines of a bytes blob, by number or by binary search, without making an object of each."""

    def __init__(self, blob: bytes) -> None:
        self._blob = blob
        ends = np.flatnonzero(np.frombuffer(blob, np.uint8) == ord("\n"))
        self._starts = np.concatenate(([0], ends + 1))

    def __len__(self) -> int:
        return len(self._starts) - 1

    def __getitem__(self, line: int) -> bytes:
        return self._blob[self._starts[line] : self._starts[line + 1] - 1]

    def find(self, key: bytes) -> int | None:
        low, high = 0, len(self)
        while low < high:
            middle = (low + high) // 2
            if self[middle] < key:
                low = middle + 1
            else:
                high = middle
        return low if low < len(self) and self[low] == key else None


def read_asset(name: str) -> bytes:
    """Unpacked bytes of a file in text/data."""
    return gzip.decompress((importlib.resources.files("duologue.text") / "data" / name).read_bytes())


@functools.cache
def load_lexicon(accent: Accent) -> Lexicon:
    """The packaged lexicon of an accent, read once per process."""
    return Lexicon(read_asset("words.gz"), read_asset(f"{accent}.gz"))
