"""The loop everyone reads: from a prompt's last row, frame after frame, until the turn ends. Knows nothing of sound.

    row ──► engine.frames ──► codes (K,) ──► end of turn? ──► the codes are the next row
                                   └── aligned text: `advance` moves the pointer, whose window joins the next row

An Utterance holds one turn that is being spoken; `step` takes any number of them one frame further, together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..csm.alignment import Pointer
from ..csm.config import CsmConfig
from ..csm.frames import Grid, Segment, audio_rows, check_budget, eos_row, hide_words, is_eos, next_origin
from ..errors import Cancelled, InputError
from .base import Cache, Engine, Frame, FrameRequest, FrameSampling, Guide
from .sampling import check_sampling

Ending = Literal["eos", "max_frames", "tail"]


@dataclass(frozen=True)
class Limits:
    """Where a turn is stopped if it doesn't end by itself. The last two guard aligned text alone."""

    max_frames: int
    min_frames: int = 0  # no EOS before so many frames
    max_dwell_frames: int = 25  # frames on one unit before the pointer is pushed on
    max_tail_frames: int = 25  # frames on the last unit before the turn is ended

    def __post_init__(self) -> None:
        for name in ("max_frames", "max_dwell_frames", "max_tail_frames"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} should be at least 1, not {getattr(self, name)}.", field=name)


class Utterance:
    """One turn being spoken: what was drawn so far, and what the engine needs for the next frame."""

    def __init__(
        self,
        config: CsmConfig,
        cache: Cache,
        prompt: Grid,
        text: np.ndarray,
        sampling: FrameSampling,
        limits: Limits,
        wordless: Cache | None = None,
    ) -> None:
        """`cache` holds all rows of `prompt` but the last; `text` (U,) are the ids of the turn to be spoken.

        `wordless` holds the same rows with this turn's words hidden, for guidance.

        Raises ContextTooLong if max_frames don't fit behind the prompt, InputError for impossible sampling.
        """
        for stage in (sampling.first, sampling.depth, sampling.advance):
            check_sampling(stage)
        check_budget(config, prompt, limits.max_frames)
        self.config, self.cache, self.sampling, self.limits = config, cache, sampling, limits
        self._wordless = wordless
        self.text, self._origin, self._audio_position = text, prompt.origin, prompt.audio_position
        self.pointer = None if config.aligned is None else Pointer(text, config.aligned, pad=config.text_vocab)
        self.codes: list[np.ndarray] = []  # (K,) each
        self.pointers: list[int] = [0]  # unit of each frame, and of the one to come
        self.ending: Ending | None = None
        self._row, self._position = self._aligned(prompt.rows[-1]), int(prompt.positions[-1])
        self._row_fed = False

    def request(self) -> FrameRequest:
        """What the engine should do next for this turn."""
        index = len(self.codes)
        allow_eos = index >= self.limits.min_frames and (self.pointer is None or self.pointer.at_end)
        self._row_fed = True
        guide = None if self._wordless is None else Guide(self._wordless, self._without_words(self._row))
        return FrameRequest(self.cache, self._row, self._position, index, self.sampling, allow_eos, guide)

    def take(self, frame: Frame) -> Frame | None:
        """Take the engine's answer. Returns the frame as sound, or None if it was the end of the turn."""
        if is_eos(self.config, frame.codes):
            self.ending = "eos"
            return None
        self.codes.append(frame.codes)
        moved = self._move(frame.advance)
        self._row = self._aligned(audio_rows(self.config, frame.codes[:, None])[0])
        self._position = self._audio_position + len(self.codes) - 1
        self._row_fed = False
        if len(self.codes) >= self.limits.max_frames:
            self.ending = "max_frames"
        return Frame(frame.codes, moved)

    def close(self, engine: Engine) -> int:
        """End the turn inside the cache (feed what it lacks, then the EOS row). Returns the next turn's origin."""
        rows, positions = [eos_row(self.config)], [self._audio_position + len(self.codes)]
        if not self._row_fed:
            rows.insert(0, self._row)
            positions.insert(0, self._position)
        engine.prefill(self.cache, np.stack(rows), np.array(positions, np.int64))
        return next_origin(self.config, self._origin, len(self.text), len(self.codes) + 1)

    def segment(self) -> Segment:
        """The turn as spoken, ready to be context."""
        codes = np.stack(self.codes, axis=1) if self.codes else np.zeros((self.config.num_codebooks, 0), np.int64)
        pointers = None if self.pointer is None else np.array(self.pointers, np.int64)
        return Segment(self.text, codes, pointers)

    def _move(self, advance: int) -> int:
        if self.pointer is None:
            return 0
        spoken = self.pointer.dwell + 1
        if self.pointer.at_end and spoken >= self.limits.max_tail_frames:
            self.ending = "tail"
        stuck = not self.pointer.at_end and spoken >= self.limits.max_dwell_frames
        moved = self.pointer.move(max(advance, 1) if stuck else advance)
        self.pointers.append(self.pointer.unit)
        return moved

    def _without_words(self, row: np.ndarray) -> np.ndarray:
        """The row as the wordless reading sees it; a turn of one id is its speaker, who stays."""
        return hide_words(self.config, np.stack([row, row]))[0 if len(self.text) == 1 and not self.codes else 1]

    def _aligned(self, row: np.ndarray) -> np.ndarray:
        """The row with the aligned columns of the frame that it predicts."""
        if self.pointer is None:
            return row
        row = row.copy()
        row[self.config.num_codebooks + 1 :] = self.pointer.columns()
        return row


def begin(
    engine: Engine, cache: Cache, prompt: Grid, text: np.ndarray, sampling: FrameSampling, limits: Limits
) -> Utterance:
    """Read a prompt (csm.frames.lay_out, its last turn without codes) into the cache, ready to speak that turn."""
    start = len(prompt.rows) - len(text)  # of this turn
    wordless = None
    if sampling.guidance != 1.0:
        engine.prefill(cache, prompt.rows[:start], prompt.positions[:start])
        wordless = cache.fork()
    utterance = Utterance(engine.config, cache, prompt, text, sampling, limits, wordless)
    if wordless is not None:
        engine.prefill(wordless, hide_words(engine.config, prompt.rows[start:])[:-1], prompt.positions[start:-1])
    read = start if wordless is not None else 0
    engine.prefill(cache, prompt.rows[read:-1], prompt.positions[read:-1])
    return utterance


def step(engine: Engine, utterances: Sequence[Utterance]) -> list[Frame | None]:
    """One frame for each turn that has not ended; None for those that just did."""
    frames = engine.frames([utterance.request() for utterance in utterances])
    return [utterance.take(frame) for utterance, frame in zip(utterances, frames, strict=True)]


def generate_frames(
    engine: Engine, utterance: Utterance, cancelled: Callable[[], bool] | None = None
) -> Iterator[Frame]:
    """Speak a turn to its end, each frame leaving as soon as it is drawn. Why it ended stands in utterance.ending.

    Raises Cancelled when `cancelled`, asked before every frame, says so; the utterance can then still be closed.
    """
    while utterance.ending is None:
        if cancelled is not None and cancelled():
            raise Cancelled("The speech was cancelled.")
        frame = step(engine, [utterance])[0]
        if frame is not None:
            yield frame
