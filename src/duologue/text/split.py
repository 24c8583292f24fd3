"""A text -> pieces short enough to be spoken in one go: sentences, and clauses of long ones. Knows nothing of sound.

Never splits inside a word, never loses one: the pieces' words, in order, are the text's words. Written here rather than
taken from a library: pysbd, the usual one, is unmaintained, and what comes in is mostly normalised already.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..errors import InputError

MAX_WORDS = 28  # about ten seconds; the embedded voice learned from turns of up to 32 words
ABBREVIATIONS = re.compile(
    "mr|mrs|ms|dr|prof|rev|gen|capt|lt|sgt|col|gov|sen|rep|hon|st|mt|ft|jr|sr|vs|etc|e.g|i.e|approx|dept|inc|ltd|co|"
    "corp|ave|blvd|rd|a.m|p.m"
)
BEFORE_NUMBERS = re.compile("nos?|fig|vol|pp|est|jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec")
MAY_END = ("etc", "jr", "sr", "inc", "ltd", "a.m", "p.m")  # abbreviations that also stand at a sentence's end
END = re.compile(r"(.*?)([.!?…]+)[\"'”’)\]»]*")  # a word that may end a sentence: body, marks, closing quotes
OPENING = "\"'“‘([«"
CLAUSE = re.compile(r".*[,;:—][\"'”’)\]]*|—")  # a word that ends a clause
CONNECTIVES = re.compile(
    "and|but|or|so|because|which|who|when|while|if|that|although|though|then|unless|until|where", re.IGNORECASE
)


def split_sentences(text: str, max_words: int = MAX_WORDS) -> list[str]:
    """Sentences of `text`, none empty, each of at most `max_words` words. White space becomes single spaces."""
    if max_words < 1:
        raise InputError(f"max_words is {max_words}; at least 1 is needed.", field="max_words")
    pieces = []
    for sentence in _sentences(text.split()):
        pieces += [" ".join(part) for part in _clauses(sentence, max_words)]
    return pieces


def _sentences(words: list[str]) -> Iterator[list[str]]:
    start = 0
    for i, word in enumerate(words):
        following = words[i + 1] if i + 1 < len(words) else None
        if following is None or (_ends_sentence(word, following) and _has_letters(words[i + 1 :])):
            yield words[start : i + 1]
            start = i + 1


def _has_letters(words: list[str]) -> bool:
    """A rest of mere marks belongs to the sentence before it."""
    return any(char.isalnum() for word in words for char in word)


def _ends_sentence(word: str, following: str) -> bool:
    match = END.fullmatch(word)
    if match is None:
        return False
    body, marks = match[1].lstrip(OPENING), match[2]
    starts_anew = not following.lstrip(OPENING)[:1].islower()
    if marks != ".":
        quoted = not word.endswith(marks)  # "Really?" she asked.
        return starts_anew or not (quoted or "…" in marks or "." in marks)
    if ABBREVIATIONS.fullmatch(body.lower()):
        return body.lower() in MAY_END and starts_anew
    if BEFORE_NUMBERS.fullmatch(body.lower()) and following[:1].isdecimal():
        return False
    initial = (len(body) == 1 and body.isalpha() and body != "I") or re.fullmatch(r"(?:[A-Za-z]\.)+[A-Za-z]", body)
    return starts_anew and not initial


def _clauses(words: list[str], max_words: int) -> Iterator[list[str]]:
    """Halve a long sentence at its most natural place until every part fits."""
    if len(words) <= max_words:
        yield words
        return
    cut = _best_cut(words)
    yield from _clauses(words[:cut], max_words)
    yield from _clauses(words[cut:], max_words)


def _best_cut(words: list[str]) -> int:
    """Index of the word that should begin the second part: after a clause mark if there is one, near the middle."""
    middle = len(words) / 2
    margin = max(1, len(words) // 6)

    def cost(i: int) -> float:
        natural = CLAUSE.fullmatch(words[i - 1]) is not None or END.fullmatch(words[i - 1]) is not None
        joins = CONNECTIVES.fullmatch(words[i].strip(OPENING)) is not None
        return abs(i - middle) + (0 if natural else 0.3 * len(words) if joins else 0.6 * len(words))

    candidates = range(margin, len(words) - margin + 1)
    return min(candidates, key=cost)
