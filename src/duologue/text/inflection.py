"""How English endings and emphasis change a pronunciation: -s, -ed, -ing, stress marks. Knows symbols, no lexicon.

The rules give what misaki 0.9.4 (Apache-2.0) gives, since the embedded voice learned from its phonemes. A
pronunciation is a string of one-character phones; a stress mark ˈ or ˌ stands right before its vowel.
"""

from __future__ import annotations

PRIMARY, SECONDARY = "ˈ", "ˌ"
VOWELS = frozenset("AIOQWYaiuæɑɒɔəɛɜɪʊʌᵻ")
CONSONANTS = frozenset("bdfhjklmnpstvwzðŋɡɹɾʃʒʤʧθ")
DIPHTHONGS = frozenset("AIOQWYʤʧ")  # count double when parts of a compound are weighed
FLAPPING = frozenset("AIOWYiuæɑəɛɪɹʊʌ")  # after these, American t becomes a flap before a vowel

# How strongly a word is to be stressed: the steps between "not at all" and "shout".
NO_STRESS, DEMOTED, WEAKENED, LIGHT, STRONG = -2.0, -1.0, -0.5, 0.5, 2.0


def restress(phones: str, stress: float | None) -> str:
    """Change the emphasis of a pronunciation; None leaves it alone."""
    has_primary, has_secondary = PRIMARY in phones, SECONDARY in phones
    if stress is None:
        return phones
    if stress <= NO_STRESS:
        return phones.replace(PRIMARY, "").replace(SECONDARY, "")
    if stress == DEMOTED or (stress in (0, WEAKENED) and has_primary):
        return phones.replace(SECONDARY, "").replace(PRIMARY, SECONDARY)
    if stress < 0:
        return phones
    if not has_primary and not has_secondary:
        return _mark_first_vowel(phones, SECONDARY if stress <= 1 else PRIMARY)
    if stress >= 1 and not has_primary:
        return phones.replace(SECONDARY, PRIMARY)
    return phones


def _mark_first_vowel(phones: str, mark: str) -> str:
    first = next((i for i, phone in enumerate(phones) if phone in VOWELS), None)
    return phones if first is None else phones[:first] + mark + phones[first:]


def weight(phones: str) -> int:
    """Rough length of a pronunciation, to see which part of a compound is the lighter one."""
    return sum(2 if phone in DIPHTHONGS else 1 for phone in phones)


def add_s(stem: str, british: bool) -> str | None:
    """Plural, third person or possessive: cats, dogs, horses."""
    if not stem:
        return None
    if stem[-1] in "ptkfθ":
        return stem + "s"
    if stem[-1] in "szʃʒʧʤ":
        return stem + ("ɪz" if british else "ᵻz")
    return stem + "z"


def add_ed(stem: str, british: bool) -> str | None:
    """Past: walked, called, wanted."""
    if not stem:
        return None
    if stem[-1] in "pkfθʃsʧ":
        return stem + "t"
    if stem[-1] == "d":
        return stem + ("ɪd" if british else "ᵻd")
    if stem[-1] != "t":
        return stem + "d"
    if british or len(stem) < 2:
        return stem + "ɪd"
    return stem[:-1] + "ɾᵻd" if stem[-2] in FLAPPING else stem + "ᵻd"


def add_ing(stem: str, british: bool) -> str | None:
    """Progressive: walking, waiting. None where the British linking r is not known from the stem."""
    if not stem or (british and stem[-1] in "əː"):
        return None
    if not british and len(stem) > 1 and stem[-1] == "t" and stem[-2] in FLAPPING:
        return stem[:-1] + "ɾɪŋ"
    return stem + "ɪŋ"


def spell(letters: list[str]) -> str:
    """Join the names of an acronym's letters: the last one carries the stress (ˌjuˌɛsˈA for U S A)."""
    weakened = restress("".join(letters), 0)
    head, mark, tail = weakened.rpartition(SECONDARY)
    return head + PRIMARY + tail if mark else weakened
