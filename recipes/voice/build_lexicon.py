"""Pack misaki's pronunciation lexicons into src/duologue/text/data. Deterministic: the same input gives the same bytes.

    pip download --no-deps misaki==0.9.4 && unzip misaki-0.9.4-py3-none-any.whl 'misaki/data/*'
    python recipes/voice/build_lexicon.py misaki/data src/duologue/text/data

misaki (https://github.com/hexgrad/misaki) is Apache-2.0; data/NOTICE.txt says what was taken and changed. Entries that
the rules of `duologue.text.pronunciation` derive from a shorter entry (walks, walked, walking) are left out.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
from pathlib import Path

from duologue.text.inflection import LIGHT, STRONG, restress
from duologue.text.lexicon import Accent, Entry, Lexicon, pack
from duologue.text.pronunciation import Context, Pronouncer

SHA256 = {
    "us_gold.json": "dc414872a49a28ae6c141463d502fd945f3b2fde040484fdc47d00cc4612686f",
    "us_silver.json": "de8f67be911bb6c659187b4a65fd966b6a30e56350e0f790d763210b053ac475",
    "gb_gold.json": "29e62f4b60261c88f7f3c2c7811ca3825978948090b72d2b27d565b729282f71",
    "gb_silver.json": "48131e2d92ccc41655f4543e87e0f938e71463eb5a54be7f0693bb712ebb6bce",
}
CLASSES = ("NN", "VB", "VBD", "VBN", "VBP", "JJ", "RB", "DT")  # an ending must be right whatever the stem's class is
ACCENTS: tuple[Accent, ...] = ("us", "gb")


class DraftLexicon(Lexicon):
    """The same look-up over a plain dict that still changes."""

    def __init__(self, entries: dict[str, Entry]) -> None:
        self.entries = entries

    def _exact(self, word: str) -> Entry | None:
        return self.entries.get(word)


def read_source(folder: Path, name: str) -> dict:
    """Read one of misaki's files; refuse any other version."""
    blob = (folder / name).read_bytes()
    digest = hashlib.sha256(blob).hexdigest()
    if digest != SHA256[name]:
        raise SystemExit(f"{name} has SHA-256 {digest}, expected {SHA256[name]} (misaki 0.9.4)")
    return json.loads(blob)


def draft(folder: Path, accent: Accent) -> dict[str, Entry]:
    """All entries of an accent; the reviewed file wins."""
    entries = {
        word: Entry({"DEFAULT": phones}, False) for word, phones in read_source(folder, f"{accent}_silver.json").items()
    }
    for word, phones in read_source(folder, f"{accent}_gold.json").items():
        entries[word] = Entry({"DEFAULT": phones} if isinstance(phones, str) else phones, True)
    return entries


def prune(entries: dict[str, Entry], accent: Accent) -> int:
    """Remove what the rules derive, shortest words first so that a stem's fate is settled before its forms'."""
    pronouncer = Pronouncer(DraftLexicon(entries), accent)
    before = len(entries)
    for word in sorted(entries, key=lambda word: (len(word), word)):
        entry = entries[word]
        if len(word) < 4 or word[-1] not in "sdg" or len(entry.forms) > 1 or entry.default is None:
            continue
        stress = None if word == word.lower() else STRONG if word == word.upper() else LIGHT
        wanted = restress(entry.default, stress)
        del entries[word]
        if any(pronouncer.word(word, tag, Context(vowel=False)) != wanted for tag in CLASSES):
            entries[word] = entry
    return before - len(entries)


def write(path: Path, lines: list[str]) -> None:
    blob = "".join(line + "\n" for line in lines).encode()
    path.write_bytes(gzip.compress(blob, 9, mtime=0))
    print(f"{path}: {len(lines)} lines, {path.stat().st_size} bytes")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="misaki's data folder")
    parser.add_argument("target", type=Path, help="text/data")
    arguments = parser.parse_args()
    by_accent = {accent: draft(arguments.source, accent) for accent in ACCENTS}
    for accent, entries in by_accent.items():
        print(f"{accent}: {len(entries)} entries, {prune(entries, accent)} of them derivable")
    words = sorted(set().union(*by_accent.values()), key=str.encode)
    write(arguments.target / "words.gz", words)
    for accent, entries in by_accent.items():
        write(
            arguments.target / f"{accent}.gz",
            [pack(entries[word].forms, entries[word].reviewed) if word in entries else "" for word in words],
        )


if __name__ == "__main__":
    main()
