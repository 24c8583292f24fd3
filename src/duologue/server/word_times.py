"""When each word of a speech sounds, and where it stands in the text as it was written. Knows no network and no HTTP.

The times are the model's own: with aligned text it draws, beside each 80 ms frame, which phone is spoken in it, and a
word lasts as long as its phones. Nothing is guessed: a word that can't be told gets no time, and one that can't be
found in the written text ("$5" is spoken as two words) points at what it came from, or at nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..conversation import Reader
from ..speaking import PlacedSentence, Speech
from ..text.normalize import SYMBOLS
from ..timebase import FRAME_SAMPLES, samples_to_seconds

WINDOW = 24  # words that a written word may become, or the other way round
FAR = 120  # the same for an address or digits without end; so far off, two words in a row must agree
SPOKEN_SIGNS = frozenset(sign for sign, said in SYMBOLS.items() if any(letter.isalpha() for letter in said))
Place = tuple[int, int]  # characters of the written text


@dataclass(frozen=True)
class SpokenWord:
    """One word as spoken. Times in seconds of the sound that is sent."""

    word: str
    start: float
    end: float
    place: Place | None

    def begun(self) -> dict[str, Any]:
        """What is known as soon as it begins."""
        told: dict[str, Any] = {"word": self.word, "start": round(self.start, 3)}
        if self.place is not None:
            told |= {"text_start": self.place[0], "text_end": self.place[1]}
        return told

    def whole(self) -> dict[str, Any]:
        """What is known afterwards."""
        return {**self.begun(), "end": round(self.end, 3)}


class WordTimes:
    """The words of one speech, as they begin. Not for two threads at once."""

    def __init__(self, reader: Reader, text: str) -> None:
        """`text` as it was written."""
        self._reader, self._text = reader, text
        self._places: list[list[Place | None]] = []  # by sentence and word
        self._belongs: dict[int, np.ndarray] = {}  # by sentence: the word of each id
        self._told: dict[int, int] = {}  # by sentence: words that were told

    def begun(self, speech: Speech, speed: float) -> list[SpokenWord]:
        """The words that began since the last call."""
        new: list[SpokenWord] = []
        last = max(speech.placed, default=-1)
        for index in (last - 1, last):  # the one before may have gone on since, the others not
            if index in speech.placed:
                words = list(self._words(speech, index, speed))
                new += words[self._told.get(index, 0) :]
                self._told[index] = len(words)
        return new

    def spoken(self, speech: Speech, speed: float) -> list[SpokenWord]:
        """All words, after the end."""
        return [word for index in sorted(speech.placed) for word in self._words(speech, index, speed)]

    def _words(self, speech: Speech, index: int, speed: float) -> Iterator[SpokenWord]:
        """Those words of a sentence whose first phone has been reached."""
        placed = speech.placed[index]
        belongs = self._words_of_ids(index, placed, speech.accent)
        if placed.pointers is None or not len(belongs):
            return
        if not self._places:
            self._places = places([sentence.text.split() for sentence in speech.sentences], self._text)
        units = np.asarray(placed.pointers[: placed.frames])

        def seconds(unit: int) -> float:
            """When the speech comes to this phone, or its end so far."""
            sample = placed.start + int(np.searchsorted(units, unit)) * FRAME_SAMPLES
            return samples_to_seconds(max(placed.seam, sample)) / speed

        for number, word in enumerate(placed.sentence.text.split()):
            own = np.flatnonzero(belongs == number)
            if len(own) and (len(units) and units[-1] >= own[0]):
                yield SpokenWord(word, seconds(own[0]), seconds(own[-1] + 1), self._places[index][number])

    def _words_of_ids(self, index: int, placed: PlacedSentence, accent: str) -> np.ndarray:
        if index not in self._belongs:
            found = self._reader.words_of_ids(placed.sentence.text, accent)
            fits = found is not None and len(found) == len(placed.sentence.ids)
            self._belongs[index] = found if found is not None and fits else np.zeros(0, np.int64)
        return self._belongs[index]


def places(sentences: list[list[str]], text: str) -> list[list[Place | None]]:
    """Where each spoken word stands in the written text: characters from and to.

    Both are walked along together. Where they differ, the next words that agree are looked for, and the spoken words
    up to there all point at the written ones up to there.
    """
    written = [(match.span(), key) for match in re.finditer(r"\S+", text) if (key := _key(match[0]) or _sign(match[0]))]
    keys = [key for _, key in written]
    where = [(s, w) for s, words in enumerate(sentences) for w, word in enumerate(words) if _key(word)]
    spoken = [_key(sentences[s][w]) for s, w in where]
    found: list[list[Place | None]] = [[None] * len(words) for words in sentences]
    i = j = 0
    place: Place | None = None
    while j < len(spoken):
        skip = _next_agreement(keys[i : i + WINDOW], spoken[j : j + WINDOW])
        if skip is None:
            skip = _next_agreement(keys[i : i + FAR], spoken[j : j + FAR], run=2)
        if skip is None:
            if j + WINDOW < len(spoken) or i + WINDOW < len(keys):
                break
            skip = len(keys) - i, len(spoken) - j  # the end: what is left of both
        behind, ahead = skip
        if behind:
            place = written[i][0][0], written[i + behind - 1][0][1]
        for s, w in where[j : j + ahead]:
            found[s][w] = place
        i, j = i + behind, j + ahead
        if i < len(keys) and j < len(spoken):
            place = written[i][0]
            s, w = where[j]
            found[s][w] = place
            i, j = i + 1, j + 1
    return found


def _next_agreement(written: list[str], spoken: list[str], run: int = 1) -> tuple[int, int] | None:
    """How many words to pass in each until so many in a row agree again, as few as possible in all."""
    for total in range(len(written) + len(spoken) - 1):
        for behind in range(max(0, total - len(spoken) + 1), min(total, len(written) - 1) + 1):
            ahead = total - behind
            if written[behind : behind + run] == spoken[ahead : ahead + run]:
                return behind, ahead
    return None


def _key(word: str) -> str:
    return "".join(letter for letter in word.casefold() if letter.isalnum())


def _sign(word: str) -> str:
    """A mark that is spoken as a word and equals none, such as "&"; others are silent."""
    return "".join(letter for letter in word if letter in SPOKEN_SIGNS)
