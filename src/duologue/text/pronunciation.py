"""One English word in its context -> phones: special words, lexicon, endings, spelled letters. Knows no sentence.

Gives what misaki 0.9.4 (Apache-2.0) gives for the same word, word class and context.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from .inflection import LIGHT, PRIMARY, SECONDARY, STRONG, add_ed, add_ing, add_s, restress, spell
from .lexicon import Accent, Entry, Lexicon

Ending = Callable[[str, bool], str | None]
CLITICS = {"s": "", "d": "d", "ll": "əl", "ve": "əv", "re": "əɹ", "m": "m"}
DOUBLED = re.compile(r"([bcdgklmnprstvxz])\1ing$|cking$")
DOTTED = re.compile(r"\.*[A-Za-z]{1,2}(?:\.[A-Za-z]{1,2})+\.*")  # U.S.A., e.g., p.m.


@dataclass(frozen=True)
class Context:
    """What follows a word. `vowel`: does speech go on with a vowel (True), a consonant (False), or stop (None)?"""

    vowel: bool | None = None
    to: bool = False  # is the next word "to"?


def parent_class(word_class: str) -> str:
    """The wider class of a Penn tag: VBD -> VERB, NNS -> NOUN, RB -> ADV, JJ -> ADJ, others themselves."""
    for prefix, parent in (("VB", "VERB"), ("NN", "NOUN"), ("RB", "ADV"), ("JJ", "ADJ")):
        if word_class.startswith(prefix):
            return parent
    return word_class


class Pronouncer:
    """Pronounce single words in one accent."""

    def __init__(self, lexicon: Lexicon, accent: Accent) -> None:
        self.lexicon = lexicon
        self.british = accent == "gb"

    def word(self, word: str, word_class: str, context: Context) -> str | None:
        """Phones of `word`, or None if neither lexicon nor rules know it. `word_class` is a Penn tag."""
        stress = None if word == word.lower() else STRONG if word == word.upper() else LIGHT
        special = self._special(word, word_class, stress, context)
        if special is not None:
            return special
        word = self._lowered(word, word_class, stress, context)
        if self._knows(word):
            return self._look_up(word, word_class, stress, context)
        if word.endswith("s'") and self._knows(word[:-2] + "'s"):
            return self._look_up(word[:-2] + "'s", word_class, stress, context)
        if word.endswith("'") and self._knows(word[:-1]):
            return self._look_up(word[:-1], word_class, stress, context)
        return self._inflected(word, word_class, stress, context) or self._contracted(word, word_class, context)

    def _contracted(self, word: str, word_class: str, context: Context) -> str | None:
        """Any word with a clitic: the neighbour's, what'd, somebody'll."""
        host, _, clitic = word.rpartition("'")
        if not host or clitic.lower() not in CLITICS:
            return None
        phones = self.word(host, word_class, context)
        return None if phones is None else self.with_clitic(phones, clitic)

    def with_clitic(self, phones: str, clitic: str) -> str:
        """Append 's, 'd, 'll, 've, 're or 'm."""
        return add_s(phones, self.british) or "" if clitic.lower() == "s" else phones + CLITICS[clitic.lower()]

    def _special(self, word: str, word_class: str, stress: float | None, context: Context) -> str | None:
        """Words whose form depends on what follows or on their class."""
        lower = word.lower()
        plain = word in (lower, lower.capitalize())
        is_noun = word_class.startswith("NN")
        if DOTTED.fullmatch(word):
            return self.spelled(word)
        if lower == "a":
            return "ɐ" if word_class == "DT" else "ˈA"
        if lower == "am":
            if is_noun:
                return self.spelled(word)
            return self._default("am") if context.vowel is None or word != "am" else "ɐm"
        if lower == "an" and word != "aN":
            return self.spelled(word) if word == "AN" and is_noun else "ɐn"
        if word == "I" and word_class == "PRP":
            return SECONDARY + "I"
        if lower == "by" and parent_class(word_class) == "ADV":
            return "bˈI"
        if lower == "to" and (plain or word_class in ("TO", "IN")):
            return self._default("to") if context.vowel is None else "tʊ" if context.vowel else "tə"
        if lower == "in" and (plain or word_class != "NNP"):
            return ("" if context.vowel is not None and word_class == "IN" else PRIMARY) + "ɪn"
        if lower == "the" and (plain or word_class == "DT"):
            return "ði" if context.vowel else "ðə"
        if lower == "used":
            past = word_class in ("VBD", "JJ") and context.to
            return self.lexicon.get("used").forms["VBD" if past else "DEFAULT"]  # type: ignore[union-attr]
        return None

    def _default(self, word: str) -> str | None:
        entry = self.lexicon.get(word)
        return entry.default if entry else None

    def _lowered(self, word: str, word_class: str, stress: float | None, context: Context) -> str:
        """A capitalised word that only its lower-case form is known by is read in lower case."""
        lower = word.lower()
        one_case = word == word.upper() or word[1:] == word[1:].lower()
        if (
            word == lower
            or len(word) < 2
            or not one_case
            or not word.replace("'", "").isalpha()
            or word in self.lexicon
        ):
            return word
        if word == word.upper() and word_class == "NNP" and len(word) <= 7:
            return word
        known = lower in self.lexicon or self._inflected(lower, word_class, stress, context)
        return lower if known else word

    def _knows(self, word: str) -> bool:
        if word in self.lexicon:
            return True
        if not (word.isascii() and word.isalpha()):
            return False
        return len(word) == 1 or word[1:] == word[1:].upper()

    def _look_up(self, word: str, word_class: str, stress: float | None, context: Context) -> str | None:
        entry, is_name = self.lexicon.get(word), False
        if word == word.upper() and (entry is None or not entry.reviewed):
            word, is_name = word.lower(), word_class == "NNP"
            entry = self.lexicon.get(word)
        if entry is not None and is_name and not entry.reviewed:
            entry = None
        phones = self._form(entry, word_class, context) if entry else None
        if phones is None or (is_name and PRIMARY not in phones):
            spelled = self.spelled(word)
            if spelled is not None:
                return spelled
        return None if phones is None else restress(phones, stress)

    def _form(self, entry: Entry, word_class: str, context: Context) -> str | None:
        if context.vowel is None and "None" in entry.forms:
            return entry.forms["None"]
        for form in (word_class, parent_class(word_class)):
            if form in entry.forms:
                return entry.forms[form]
        return entry.default

    def spelled(self, word: str) -> str | None:
        """Name each letter; None if one has no name."""
        letters = [self._default(letter.upper()) for letter in word if letter.isalpha()]
        return spell([letter for letter in letters if letter]) if letters and all(letters) else None

    def _inflected(self, word: str, word_class: str, stress: float | None, context: Context) -> str | None:
        for stem, ending in self._stems(word):
            if ending is add_ing and stress is None:
                stress = LIGHT
            phones = self._look_up(stem, word_class, stress, context)
            inflected = ending(phones, self.british) if phones else None
            if inflected is not None:
                return inflected
        return None

    def _stems(self, word: str) -> Iterator[tuple[str, Ending]]:
        """Yield at most one known stem for each ending that `word` could carry."""
        for ending, candidates in ENDINGS:
            stem = next((candidate for candidate in candidates(word) if self._knows(candidate)), None)
            if stem is not None:
                yield stem, ending


def _s_stems(word: str) -> list[str]:
    if len(word) < 3 or not word.endswith("s"):
        return []
    stems = [] if word.endswith("ss") else [word[:-1]]
    if word.endswith("'s") or (len(word) > 4 and word.endswith("es") and not word.endswith("ies")):
        stems.append(word[:-2])
    if len(word) > 4 and word.endswith("ies"):
        stems.append(word[:-3] + "y")
    return stems


def _ed_stems(word: str) -> list[str]:
    if len(word) < 4 or not word.endswith("d"):
        return []
    stems = [] if word.endswith("dd") else [word[:-1]]
    if len(word) > 4 and word.endswith("ed") and not word.endswith("eed"):
        stems.append(word[:-2])
    return stems


def _ing_stems(word: str) -> list[str]:
    if len(word) < 5 or not word.endswith("ing"):
        return []
    stems = [word[:-3]] if len(word) > 5 else []
    stems.append(word[:-3] + "e")
    if len(word) > 5 and DOUBLED.search(word):
        stems.append(word[:-4])
    return stems


ENDINGS: tuple[tuple[Ending, Callable[[str], list[str]]], ...] = (
    (add_s, _s_stems),
    (add_ed, _ed_stems),
    (add_ing, _ing_stems),
)
