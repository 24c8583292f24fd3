"""From corpus turns with codes to padded grids a CSM trains on. Knows frames and units, no network and no optimizer.

A turn's text is `<speaker n> unit … unit <end>`; the silence before the speech belongs to <speaker n>, the one after it
to <end>. Letters: B sequences, S rows, K codebooks, T frames.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from ..csm.alignment import pointers_from_durations
from ..csm.config import CsmConfig
from ..csm.frames import INACTIVE, Segment, hide_words, lay_out
from ..csm.loss import Batch, collate
from ..text.tokenizer import LlamaTokenizer
from ..text.units import END, speaker_unit, unit_durations, unit_ids, units_of
from ..timebase import FRAME_SAMPLES
from .batches import Stretch
from .code_shards import SpokenItem, SpokenTurn

TEACHER_UNIT_SAMPLES = 600  # corpus durations count 25 ms
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class TurnRows:
    """One turn as a model reads it: text ids (U,), codes (K,T), the unit of each frame and of the EOS (T+1,)."""

    text: Ints
    codes: Ints
    pointers: Ints | None  # None in a model without aligned text

    @property
    def frames(self) -> int:
        return self.codes.shape[1]


@dataclass(frozen=True)
class Augmentation:
    """What training does to its inputs, never to its targets. Shares lie in 0..1.

    Eight codes together are as good as a frame's name: without noise in them a model of this size learns a few hours
    of speech by heart within minutes, and its held-out loss rises.
    """

    frame_noise: float = 0.1  # input frames whose codes come from another frame of the batch
    code_noise: float = 0.25  # single input codes of codebooks 1..K-1 that come from another frame
    book_drop: float = 0.5  # input frames of which only the first codebooks are seen
    text_drop: float = 0.1  # text ids, and aligned units around the spoken one, that are not seen
    unaligned_context: float = 0.15  # earlier turns without aligned columns, as heard speech has none
    wordless: float = 0.0  # turns whose words are hidden, which is what guidance compares with


QUIET = Augmentation(0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


@dataclass
class TrainingBatch:
    """Padded grids, and the rows a model reads instead of them: the same with noise."""

    batch: Batch
    inputs: torch.Tensor  # (B,S,columns) int64

    @property
    def frames(self) -> int:
        """Frames (EOS included) to learn from."""
        return int(self.batch.trained.sum())

    def to(self, device: torch.device | str) -> TrainingBatch:
        """The same batch on another device."""
        return TrainingBatch(self.batch.to(device), self.inputs.to(device))


def turn_rows(turn: SpokenTurn, speaker: int, max_advance: int) -> TurnRows:
    """Read a turn's units and place its frames on them. Raises InputError for unknown symbols or impossible tempo."""
    units = [speaker_unit(speaker), *units_of(turn.phonemes), END]
    durations = unit_durations(turn.phonemes, turn.durations)
    edge = min(turn.durations[0], durations[0])
    samples = np.array([edge, durations[0] - edge, *durations[1:]], np.int64) * TEACHER_UNIT_SAMPLES
    pointers = pointers_from_durations(samples, turn.codes.shape[1], FRAME_SAMPLES, max_advance)
    return TurnRows(np.array(unit_ids(units), np.int64), turn.codes, pointers)


def plain_rows(turn: SpokenTurn, speaker: int, tokenizer: LlamaTokenizer | None) -> TurnRows:
    """A turn for a model that is not told which unit sounds: Llama's tokens, or phone units without a tokenizer."""
    if tokenizer is not None:
        return TurnRows(tokenizer.tokenize(turn.text, speaker), turn.codes, None)
    units = [speaker_unit(speaker), *units_of(turn.phonemes), END]
    return TurnRows(np.array(unit_ids(units), np.int64), turn.codes, None)


def items_of_split(
    items: Sequence[SpokenItem],
    split: str,
    speakers: Mapping[str, int],
    config: CsmConfig,
    tokenizer: LlamaTokenizer | None = None,
) -> list[list[TurnRows]]:
    """Items of a split as rows, without turns of voices that have no speaker id (an item ends at the first such)."""
    found = []
    for item in items:
        turns: list[TurnRows] = []
        for turn in item.turns if item.split == split else []:
            if turn.voice not in speakers:
                break
            clipped = SpokenTurn(**{**vars(turn), "codes": turn.codes[: config.num_codebooks]})
            speaker = speakers[turn.voice]
            if config.aligned is None:
                turns.append(plain_rows(clipped, speaker, tokenizer))
            else:
                turns.append(turn_rows(clipped, speaker, config.aligned.max_advance))
        if turns:
            found.append(turns)
    return found


def make_batch(
    items: Sequence[Sequence[TurnRows]],
    stretches: Sequence[Stretch],
    config: CsmConfig,
    augmentation: Augmentation,
    seed: str,
) -> TrainingBatch:
    """Lay out stretches as one padded batch; the same seed makes the same batch."""
    rng = random.Random(seed)
    spoken = []
    for stretch in stretches:
        turns = items[stretch.item][stretch.first : stretch.last]
        spoken.append([_segment(turn, turn is turns[-1], augmentation, rng) for turn in turns])
    batch = collate([lay_out(config, segments) for segments in spoken])
    inputs = noisy_rows(batch.rows.numpy(), config, augmentation, rng.getrandbits(64))
    for b, segments in enumerate(spoken):
        _hide_some(inputs[b], segments, config, augmentation.wordless, rng)
    return TrainingBatch(batch, torch.from_numpy(inputs))


def part_of_batch(whole: TrainingBatch, rank: int, processes: int) -> TrainingBatch:
    """Every `processes`-th sequence of a batch, cut to its longest: one process's share."""
    used = whole.batch.rows[rank::processes].ne(INACTIVE).any(-1).any(0).sum()
    parts = (whole.batch.rows, whole.batch.positions, whole.batch.trained, whole.batch.advance, whole.inputs)
    rows, positions, trained, advance, inputs = (part[rank::processes, :used].contiguous() for part in parts)
    return TrainingBatch(Batch(rows, positions, trained, advance), inputs)


def shuffled_text(items: Sequence[Sequence[TurnRows]], seed: int) -> list[list[TurnRows]]:
    """The same codes with other turns' text, units spread evenly over the frames: what is left without the words."""
    turns = [turn for item in items for turn in item]
    rng = random.Random(seed)
    donors = rng.sample(turns, len(turns))
    found, donor = [], iter(donors)
    for item in items:
        found.append([_with_text(turn, next(donor).text) for turn in item])
    return found


def _with_text(turn: TurnRows, text: Ints) -> TurnRows:
    if turn.pointers is None:
        return TurnRows(text, turn.codes, None)
    words = text[1:-1][: 2 * turn.frames]
    text = np.concatenate([turn.text[:1], words, turn.text[-1:]])
    pointers = np.minimum(np.arange(turn.frames + 1) * len(text) // (turn.frames + 1), len(text) - 1)
    pointers[-1] = len(text) - 1
    return TurnRows(text, turn.codes, pointers)


def fingerprint(items: Sequence[Sequence[TurnRows]]) -> str:
    """SHA-256 over text and codes, for the model card."""
    digest = hashlib.sha256()
    for item in items:
        for turn in item:
            digest.update(turn.text.tobytes())
            digest.update(np.ascontiguousarray(turn.codes, np.uint16).tobytes())
    return digest.hexdigest()


def _segment(turn: TurnRows, last: bool, augmentation: Augmentation, rng: random.Random) -> Segment:
    heard = not last and rng.random() < augmentation.unaligned_context
    return Segment(turn.text, turn.codes, None if heard else turn.pointers, trained=not heard)


def _hide_some(rows: Ints, segments: Sequence[Segment], config: CsmConfig, share: float, rng: random.Random) -> None:
    """Hide the words of a share of the turns in one sequence's rows (S,columns), in place."""
    start = 0
    for segment in segments if share > 0 else ():
        assert segment.codes is not None
        audio = start + len(segment.text) + segment.codes.shape[1]
        if rng.random() < share:
            rows[start:audio] = hide_words(config, rows[start:audio])
        start = audio + segment.ended


def noisy_rows(rows: Ints, config: CsmConfig, augmentation: Augmentation, seed: int) -> Ints:
    """Rows (B,S,columns) as a model in training reads them: some codes exchanged or hidden, some text hidden."""
    draws = np.random.default_rng(seed)
    books = config.num_codebooks
    noisy = rows.copy()
    spoken = rows[:, :, 0] != INACTIVE
    codes = rows[spoken][:, :books]  # (F,K)
    noisy[spoken, :books] = _noisy_codes(codes, augmentation, draws)
    hidden = draws.random(rows[:, :, books:].shape) < augmentation.text_drop
    hidden[:, 0, 0] = False  # the first speaker is always known
    if config.aligned is not None:
        hidden[:, :, 1 + config.aligned.before] = False  # and so is the unit being spoken
        hidden[:, :, -1] = False
    noisy[:, :, books:][hidden] = INACTIVE
    return noisy


def _noisy_codes(codes: Ints, augmentation: Augmentation, draws: np.random.Generator) -> Ints:
    frames, books = codes.shape
    noisy = codes.copy()
    chosen = draws.random((frames,)) < augmentation.frame_noise
    noisy[chosen] = codes[draws.integers(frames, size=int(chosen.sum()))]
    swapped = draws.random(codes.shape) < augmentation.code_noise
    swapped[:, 0] = False
    others = np.take_along_axis(codes, draws.integers(frames, size=codes.shape), axis=0)
    noisy[swapped] = others[swapped]
    seen = np.where(draws.random((frames,)) < augmentation.book_drop, draws.integers(1, books + 1, size=frames), books)
    noisy[np.arange(books) >= seen[:, None]] = INACTIVE
    return noisy
