"""The frame grid: how text and codes become rows that a CSM reads. Knows nothing of networks, sound or words.

A row is K audio columns, one text column and, with aligned text, the aligned columns (csm/alignment.py); -1 marks a
column that is not active. A prompt is `text audio EOS text audio EOS … text`; every audio frame is predicted from the
row before it, the first one from the last text row. Letters: S rows, T frames, K codebooks, U text ids.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..errors import ContextTooLong, InputError
from .alignment import aligned_columns
from .config import CsmConfig

INACTIVE = -1
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Segment:
    """One turn: text ids (U,), and the codes (K,T) that spoke them unless they are still to be spoken.

    `pointers` (T+1,) is the unit of each frame and of the EOS (aligned text only; without it the aligned columns stay
    inactive). `ended` False leaves the EOS row away: the audio goes on beyond what is known.
    """

    text: Ints
    codes: Ints | None = None
    pointers: Ints | None = None
    ended: bool = True
    trained: bool = True  # whether training learns from this turn's frames


@dataclass(frozen=True)
class Grid:
    """Rows ready for a network, and what training wants to know of each."""

    rows: Ints  # (S, columns)
    positions: Ints  # (S,) rotary position of each row
    trained: npt.NDArray[np.bool_]  # (S,) this row predicts a frame to learn from
    advance: Ints  # (S,) units the pointer moves after the frame that this row predicts; -1 unknown
    origin: int  # position where the last segment starts
    audio_position: int  # position of the last segment's first audio row
    next_origin: int  # position where a further segment would start


def text_rows(config: CsmConfig, text: Ints) -> Ints:
    """Rows (U, columns) of text ids (U,)."""
    text = np.asarray(text, np.int64)
    if text.ndim != 1 or len(text) == 0:
        raise InputError("A turn's text should be at least one id.", field="text")
    _check_range(text, config.text_vocab, "text")
    rows = np.full((len(text), config.columns), INACTIVE, np.int64)
    rows[:, config.num_codebooks] = text
    return rows


def audio_rows(config: CsmConfig, codes: Ints) -> Ints:
    """Rows (T, columns) of codes (K,T)."""
    codes = np.asarray(codes, np.int64)
    if codes.ndim != 2 or codes.shape[0] != config.num_codebooks:
        raise InputError(f"Codes should be ({config.num_codebooks}, frames), not {codes.shape}.", field="codes")
    _check_range(codes, config.codebook_size, "codes")
    rows = np.full((codes.shape[1], config.columns), INACTIVE, np.int64)
    rows[:, : config.num_codebooks] = codes.T
    return rows


def eos_row(config: CsmConfig) -> Ints:
    """The row (columns,) that closes a turn's audio: all codes 0, or codebook 0 = eos_code and the rest 0."""
    row = np.full(config.columns, INACTIVE, np.int64)
    row[: config.num_codebooks] = 0
    if config.eos == "code":
        row[0] = config.eos_code
    return row


def hide_words(config: CsmConfig, rows: Ints) -> Ints:
    """Rows (S, columns) of one turn from its first text row on, as if nobody had said what is spoken.

    The speaker (first text id) and the timing stay. Guidance compares what a model expects with and without words.
    """
    hidden = rows.copy()
    hidden[1:, config.num_codebooks] = INACTIVE
    if config.aligned is not None:
        hidden[:, config.num_codebooks + 1 : -1] = INACTIVE
    return hidden


def is_eos(config: CsmConfig, codes: Ints) -> bool:
    """Whether a sampled frame (K,) ends the turn instead of being sound."""
    if config.eos == "code":
        return int(codes[0]) == config.eos_code
    return not codes.any()


def lay_out(config: CsmConfig, segments: Sequence[Segment], origin: int = 0) -> Grid:
    """Rows of whole turns, from position `origin` on. A last segment without codes is one still to be spoken.

    To speak it: prefill all rows but the last, then start the generator from the last row.
    """
    if not segments:
        raise InputError("A prompt needs at least one turn.", field="segments")
    parts = []
    for segment in segments:
        parts.append(_lay_out_one(config, segment, origin))
        origin = parts[-1].next_origin
    return Grid(
        rows=np.concatenate([part.rows for part in parts]),
        positions=np.concatenate([part.positions for part in parts]),
        trained=np.concatenate([part.trained for part in parts]),
        advance=np.concatenate([part.advance for part in parts]),
        origin=parts[-1].origin,
        audio_position=parts[-1].audio_position,
        next_origin=origin,
    )


def _lay_out_one(config: CsmConfig, segment: Segment, origin: int) -> Grid:
    rows = [text_rows(config, segment.text)]
    units = len(segment.text)
    if segment.codes is not None:
        rows.append(audio_rows(config, segment.codes))
        if segment.ended:
            rows.append(eos_row(config)[None])
    grid = np.concatenate(rows)
    frames = len(grid) - units  # the EOS is one of them
    predicts = np.zeros(len(grid), bool)
    predicts[units - 1 : units - 1 + frames] = True
    advance = np.full(len(grid), INACTIVE, np.int64)
    if config.aligned is not None and segment.codes is not None and segment.pointers is not None:
        _align(config, segment, grid, advance)
    audio_position = origin + units if config.positions == "sequential" else origin
    return Grid(
        rows=grid,
        positions=np.concatenate([origin + np.arange(units), audio_position + np.arange(frames)]),
        trained=predicts & segment.trained,
        advance=advance,
        origin=origin,
        audio_position=audio_position,
        next_origin=next_origin(config, origin, units, frames),
    )


def _align(config: CsmConfig, segment: Segment, grid: Ints, advance: Ints) -> None:
    """Write the aligned columns, and the moves, into the rows that predict this segment's frames and its EOS."""
    assert config.aligned is not None and segment.pointers is not None and segment.codes is not None
    frames, first = segment.codes.shape[1], len(segment.text) - 1
    if len(segment.pointers) != frames + 1:
        raise InputError(f"{frames} frames want {frames + 1} pointers, not {len(segment.pointers)}.", field="pointers")
    columns = aligned_columns(segment.text, segment.pointers, config.aligned, pad=config.text_vocab)
    grid[first : first + frames + 1, config.num_codebooks + 1 :] = columns
    advance[first : first + frames] = np.diff(segment.pointers)


def next_origin(config: CsmConfig, origin: int, units: int, frames: int) -> int:
    """Where the next turn starts, after a turn of so many text rows and audio rows (its EOS row counted)."""
    return origin + (units + frames if config.positions == "sequential" else max(units, frames))


def frames_left(config: CsmConfig, audio_position: int) -> int:
    """How many frames, and then an EOS row, still fit from this position on (0 if none)."""
    return max(0, config.backbone.max_positions - audio_position - 1)


def check_budget(config: CsmConfig, grid: Grid, max_frames: int) -> None:
    """Raise ContextTooLong unless the prompt and `max_frames` frames fit into the positions the model knows."""
    left = frames_left(config, grid.audio_position)
    if grid.positions.max() >= config.backbone.max_positions or max_frames > left:
        raise ContextTooLong(
            f"{grid.audio_position} positions of context leave room for {left} frames; {max_frames} are wanted.",
            hint="Give less context, shorter text, or a smaller limit on the speech's length.",
        )


def _check_range(values: Ints, size: int, field: str) -> None:
    if values.size and (values.min() < 0 or values.max() >= size):
        seen = int(values.min()) if values.min() < 0 else int(values.max())
        raise InputError(f"{field} holds {seen}; this model knows 0 to {size - 1}.", field=field)
