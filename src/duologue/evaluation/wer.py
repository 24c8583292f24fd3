"""Word error rate: what an ASR heard against what was to be said. Knows text only.

Both sides go through the same two normalisers: duologue's (numbers, times, money and symbols as words), then
Whisper's English one (contractions, spellings, fillers), so that "10:30" and "ten thirty" are the same words.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import jiwer

from ..errors import InputError
from ..text.normalize import normalize

CLOCK = re.compile(r"(?<![\d$£€.,])(\d{1,2})\.([0-5]\d)(?![\d%])")
MARKS = re.compile(r"[^\w' ]")


@dataclass(frozen=True)
class WordErrors:
    """Counts of one text: reference words, substitutions, deletions, insertions; `differences` as (wanted, heard)."""

    words: int
    substitutions: int
    deletions: int
    insertions: int
    differences: tuple[tuple[str, str], ...] = ()

    @property
    def errors(self) -> int:
        return self.substitutions + self.deletions + self.insertions

    @property
    def rate(self) -> float:
        """Errors per reference word; can exceed 1."""
        return self.errors / self.words if self.words else float(self.errors > 0)

    def __add__(self, other: WordErrors) -> WordErrors:
        return WordErrors(
            self.words + other.words,
            self.substitutions + other.substitutions,
            self.deletions + other.deletions,
            self.insertions + other.insertions,
            self.differences + other.differences,
        )


@functools.cache
def _whisper_normalizer() -> Callable[[str], str]:
    from whisper_normalizer.english import EnglishTextNormalizer

    return EnglishTextNormalizer()  # type: ignore[no-any-return]


def comparable(text: str) -> str:
    """The words of a text as they are compared."""
    timed = CLOCK.sub(r"\1:\2", text)  # Whisper writes 10:30 also as 10.30
    words = MARKS.sub(" ", normalize(timed).replace(".", ""))  # U.S. is US
    return " ".join(_whisper_normalizer()(words).split())


def word_errors(wanted: str, heard: str) -> WordErrors:
    """Align one text with its transcript."""
    reference, hypothesis = comparable(wanted), comparable(heard)
    if not reference:
        extra = len(hypothesis.split())
        return WordErrors(0, 0, 0, extra, ((("", hypothesis),) if extra else ()))
    aligned = jiwer.process_words(reference, hypothesis)
    left, right = reference.split(), hypothesis.split()
    differences = tuple(
        (" ".join(left[part.ref_start_idx : part.ref_end_idx]), " ".join(right[part.hyp_start_idx : part.hyp_end_idx]))
        for part in aligned.alignments[0]
        if part.type != "equal"
    )
    return WordErrors(len(left), aligned.substitutions, aligned.deletions, aligned.insertions, differences)


def character_rate(wanted: str, heard: str) -> float:
    """Edits per character of what was wanted, numbers as words; 1 for words where nothing was heard; can exceed 1."""
    reference, hypothesis = (normalize(comparable(text)) for text in (wanted, heard))
    if not reference:
        return float(bool(hypothesis))
    return float(jiwer.cer(reference, hypothesis)) if hypothesis else 1.0


def share_out(wanted: Sequence[str], heard: str) -> list[str]:
    """Cut what was heard of several texts in a row at the texts' borders; an insertion there goes to the former."""
    references = [comparable(text).split() for text in wanted]
    words = [word for reference in references for word in reference]
    hypothesis = comparable(heard).split()
    shares: list[list[str]] = [[] for _ in references]
    if not words:
        return ["" for _ in references]
    owner = [number for number, reference in enumerate(references) for _ in reference]
    parts = jiwer.process_words(" ".join(words), " ".join(hypothesis)).alignments[0] if hypothesis else ()
    for part in parts:
        for offset, index in enumerate(range(part.hyp_start_idx, part.hyp_end_idx)):
            beside = part.ref_start_idx - 1 if part.type == "insert" else part.ref_start_idx + offset
            shares[owner[max(0, beside)]].append(hypothesis[index])
    return [" ".join(share) for share in shares]


def split_errors(wanted: Sequence[str], heard: str) -> list[WordErrors]:
    """Errors of each of several texts that were heard as one transcript.

    The whole is aligned once and cut at the texts' borders: an insertion there counts for the text before it. The
    counts sum to those of `word_errors(" ".join(wanted), heard)`.
    """
    references = [comparable(text).split() for text in wanted]
    if not all(references):
        raise InputError("A text without words can't be scored.", field="wanted")
    words = [word for reference in references for word in reference]
    hypothesis = comparable(heard).split()
    owner = [number for number, reference in enumerate(references) for _ in reference]
    counts = [[0, 0, 0] for _ in references]
    differences: list[list[tuple[str, str]]] = [[] for _ in references]
    for part in jiwer.process_words(" ".join(words), " ".join(hypothesis)).alignments[0]:
        if part.type == "insert":
            text = owner[max(0, part.ref_start_idx - 1)]
            extra = hypothesis[part.hyp_start_idx : part.hyp_end_idx]
            counts[text][2] += len(extra)
            differences[text].append(("", " ".join(extra)))
        elif part.type != "equal":
            for offset, index in enumerate(range(part.ref_start_idx, part.ref_end_idx)):
                is_deleted = part.type == "delete"
                counts[owner[index]][1 if is_deleted else 0] += 1
                given = "" if is_deleted else hypothesis[part.hyp_start_idx + offset]
                differences[owner[index]].append((words[index], given))
    return [
        WordErrors(len(reference), counts[number][0], counts[number][1], counts[number][2], tuple(differences[number]))
        for number, reference in enumerate(references)
    ]
