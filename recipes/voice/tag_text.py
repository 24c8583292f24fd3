"""Tag training text with misaki's word classes and phonemes: the material for train_word_class.py and measurements.

Runs in the corpus environment (`pip install duologue[corpus]`):  python recipes/voice/tag_text.py tagged.jsonl
Each line: {"text", "us", "gb": phonemes, "tokens": [[text, whitespace, tag, US phonemes], …]}.
"""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path
from typing import Any

from duologue.corpus import teacher, texts

CHATS, PHRASES, TEMPLATES = 26_000, 14_000, 1_500


def lines_to_tag() -> list[str]:
    """Chat turns, dictionary phrases and templates, in a fixed order."""
    known = teacher.known_words()
    chat = list(dict.fromkeys(text for dialogue in texts.chat_dialogues(known) for _, text in dialogue))
    random.Random(1).shuffle(chat)
    rng = random.Random(2)
    templates = [texts.template_line(rng) for _ in range(TEMPLATES)]
    return chat[:CHATS] + texts.wordnet_phrases(known)[:PHRASES] + templates


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    out = parser.parse_args().out
    by_accent = teacher.Phonemizer()._by_accent
    us, gb = by_accent["us"], by_accent["gb"]
    tag, parsed = us.nlp, {}
    us.nlp = gb.nlp = parsed.__getitem__  # both accents share one run of the tagger, in batches
    lines = lines_to_tag()
    prepared = [us.preprocess(line)[0] for line in lines]
    with out.open("w", encoding="utf-8") as file:
        for line, text, document in zip(lines, prepared, tag.pipe(prepared, batch_size=128), strict=True):
            parsed.clear()
            parsed[text] = document
            file.write(json.dumps(_record(line, us(line), gb(line)), ensure_ascii=False) + "\n")


def _record(line: str, us: Any, gb: Any) -> dict[str, Any]:
    tokens = [[token.text, token.whitespace, token.tag, token.phonemes] for token in us[1]]
    return {"text": line, "us": us[0], "gb": gb[0], "tokens": tokens}


if __name__ == "__main__":
    main()
