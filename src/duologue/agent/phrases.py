"""A language model's text, bit by bit, in pieces worth speaking: an early first clause, then whole sentences."""

from __future__ import annotations

import re

from ..server.sentences import SentenceBuffer

FIRST_CLAUSE = re.compile(r"\s*(?:\S+\s+){2,}?\S+[,;:—]\s")  # three words or more, and a mark that ends a clause


class PhraseBuffer:
    """Bits of text in, phrases out. The first one may be a clause, because somebody is waiting for it."""

    def __init__(self) -> None:
        self._sentences = SentenceBuffer()
        self._opening = ""
        self._begun = False

    def push(self, text: str) -> list[str]:
        """The phrases that are certainly whole."""
        found = self._sentences.push(text)
        if self._begun:
            return found
        self._opening += text
        self._begun = bool(found)
        clause = None if found else FIRST_CLAUSE.match(self._opening)
        if clause is None:
            return found
        self._begun = True
        self._sentences = SentenceBuffer()
        return [clause[0].strip(), *self._sentences.push(self._opening[clause.end() :])]

    def flush(self) -> list[str]:
        """All that is left."""
        self._begun = False
        self._opening = ""
        return self._sentences.flush()
