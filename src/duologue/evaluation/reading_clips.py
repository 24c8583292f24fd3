"""Which words did the ASR hear in each clip? Several readings, because Whisper now and then drops most of a window.

joined    all clips in joined windows (asr.windows), the cheap and usual way: `clip.errors`
reversed  the same with the clips joined in the opposite order
reread    as joined, but every clip of a window in which words were lost is read alone, and that reading counts
alone     every clip alone, eight times the work, only if asked for
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from .asr import Samples, trim, windows
from .clips import Clip
from .wer import WordErrors, split_errors, word_errors

LOST_WORDS = 3  # so many words in neighbouring clips that lost half of theirs make a lost window


class Listener(Protocol):
    """Anything that reads 16 kHz sound (N,)."""

    def transcribe(self, window: Samples) -> str: ...


def judge_words(clips: Sequence[Clip], judge: Listener) -> list[tuple[int, ...]]:
    """Fill in each clip's word errors; returns which clips shared a window. A clip without sound has all deleted."""
    for clip in clips:
        clip.errors = word_errors(clip.sentence, "")
    shared = []
    for window in windows([clip.samples for clip in clips]):
        members = [clips[number] for number in window.clips]
        counted = split_errors([clip.sentence for clip in members], judge.transcribe(window.samples))
        for clip, errors in zip(members, counted, strict=True):
            clip.errors = errors
        shared.append(window.clips)
    return shared


def judge_words_again(clips: Sequence[Clip], judge: Listener, alone: bool = False) -> None:
    """`judge_words` and the further readings of each clip."""
    backwards = list(clips)[::-1]
    judge_words(backwards, judge)
    turned = [clip.errors for clip in clips]
    shared = judge_words(clips, judge)
    for clip, errors in zip(clips, turned, strict=True):
        clip.readings |= {"reversed": errors, "reread": clip.errors}
    if alone:
        for clip in clips:
            clip.readings["alone"] = read_alone(clip, judge)
    for window in shared:
        if lost(clips, window):
            for clip in (clips[number] for number in window):
                clip.readings["reread"] = clip.readings["alone"] if alone else read_alone(clip, judge)
                clip.scores["window_lost"] = True


def lost(clips: Sequence[Clip], window: Sequence[int]) -> bool:
    """Whether a stretch of a window's clips lost half of their words, and three or more together."""
    stretch = 0
    for number in window:
        errors = clips[number].errors
        gone = errors.words > 0 and errors.deletions >= errors.words / 2
        stretch = stretch + errors.words if gone else 0
        if stretch >= LOST_WORDS:
            return True
    return False


def read_alone(clip: Clip, judge: Listener) -> WordErrors:
    """Errors of a clip that is read by itself."""
    speech = trim(clip.samples)
    return word_errors(clip.sentence, judge.transcribe(speech) if len(speech) else "")
