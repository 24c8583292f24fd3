"""Names that misaki's lexicons lack, from the CMU Pronouncing Dictionary (BSD), in misaki's symbols. Used by build_lexicon.

ARPAbet gives American phones; the British form is derived by rule. A name that `letter_sounds` reads rightly anyway is
left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from duologue.text.letter_sounds import LETTERS, sound_out
from duologue.text.lexicon import Entry

CMUDICT_SHA256 = "81917843c7f44ce2b094ac63873c2c7a4cf802040792c455ba3ca406891c3d22"
ARPABET = {
    "AA": "ɑ", "AE": "æ", "AH": "ʌ", "AO": "ɔ", "AW": "W", "AY": "I", "B": "b", "CH": "ʧ", "D": "d", "DH": "ð",
    "EH": "ɛ", "ER": "ɜɹ", "EY": "A", "F": "f", "G": "ɡ", "HH": "h", "IH": "ɪ", "IY": "i", "JH": "ʤ", "K": "k",
    "L": "l", "M": "m", "N": "n", "NG": "ŋ", "OW": "O", "OY": "Y", "P": "p", "R": "ɹ", "S": "s", "SH": "ʃ",
    "T": "t", "TH": "θ", "UH": "ʊ", "UW": "u", "V": "v", "W": "w", "Y": "j", "Z": "z", "ZH": "ʒ",
}  # fmt: skip
UNSTRESSED = {"AH": "ə", "ER": "əɹ"}
STRESS = {"1": "ˈ", "2": "ˌ"}
VOWEL = "AIOWYiuæɑəɛɪɹʊʌɔɜ"
BRITISH = (
    (re.compile("ɑɹ(?=[^ˈˌAIOWYiuæɑəɛɪʊʌɔɜ]|$)"), "ɑː"),
    (re.compile("ɔɹ(?=[^ˈˌAIOWYiuæɑəɛɪʊʌɔɜ]|$)"), "ɔː"),
    (re.compile("ɜɹ"), "ɜː"),
    (re.compile("əɹ(?=[^ˈˌAIOWYiuæɑəɛɪʊʌɔɜ]|$)"), "ə"),
    (re.compile("ɛɹ(?=[^ˈˌAIOWYiuæɑəɛɪʊʌɔɜ]|$)"), "ɛː"),
    (re.compile("([ɪʊ])ɹ(?=[^ˈˌAIOWYiuæɑəɛɪʊʌɔɜ]|$)"), r"\1ə"),
    (re.compile("ɑ(?!ː)"), "ɒ"),
    (re.compile("ɔ(?![ːɹ])"), "ɔː"),
    (re.compile("i$"), "i"),
    (re.compile("i(?!$)(?=.)"), "iː"),
    (re.compile("u"), "uː"),
    (re.compile("æ"), "a"),
    (re.compile("O"), "Q"),
    (re.compile("[Tɾ]"), "t"),
)


def american(arpabet: str) -> str:
    """K EH1 V IH0 N -> kˈɛvɪn, with the flap of American t."""
    phones = ""
    for symbol in arpabet.split():
        name, stress = symbol.rstrip("012"), symbol[-1]
        sound = UNSTRESSED.get(name, ARPABET[name]) if stress == "0" else ARPABET[name]
        phones += STRESS.get(stress, "") + sound
    phones = re.sub(rf"(?<=[{VOWEL}])t(?=[iəɪO])", "ɾ", phones)
    return re.sub("əl$", "ᵊl", phones)


def british(phones: str) -> str:
    """An American pronunciation as a British reader would say it: r only before vowels, long vowels, round o."""
    for pattern, replacement in BRITISH:
        phones = pattern.sub(replacement, phones)
    return phones


def missing_names(path: Path, known: Callable[[str], bool]) -> dict[str, str]:
    """Words of the dictionary that `known` denies and that reading by letters gets wrong -> American phones."""
    names: dict[str, str] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        word, _, arpabet = line.partition("#")[0].strip().partition(" ")
        if len(word) < 3 or not all(letter in LETTERS for letter in word) or "'" in word or known(word):
            continue
        phones = american(arpabet)
        if _plain(sound_out(word, "us")) != _plain(phones):
            names[word] = phones
    return names


def _plain(phones: str) -> str:
    return phones.replace("ˌ", "").replace("ɾ", "T").replace("ᵻ", "ɪ").replace("ᵊ", "ə")


def entry(phones: str) -> Entry:
    return Entry({"DEFAULT": phones}, False)
