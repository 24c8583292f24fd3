"""Frames that wait to be decoded together: the first never does, and no listener runs out of sound because of it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import duologue
from duologue.pacing import LONGEST_WAIT_SECONDS, MOST_FRAMES, Pace

FRAME = 0.08


@dataclass
class Told:
    """What happened to the frames of one speech."""

    calls: list[int] = field(default_factory=list)  # frames of each call of the codec
    left: list[float] = field(default_factory=list)  # when they left
    longest_wait: float = 0.0

    @property
    def starved(self) -> float:
        """Seconds that a listener who plays from the first frame on waits for sound in all."""
        played, waited = self.left[0], 0.0
        for when, frames in zip(self.left, self.calls, strict=True):
            waited += max(0.0, when - played)
            played = max(played, when) + frames * FRAME
        return waited


def tell(drawing: list[float], decoding: float, *, live: bool = True, together: bool = True) -> Told:
    """Speak frames that take so long to draw; a call of the codec `decoding`, half of it a further frame."""
    now, told, waiting = 0.0, Told(), 0
    pace = Pace(live, together, clock=lambda: now)
    oldest = 0.0
    for index, seconds in enumerate(drawing):
        now += seconds
        oldest = oldest if waiting else now
        waiting += 1
        if pace.ready(waiting) or index + 1 == len(drawing):
            told.longest_wait = max(told.longest_wait, now - oldest)
            now += decoding * (1 + waiting) / 2
            pace.leave(waiting)
            told.calls.append(waiting)
            told.left.append(now)
            waiting = 0
            pace.resume()
    return told


def test_the_first_frame_leaves_at_once_and_quick_ones_follow_in_fours() -> None:
    told = tell([0.005] * 41, 0.003)
    assert told.calls[0] == 1
    assert told.calls[-6:-1] == [MOST_FRAMES] * 5


def test_a_slow_engine_gathers_only_what_its_listener_can_spare() -> None:
    told = tell([0.05] * 60, 0.004)
    assert told.calls[:3] == [1, 1, 1]
    assert max(told.calls) > 1
    assert told.starved == 0
    assert told.longest_wait < LONGEST_WAIT_SECONDS


def test_an_engine_slower_than_speech_never_makes_it_worse() -> None:
    assert tell([0.1] * 30, 0.004).calls == [1] * 30


def test_without_a_listener_only_the_number_counts() -> None:
    assert tell([0.1] * 10, 0.004, live=False).calls == [8, 2]


@pytest.mark.parametrize("live", [True, False])
def test_a_codec_that_rounds_longer_pieces_otherwise_gets_one_frame_a_call(live: bool) -> None:
    assert tell([0.005] * 9, 0.003, live=live, together=False).calls == [1] * 9


@settings(max_examples=200)
@given(
    usual=st.floats(0.001, 0.06),
    unrest=st.lists(st.floats(0.5, 1.5), min_size=5, max_size=60),
    decoding=st.floats(0.0005, 0.015),
)
def test_no_listener_waits_for_frames_that_wait(usual: float, unrest: list[float], decoding: float) -> None:
    """Frames that take up to half as long again as usual: one by one, or together, the sound never stops."""
    drawing = [usual * factor for factor in unrest]
    alone, together = tell(drawing, decoding, together=False), tell(drawing, decoding)
    assert together.left[0] == alone.left[0]
    assert together.starved <= alone.starved + 1e-9
    assert sum(together.calls) == len(drawing)


def test_samples_do_not_depend_on_the_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    model = duologue.load(engine="native")
    assert model.codec.exact_pieces
    text = "It was late. Nobody had seen the cat."
    whole = model.generate(text, seed=4).samples
    for most in (1, 2, 3):
        monkeypatch.setattr("duologue.pacing.MOST_FRAMES", most)
        np.testing.assert_array_equal(np.concatenate(list(model.stream(text, seed=4))), whole)
