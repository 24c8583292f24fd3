"""What was heard is counted to the sample; silence comes at once, and without a click."""

from __future__ import annotations

import numpy as np
import pytest

from duologue.agent.playback import DUCKED, FADE, Playback


def tone(seconds: float) -> np.ndarray:
    return np.full(int(24_000 * seconds), 0.5, np.float32)


def test_what_was_put_in_comes_out_and_counts_as_heard() -> None:
    playback = Playback()
    playback.play(tone(0.1))
    playback.play(tone(0.1))
    first, rest = playback.take(3_000), playback.take(3_000)
    assert np.all(first == 0.5)
    assert np.all(rest[:1_800] == 0.5)
    assert not rest[1_800:].any()
    assert playback.heard_seconds == pytest.approx(0.2)
    playback.begin()
    assert playback.heard_seconds == 0


def test_flush_is_silence_after_a_short_fade_and_tells_what_was_heard() -> None:
    playback = Playback()
    playback.play(tone(1.0))
    playback.take(12_000)
    assert playback.flush() == pytest.approx(0.5)
    out = playback.take(768)
    assert np.all(np.diff(out[:FADE]) < 0)
    assert not out[FADE:].any()
    assert playback.queued == 0
    assert playback.heard_seconds == pytest.approx(0.5), "the fade isn't counted"


def test_ducking_is_softer_and_ramps() -> None:
    playback = Playback()
    playback.play(tone(1.0))
    playback.take(768)
    playback.duck(True)
    out = playback.take(768)
    assert out[-1] == pytest.approx(0.5 * DUCKED)
    assert np.abs(np.diff(out)).max() < 0.01
    playback.duck(False)
    assert playback.take(768)[-1] == pytest.approx(0.5)


def test_what_is_held_waits_unheard() -> None:
    playback = Playback()
    playback.play(tone(0.1))
    playback.hold(True)
    assert not playback.take(768).any()
    assert playback.heard_seconds == 0
    playback.hold(False)
    assert playback.take(768).all()


def test_flushing_before_anything_was_heard_stays_silent() -> None:
    playback = Playback()
    playback.play(tone(0.1))
    playback.hold(True)
    assert playback.flush() == 0
    assert not playback.take(768).any()
