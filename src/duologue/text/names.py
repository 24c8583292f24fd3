"""Names that the main lexicons lack (Kevin, Tolkien), read only when such a word comes up. Knows no context.

`data/names.gz` holds American pronunciations from the CMU Pronouncing Dictionary (BSD, see data/NOTICE.txt): sorted
words a line each, a zero byte, then their phones. The British reading is derived by rule.
"""

from __future__ import annotations

import functools
import re

from .lexicon import Accent, Lexicon, read_asset

NO_VOWEL_NEXT = "(?=[^ˈˌAIOWYiuæɑəɛɪʊʌɔɜ]|$)"
TO_BRITISH = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        ("ɑɹ" + NO_VOWEL_NEXT, "ɑː"),
        ("ɔɹ" + NO_VOWEL_NEXT, "ɔː"),
        ("ɜɹ" + NO_VOWEL_NEXT, "ɜː"),
        ("əɹ" + NO_VOWEL_NEXT, "ə"),
        ("ɛɹ" + NO_VOWEL_NEXT, "ɛː"),
        ("([ɪʊ])ɹ" + NO_VOWEL_NEXT, r"\1ə"),
        ("ɑ(?!ː)", "ɒ"),
        ("ɔ(?![ːɹ])", "ɔː"),
        ("ɜ(?!ː)", "ɜː"),
        ("i(?!$)", "iː"),
        ("u", "uː"),
        ("æ", "a"),
        ("O", "Q"),
        ("[Tɾ]", "t"),
    )
)


@functools.cache
def _names() -> Lexicon:
    words, _, phones = read_asset("names.gz").partition(b"\0")
    return Lexicon(words, phones)


def british(phones: str) -> str:
    """An American pronunciation as a British reader would say it: r only before vowels, long vowels, round o."""
    for pattern, replacement in TO_BRITISH:
        phones = pattern.sub(replacement, phones)
    return phones


def name_phones(word: str, accent: Accent) -> str | None:
    """Pronunciation of a name in any case, or None if it isn't listed."""
    entry = _names().get(word.lower())
    if entry is None or entry.default is None:
        return None
    return british(entry.default) if accent == "gb" else entry.default
