"""Turns from probabilities and words: where they begin, when they end, and what is no interruption."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from duologue.agent.turn_detection import (
    Event,
    SemanticVad,
    ServerVad,
    SpeechResumed,
    SpeechStarted,
    SpeechStopped,
    TurnDetector,
    TurnEnded,
    TurnState,
)
from duologue.agent.vad import WINDOW_SAMPLES, SileroVad
from duologue.agent.word_cues import finished, interrupts, is_backchannel
from duologue.errors import InputError

RECORDING = Path(__file__).parents[1] / "data" / "librivox_austen.flac"
SECOND = 24_000


def windows(*parts: tuple[float, float]) -> list[float]:
    """Probabilities: (seconds, probability) parts."""
    return [probability for seconds, probability in parts for _ in range(round(seconds / 0.032))]


def run(settings: ServerVad | SemanticVad, *parts: tuple[float, float]) -> tuple[list[Event], TurnState]:
    detector = TurnDetector(settings)
    return detector.step(windows(*parts), detector.new_state())


def test_a_turn_begins_padded_and_ends_after_the_set_silence() -> None:
    events, state = run(ServerVad(silence_duration_ms=480), (1.0, 0.0), (2.0, 0.9), (0.5, 0.0))
    started, stopped, ended = events
    onset = 31 * WINDOW_SAMPLES
    assert started == SpeechStarted(onset - 300 * 24)
    assert isinstance(stopped, SpeechStopped)
    assert stopped.sample == onset + 62 * WINDOW_SAMPLES
    assert ended == TurnEnded(started.sample, stopped.sample + 200 * 24)
    assert not state.speaking


def test_a_shorter_silence_is_a_pause_within_the_turn() -> None:
    events, state = run(ServerVad(silence_duration_ms=500), (1.0, 0.9), (0.4, 0.0), (1.0, 0.9))
    assert [type(event) for event in events] == [SpeechStarted, SpeechStopped, SpeechResumed]
    assert state.speaking


def test_clicks_and_wavering_are_neither_turns_nor_ends() -> None:
    assert run(ServerVad(), (0.5, 0.0), (0.064, 0.9), (0.5, 0.0), (0.064, 0.9), (0.5, 0.0))[0] == []
    wavering = [(0.064, 0.45), (0.064, 0.6)] * 20
    assert [type(event) for event in run(ServerVad(), (0.2, 0.9), *wavering)[0]] == [SpeechStarted]


def test_the_threshold_and_the_padding_are_those_asked_for() -> None:
    assert run(ServerVad(threshold=0.8), (1.0, 0.7))[0] == []
    assert run(ServerVad(prefix_padding_ms=0), (0.32, 0.0), (0.32, 0.9))[0] == [SpeechStarted(10 * WINDOW_SAMPLES)]


def test_padding_reaches_neither_before_the_start_nor_into_the_turn_before() -> None:
    events, _ = run(
        ServerVad(silence_duration_ms=64, prefix_padding_ms=2_000), (0.32, 0.9), (0.32, 0.0), (0.32, 0.9), (0.32, 0.0)
    )
    first, _, ended, second, *_ = events
    assert first == SpeechStarted(0)
    assert isinstance(ended, TurnEnded)
    assert second == SpeechStarted(ended.end)


@pytest.mark.parametrize("eagerness", ["low", "medium", "high"])
def test_finished_words_end_a_turn_sooner_than_open_ones(eagerness: str) -> None:
    detector = TurnDetector(SemanticVad(eagerness))  # type: ignore[arg-type]

    def silence_before_the_end(words: str | None) -> float:
        events, state = detector.step(windows((1.0, 0.9), (0.256, 0.0)), detector.new_state())
        pause = events[-1]
        assert isinstance(pause, SpeechStopped)
        if words is not None:
            state = detector.heard(words, pause, state)
        for number in range(400):
            events, state = detector.step([0.0], state)
            if events:
                assert isinstance(events[0], TurnEnded)
                return 0.256 + 0.032 * (number + 1)
        raise AssertionError("the turn did not end")

    done = silence_before_the_end("What time is it?")
    unknown = silence_before_the_end(None)
    left_open = silence_before_the_end("I was going to")
    assert done < unknown < left_open
    assert done <= {"low": 1.1, "medium": 0.6, "high": 0.4}[eagerness]
    assert left_open <= {"low": 8.0, "medium": 4.0, "high": 2.0}[eagerness]


def test_words_of_a_pause_that_is_over_change_nothing() -> None:
    detector = TurnDetector(SemanticVad("low"))
    events, state = detector.step(windows((1.0, 0.9), (0.256, 0.0), (0.5, 0.9), (0.256, 0.0)), detector.new_state())
    first, second = (event for event in events if isinstance(event, SpeechStopped))
    assert detector.heard("Yes.", first, state) == state
    assert detector.heard("Yes.", second, state) != state


def test_forgetting_leaves_the_turn_and_keeps_the_clock() -> None:
    detector = TurnDetector(ServerVad())
    _, state = detector.step(windows((1.0, 0.9)), detector.new_state())
    left = detector.forget(state)
    assert state.speaking
    assert not left.speaking
    assert left.samples == state.samples
    events, _ = detector.step(windows((0.32, 0.9)), left)
    assert events == [SpeechStarted(state.samples)]


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: ServerVad(threshold=1.0),
        lambda: ServerVad(silence_duration_ms=-1),
        lambda: ServerVad(prefix_padding_ms=9_000),
        lambda: SemanticVad("keen"),  # type: ignore[arg-type]
    ],
)
def test_impossible_settings_are_refused(wrong: object) -> None:
    with pytest.raises(InputError):
        wrong()  # type: ignore[operator]


def test_a_recording_falls_into_turns_where_it_falls_silent() -> None:
    """Two stretches of read speech, a second and a half apart: two turns whose edges are within 0.35 s of the truth."""
    speech, _ = soundfile.read(RECORDING, dtype="float32", frames=SECOND * 6)
    gap = np.zeros(int(1.5 * SECOND), np.float32)
    first, second = speech[: 2 * SECOND], speech[3 * SECOND : 5 * SECOND]
    vad, detector = SileroVad(), TurnDetector(ServerVad(silence_duration_ms=700))
    probabilities, _ = vad.step(np.concatenate([gap, first, gap, second, gap]), vad.new_state())
    events, _ = detector.step(probabilities, detector.new_state())
    turns = [event for event in events if isinstance(event, TurnEnded)]
    assert len(turns) == 2
    for turn, begins in zip(turns, (1.5, 5.0), strict=True):
        assert turn.start / SECOND == pytest.approx(begins - 0.3, abs=0.35)
        assert turn.end / SECOND == pytest.approx(begins + 2.2, abs=0.35)


@pytest.mark.parametrize(
    "text", ["Mm-hmm.", "mhm", "Yeah.", "Right, right.", "Uh-huh", "Uh huh.", "I see.", "Ah-huh. " * 9]
)
def test_backchannels(text: str) -> None:
    assert is_backchannel(text)
    assert interrupts(text, 0.4) is False


@pytest.mark.parametrize("text", ["No.", "Wait", "Yeah, but why?", "Stop it.", "Stomper", "It was on Sunday."])
def test_what_is_no_backchannel(text: str) -> None:
    assert not is_backchannel(text)
    assert interrupts(text, 0.4) is True


@pytest.mark.parametrize("text", ["My mom.", "Writer", "A thigh."])
def test_brief_words_that_do_not_ask_for_the_floor_leave_it_once_they_are_over(text: str) -> None:
    """What Whisper base made of "mm-hm", "right" and "uh-huh"; said at length, the same words interrupt."""
    assert interrupts(text, 0.6) is None
    assert interrupts(text, 0.6, over=True) is False
    assert interrupts(text, 0.9) is True


def test_sound_without_words_is_no_reason_to_stop_before_it_lasts() -> None:
    assert interrupts("", 0.6, over=True) is None


def test_an_interruption_is_certain_when_it_lasts_and_open_while_nothing_is_known() -> None:
    assert interrupts("Yeah", 1.3) is True
    assert interrupts(None, 0.3) is None
    assert interrupts("", 0.3) is None


@pytest.mark.parametrize("text", ["What time is it?", "I like that.", "Yes.", "Thank you, really.", "Who is it from?"])
def test_finished_words(text: str) -> None:
    assert finished(text) >= 0.9


@pytest.mark.parametrize("text", ["I was going to", "And then the.", "Well, um", "Because I...", "First,"])
def test_unfinished_words(text: str) -> None:
    assert finished(text) <= 0.15
