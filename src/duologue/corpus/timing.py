"""When each phone of a recording is said, from the times at which an ASR heard its words.

Words that were heard as written are anchors; what lies between two anchors is shared out by phones, as is each word
among its phones. Good to some 50 to 100 ms, which is about one frame. The result has the form of the teacher's exact
durations: units of 25 ms for the first edge, each character of the phoneme string, and the last edge.
"""

from __future__ import annotations

import difflib
import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..evaluation.asr import HeardWord
from ..timebase import RATE_HZ
from .filters import BLOCK, block_levels, level_of_speech

MARKS = set(" ,.!?;:…—()\"'“”")
QUIET = 10 ** (-30 / 20)  # of the speech: silence at a word's end
_PLAIN = re.compile(r"[^a-z0-9']")


@dataclass
class _Span:
    """A word's place in time (25 ms units, last one excluded) and in the phoneme string."""

    first: int  # character
    last: int
    start: int = -1
    end: int = -1

    @property
    def phones(self) -> int:
        return self.last - self.first


def phone_durations(text: str, phonemes: str, samples: np.ndarray, heard: Sequence[HeardWord]) -> list[int] | None:
    """Durations of `phonemes`, the phones of `text` (words already written out), or None if they can't be paired.

    `samples` (N,) at 24 kHz holds whole units; the durations sum to N / 600.
    """
    total = len(samples) // BLOCK
    words = [word for word in text.split() if any(character.isalnum() for character in word)]
    spans = _spans(phonemes)
    if not words or len(words) != len(spans) or total < sum(span.phones for span in spans):
        return None
    _anchor(words, spans, heard, total)
    _fill(spans, total)
    _give_back_silence(spans, block_levels(samples))
    return _spread(phonemes, spans, total)


def _spans(phonemes: str) -> list[_Span]:
    """Runs of phones between marks; a mark inside a run of characters without spaces belongs to it."""
    found = []
    for match in re.finditer(r"\S+", phonemes):
        first, last = match.span()
        while first < last and phonemes[first] in MARKS:
            first += 1
        while last > first and phonemes[last - 1] in MARKS:
            last -= 1
        if last > first:
            found.append(_Span(first, last))
    return found


def _anchor(words: list[str], spans: list[_Span], heard: Sequence[HeardWord], total: int) -> None:
    ours = [_PLAIN.sub("", word.lower()) for word in words]
    theirs = [_PLAIN.sub("", word.text.lower()) for word in heard]
    for block in difflib.SequenceMatcher(None, ours, theirs, autojunk=False).get_matching_blocks():
        for offset in range(block.size):
            word, span = heard[block.b + offset], spans[block.a + offset]
            span.start = min(total, max(0, round(word.start * RATE_HZ / BLOCK)))
            span.end = min(total, max(span.start, round(word.end * RATE_HZ / BLOCK)))


def _fill(spans: list[_Span], total: int) -> None:
    """Give words without a time their share, by phones, of what lies between their neighbours; none overlaps."""
    index, reached = 0, 0
    while index < len(spans):
        stop = index
        while stop < len(spans) and spans[stop].start < 0:
            stop += 1
        if stop > index:
            until = max(reached, spans[stop].start) if stop < len(spans) else total
            phones = np.cumsum([0, *(span.phones for span in spans[index:stop])])
            edges = reached + np.round(phones / phones[-1] * (until - reached)).astype(int)
            for span, start, end in zip(spans[index:stop], edges[:-1], edges[1:], strict=True):
                span.start, span.end = int(start), int(end)
            reached, index = until, stop
            continue
        span = spans[index]
        span.start = max(span.start, reached)
        span.end = max(span.end, span.start)
        reached, index = span.end, index + 1


def _give_back_silence(spans: list[_Span], levels: np.ndarray) -> None:
    """An ASR counts a pause to the word before it, or after: take it from both ends, half of the word at most."""
    floor = QUIET * level_of_speech(levels)
    for span in spans:
        least = max(span.phones // 2, (span.end - span.start) // 2, 1)
        while span.end - span.start > least and levels[min(span.end, len(levels)) - 1] < floor:
            span.end -= 1
        while span.end - span.start > least and levels[min(span.start, len(levels) - 1)] < floor:
            span.start += 1


def _spread(phonemes: str, spans: list[_Span], total: int) -> list[int]:
    durations = np.zeros(len(phonemes), np.int64)
    for span in spans:
        shares = np.round(np.linspace(span.start, span.end, span.phones + 1)).astype(int)
        durations[span.first : span.last] = np.diff(shares)
    for before, after in itertools.pairwise(spans):
        durations[before.last] += after.start - before.end  # the mark or space behind the word
    tail = total - spans[-1].end
    return [spans[0].start, *durations.tolist(), tail]
