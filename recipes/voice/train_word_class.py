"""Learn text/data/word_class.gz from tagged text: multinomial regression over hashed features, rounded to bytes.

    python recipes/voice/train_word_class.py tagged.jsonl src/duologue/text/data/word_class.gz

Every tenth line is held out for the accuracy that is printed. Words whose pronunciation depends on their class count
tenfold.
"""

from __future__ import annotations

import argparse
import gzip
import json
from pathlib import Path

import numpy as np
import torch

from duologue.text.lexicon import load_lexicon
from duologue.text.phonemes import depends_on_class
from duologue.text.pronunciation import Pronouncer
from duologue.text.word_class import BUCKETS, CLASSES, buckets

EPOCHS, BATCH, RATE, DECAY, AMBIGUOUS_WEIGHT = 4, 512, 0.02, 2e-6, 10.0


def class_of(tag: str) -> int:
    """Fold a Penn tag onto the classes that matter for pronunciation."""
    tag = {
        "NNS": "NN",
        "NNPS": "NNP",
        "VBZ": "VB",
        "VBG": "VB",
        "JJR": "JJ",
        "JJS": "JJ",
        "RBR": "RB",
        "RBS": "RB",
    }.get(tag, tag)
    return CLASSES.index(tag) if tag in CLASSES else CLASSES.index("X")


def examples(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Feature rows (N, F), classes (N,), weights (N,), held out (N,)."""
    pronouncer = Pronouncer(load_lexicon("us"), "us")
    rows, classes, weights, held_out = [], [], [], []
    for number, line in enumerate(path.open(encoding="utf-8")):
        tokens = json.loads(line)["tokens"]
        words = [token[0] for token in tokens]
        for i, (word, _, tag, _) in enumerate(tokens):
            if word.replace("'", "").isalpha():
                rows.append(buckets(words, i))
                classes.append(class_of(tag))
                weights.append(AMBIGUOUS_WEIGHT if depends_on_class(pronouncer, word) else 1.0)
                held_out.append(number % 10 == 0)
    return np.array(rows), np.array(classes), np.array(weights, np.float32), np.array(held_out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tagged", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    rows, classes, weights, held_out = examples(arguments.tagged)
    table = torch.nn.EmbeddingBag(BUCKETS, len(CLASSES), mode="sum")
    torch.nn.init.zeros_(table.weight)
    optimiser = torch.optim.Adam(table.parameters(), lr=RATE)
    train = np.flatnonzero(~held_out)
    for epoch in range(EPOCHS):
        for group in optimiser.param_groups:
            group["lr"] = RATE * (1 - epoch / EPOCHS)
        for batch in np.array_split(np.random.default_rng(epoch).permutation(train), len(train) // BATCH):
            scores = table(torch.from_numpy(rows[batch]))
            losses = torch.nn.functional.cross_entropy(scores, torch.from_numpy(classes[batch]), reduction="none")
            loss = (losses * torch.from_numpy(weights[batch])).mean() + DECAY * table.weight.square().sum()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    learned = table.weight.detach().numpy()
    packed = np.clip(np.round(learned * (127 / np.abs(learned).max())), -127, 127).astype(np.int8)
    guesses = packed[rows].sum(1, dtype=np.int32).argmax(1)
    right = guesses == classes
    ambiguous = weights > 1
    print(f"held out: {right[held_out].mean():.4f} of all, {right[held_out & ambiguous].mean():.4f} of ambiguous words")
    arguments.out.write_bytes(gzip.compress(packed.tobytes(), 9, mtime=0))
    print(f"{arguments.out}: {arguments.out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
