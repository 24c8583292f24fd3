"""Text -> phonemes of one accent, word by word in context. Knows no audio and no model; never drops a word.

Gives the phonemes of misaki 0.9.4 (which the embedded voice learned from) but for the words of senses.py, without
spaCy: punctuation passes, words come from lexicon and rules, words that both don't know are read by letters -> sounds.
"""

from __future__ import annotations

import functools
import re

from anyascii import anyascii

from .inflection import CONSONANTS, PRIMARY, VOWELS, WEAKENED, restress, weight
from .letter_sounds import sound_out
from .lexicon import Accent, load_lexicon
from .names import name_phones
from .numbers import amount
from .pronunciation import CLITICS, Context, Pronouncer
from .senses import said_as
from .word_class import guess_class

TOKEN = re.compile(r"[A-Za-z]+(?:\.[A-Za-z]+)+\.?|[A-Za-z']+(?:-+[A-Za-z']+)*|\d+|[^\w\s]|\s+|.", re.DOTALL)
PART = re.compile(r"[A-Z]?[a-z']+|[A-Z]+(?![a-z])|[A-Z]")  # of a word in mixed case: iPhone, McDonald, PDFs
PAUSES = frozenset(";:,.!?—…")
MARKS = PAUSES | frozenset('"“”()')
SAID_AS = {"–": "—", "-": "—", "[": "(", "]": ")", "{": "(", "}": ")"}
# The teacher writes the flap as T and knows no glottal stop; its texts hold no ; : … either.
TEACHERS = str.maketrans({"ɾ": "T", "ʔ": "t", ";": ",", ":": ",", "…": ","})
UNCLEAR = ("NN", "NNP", "VB", "VBD", "VBN", "VBP", "JJ", "RB", "DT", "IN", "RP")  # classes that can change a sound


def depends_on_class(pronouncer: Pronouncer, word: str) -> bool:
    """Can this word's sound depend on its class?"""
    context = Context(vowel=False, to=True)
    return len({pronouncer.word(word, word_class, context) for word_class in UNCLEAR}) > 1


class Phonemizer:
    """Turn English text into a phoneme string of `accent`; `phonemize` is deterministic and never raises."""

    def __init__(self, accent: Accent) -> None:
        self.accent = accent
        self._pronouncer = Pronouncer(load_lexicon(accent), accent)
        self._depends = functools.lru_cache(4096)(functools.partial(depends_on_class, self._pronouncer))

    def phonemize(self, text: str) -> str:
        """Phonemes with single spaces between words and the text's punctuation."""
        tokens = TOKEN.findall(_plain(text))
        words = [token for token in tokens if not token.isspace()]
        spoken: list[str] = []
        context, position = Context(), len(words)
        for token in reversed(tokens):  # a word's form depends on the word that follows
            if token.isspace():
                spoken.append(" ")
                continue
            position -= 1
            phones = self._token(words, position, context)
            spoken.append(phones)
            context = _context_before(token, phones, context)
        return " ".join("".join(reversed(spoken)).translate(TEACHERS).split())

    def _token(self, words: list[str], i: int, context: Context) -> str:
        token = words[i]
        if token[0].isdigit():
            return self.phonemize(amount(token))
        if not token[0].isalpha() and not token[-1].isalpha() and "'" not in token:
            token = SAID_AS.get(token, token)
            return token if token in MARKS else ""
        word = token.strip("'") if token.endswith("'") and not token.endswith("s'") else token
        word_class = self._class(words, i, word)
        word = said_as(words, i) if word == token else word
        phones = self._pronouncer.word(word, word_class, context)
        return phones if phones is not None else self._compound(word, word_class, context)

    def _class(self, words: list[str], i: int, word: str) -> str:
        if word.isupper() and len(word) > 1 and any(other.islower() for other in words if len(other) > 1):
            return "NNP"  # capitals amid small letters: an acronym rather than a shout
        if word == "I":
            return "PRP"
        return guess_class(words, i) if self._depends(word) else "X"

    def _compound(self, word: str, word_class: str, context: Context) -> str:
        """A hyphenated or oddly capitalised word: its parts in one breath, the lighter ones less stressed."""
        parts = [part for piece in re.split("[-.]+", word) for part in PART.findall(piece)]
        if len(parts) <= 1:
            return self._unknown(parts[0]) if parts else ""
        spoken = []
        for part in reversed(parts):
            phones = self._pronouncer.word(part, word_class, context)
            spoken.append(self._unknown(part) if phones is None else phones)
            context = _context_before(part, spoken[-1], context)
        return "".join(_balance(parts, spoken[::-1]))

    def _unknown(self, word: str) -> str:
        """A listed name, or read by letters; a word that has no sound at all is spelled."""
        host, _, clitic = word.rpartition("'")
        if host and clitic.lower() in CLITICS:
            return self._pronouncer.with_clitic(self._unknown(host), clitic)
        named = name_phones(word, self.accent)
        if named is not None:
            return named
        return sound_out(word, self.accent) or self._pronouncer.spelled(word) or ""


def _plain(text: str) -> str:
    """Fold letters to a-z and apostrophes to one kind; marks stay."""
    text = text.replace("’", "'").replace("‘", "'").replace("`", "'")
    return "".join(char if char.isascii() or not char.isalnum() else anyascii(char) for char in text)


def _context_before(token: str, phones: str, after: Context) -> Context:
    vowel = after.vowel
    for phone in phones:
        if phone in PAUSES or phone in VOWELS or phone in CONSONANTS:
            vowel = None if phone in PAUSES else phone in VOWELS
            break
    return Context(vowel, token in ("to", "To", "TO"))


def _balance(parts: list[str], spoken: list[str]) -> list[str]:
    """Weaken the stress of the lighter half of a compound's parts."""
    present = [i for i, phones in enumerate(spoken) if phones]
    if len(present) == 2 and len(parts[present[0]]) == 1:
        weakened = [present[1]]
    elif len(present) < 2 or sum(PRIMARY in spoken[i] for i in present) <= (len(present) + 1) // 2:
        return spoken
    else:
        weakened = sorted(present, key=lambda i: (PRIMARY in spoken[i], weight(spoken[i]), i))[: len(present) // 2]
    return [restress(phones, WEAKENED) if i in weakened else phones for i, phones in enumerate(spoken)]
