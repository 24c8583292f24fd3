"""Learn text/data/letter_sounds.safetensors: letters -> phones, from misaki's lexicons.

    python recipes/voice/train_letter_sounds.py misaki/data src/duologue/text/data/letter_sounds.safetensors

Each letter is first aligned with 0, 1 or 2 phones (hard EM), then a small network learns to choose them from left to
right. One word in twenty is held out; the word and phone error rates printed at the end are on those.
"""

from __future__ import annotations

import argparse
import collections
import math
import zlib
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from build_lexicon import ACCENTS, draft
from safetensors.numpy import save_file
from torch import nn

from duologue.text import letter_sounds
from duologue.text.letter_sounds import LETTERS, MEMORY, WINDOW, window_ids
from duologue.text.units import units_of

Word = tuple[str, tuple[str, ...], int]  # letters, units, accent
HIDDEN, RECALL = 224, 16
EPOCHS, BATCH, RATE = 3, 1024, 3e-3
MIN_CHUNK_COUNT = 25


def lexicon_words(folder: Path) -> list[Word]:
    """Every word of plain letters with its default pronunciation, in both accents."""
    words = []
    for number, accent in enumerate(ACCENTS):
        for word, entry in sorted(draft(folder, accent).items()):
            lower = word.lower()
            spelled_out = len(word) > 1 and word.isupper()
            if (
                entry.default
                and not spelled_out
                and all(letter in LETTERS for letter in lower)
                and 2 <= len(word) <= 20
            ):
                words.append((lower, tuple(units_of(entry.default.replace("ɾ", "T").replace("ʔ", "t"))), number))
    return words


def is_held_out(word: str) -> bool:
    return zlib.crc32(word.encode()) % 20 == 0


class Aligner:
    """Hard EM over letter -> chunk of 0..2 units; stress is ignored while aligning."""

    def __init__(self) -> None:
        self.cost: dict[tuple[str, tuple[str, ...]], float] = {}

    def learn(self, words: list[Word], rounds: int = 6) -> None:
        counts: collections.Counter = collections.Counter()
        for letters, units, _ in words:  # start: every chunk near the diagonal
            ratio = len(units) / len(letters)
            for i, letter in enumerate(letters):
                for start in range(max(0, int(i * ratio) - 1), min(len(units), int(i * ratio) + 2) + 1):
                    for size in range(min(3, len(units) - start + 1)):
                        counts[letter, _bare(units[start : start + size])] += 1 if size == 1 else 0.3
        self._set(counts)
        for _ in range(rounds):
            counts = collections.Counter()
            for letters, units, _ in words:
                for letter, chunk in zip(letters, self.align(letters, units) or (), strict=False):
                    counts[letter, _bare(chunk)] += 1
            self._set(counts)

    def _set(self, counts: collections.Counter) -> None:
        totals: collections.Counter = collections.Counter()
        for (letter, _), count in counts.items():
            totals[letter] += count
        self.cost = {key: -math.log(count / totals[key[0]]) for key, count in counts.items()}

    def align(self, letters: str, units: tuple[str, ...]) -> list[tuple[str, ...]] | None:
        """Cheapest split of `units` over `letters`, or None if there is none."""
        bare = _bare(units)
        best: list[dict[int, tuple[float, int]]] = [{0: (0.0, 0)}]
        for letter in letters:
            reached: dict[int, tuple[float, int]] = {}
            for end, (total, _) in best[-1].items():
                for size in range(min(3, len(units) - end + 1)):
                    cost = total + self.cost.get((letter, bare[end : end + size]), 12.0 + 3 * size)
                    if end + size not in reached or cost < reached[end + size][0]:
                        reached[end + size] = (cost, size)
            best.append(reached)
        if len(units) not in best[-1]:
            return None
        sizes, end = [], len(units)
        for reached in reversed(best[1:]):
            sizes.append(reached[end][1])
            end -= sizes[-1]
        edges = np.cumsum([0, *sizes[::-1]])
        return [units[a:b] for a, b in pairwise(edges)]


def _bare(units: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(unit.lstrip("ˈˌ") for unit in units)


class Reader(nn.Module):
    """The network of `duologue.text.letter_sounds`, trainable."""

    def __init__(self, chunks: int) -> None:
        super().__init__()
        self.letters = nn.Parameter(torch.randn(WINDOW, len(LETTERS) + 1, HIDDEN) * 0.1)
        self.recall = nn.Parameter(torch.randn(chunks + 1, RECALL) * 0.3)
        self.from_recall = nn.Parameter(torch.randn(MEMORY * RECALL, HIDDEN) * 0.1)
        self.accent = nn.Parameter(torch.zeros(2, HIDDEN))
        self.middle = nn.Parameter(torch.randn(HIDDEN, HIDDEN) * (2 / HIDDEN) ** 0.5)
        self.middle_bias = nn.Parameter(torch.zeros(HIDDEN))
        self.out = nn.Parameter(torch.randn(HIDDEN, chunks) * 0.05)
        self.out_bias = nn.Parameter(torch.zeros(chunks))

    def forward(self, windows: torch.Tensor, earlier: torch.Tensor, accents: torch.Tensor) -> torch.Tensor:
        hidden = self.accent[accents]  # (B, H)
        for place in range(WINDOW):
            hidden = hidden + nn.functional.embedding(windows[:, place], self.letters[place])
        recalled = nn.functional.embedding(earlier, self.recall).flatten(1)  # (B, MEMORY * R)
        hidden = (hidden + recalled @ self.from_recall).relu()
        return (hidden @ self.middle + self.middle_bias).relu() @ self.out + self.out_bias


def samples(aligned: list[tuple[Word, list[tuple[str, ...]]]], chunk_ids: dict[str, int]) -> tuple[torch.Tensor, ...]:
    """One row per letter: windows (n, WINDOW), earlier choices (n, MEMORY), accents (n,), choice (n,)."""
    windows, earlier, accents, choices = [], [], [], []
    for (letters, _, accent), split in aligned:
        ids = [chunk_ids.get("".join(chunk)) for chunk in split]
        if None in ids:
            continue
        history = [len(chunk_ids)] * MEMORY + ids
        windows.append(window_ids(letters))
        earlier += [history[i : i + MEMORY] for i in range(len(ids))]
        accents += [accent] * len(ids)
        choices += ids
    as_bytes = torch.from_numpy(np.concatenate(windows).astype(np.uint8))
    return (
        as_bytes,
        torch.tensor(earlier, dtype=torch.int16),
        torch.tensor(accents, dtype=torch.uint8),
        torch.tensor(choices),
    )


def train(model: Reader, data: tuple[torch.Tensor, ...]) -> None:
    windows, earlier, accents, choices = data
    steps = EPOCHS * (len(choices) // BATCH)
    optimiser = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps, pct_start=0.1)
    step = 0
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(choices)).split(BATCH)[: len(choices) // BATCH]:
            scores = model(windows[rows].long(), earlier[rows].long(), accents[rows].long())
            loss = nn.functional.cross_entropy(scores, choices[rows])
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            schedule.step()
            step += 1
            if step % 500 == 0:
                print(f"step {step}/{steps}: loss {loss.item():.3f}", flush=True)


def save(model: Reader, chunks: list[str], path: Path) -> None:
    """Matrices as bytes with a scale per last axis, vectors as float16."""
    arrays: dict[str, np.ndarray] = {"chunks": np.frombuffer("\n".join(chunks).encode(), np.uint8)}
    for name, parameter in model.named_parameters():
        values = parameter.detach().numpy()
        if name.endswith("bias") or name == "accent":
            arrays[name] = values.astype(np.float16)
            continue
        scale = (np.abs(values).reshape(-1, values.shape[-1]).max(axis=0) / 127).astype(np.float16)
        scale = np.maximum(scale, np.float16(1e-6))
        arrays[name] = np.clip(np.round(values / scale.astype(np.float32)), -127, 127).astype(np.int8)
        arrays[f"{name}.scale"] = scale
    save_file(arrays, path)
    print(f"{path}: {path.stat().st_size} bytes, {len(chunks)} chunks")


def edit_distance(a: list[str], b: list[str]) -> int:
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        diagonal, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (x != y))
    return row[-1]


def measure(words: list[Word], limit: int = 6000) -> None:
    """Word accuracy with and without stress, and phone error rate, on held-out words; reads the saved file."""
    letter_sounds.load_network.cache_clear()
    for accent, name in enumerate(ACCENTS):
        tested = [word for word in words if word[2] == accent][:: max(1, len(words) // (2 * limit))]
        exact = bare = errors = total = 0
        for letters, units, _ in tested:
            got = units_of(letter_sounds.sound_out(letters, name))
            exact += tuple(got) == units
            plain, wanted = list(_bare(tuple(got))), list(_bare(units))
            bare += plain == wanted
            errors += edit_distance(plain, wanted)
            total += len(wanted)
        n = len(tested)
        print(f"{name}: {n} held-out words: exact {exact / n:.3f}, ignoring stress {bare / n:.3f}, "
              f"phone error rate {errors / total:.3f}")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="misaki's data folder")
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    words = lexicon_words(arguments.source)
    training = [word for word in words if not is_held_out(word[0])]
    aligner = Aligner()
    aligner.learn(training[::15])
    aligned = [(word, split) for word in training if (split := aligner.align(word[0], word[1]))]
    counts = collections.Counter("".join(chunk) for _, split in aligned for chunk in split)
    chunks = ["", *(chunk for chunk, count in counts.most_common() if chunk and count >= MIN_CHUNK_COUNT)]
    print(f"{len(training)} words, {len(aligned)} aligned, {len(chunks)} chunks", flush=True)
    model = Reader(len(chunks))
    train(model, samples(aligned, {chunk: i for i, chunk in enumerate(chunks)}))
    save(model, chunks, arguments.out)
    measure([word for word in words if is_held_out(word[0])])


if __name__ == "__main__":
    main()
