"""The measurement of the whole agent: its sounds, its callers, and one whole call without a network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from duologue.agent.events import Answered, Heard
from duologue.agent.recognition import PACKAGED, Whisper
from duologue.api import Model
from duologue.evaluation.voice_to_voice import Bench, _after, _summed_up
from duologue.evaluation.voice_to_voice_callers import InterjectingCaller, PatientCaller, Room
from duologue.evaluation.voice_to_voice_sounds import interjections, noises, sentences
from duologue.evaluation.voice_to_voice_stub import ANSWERS

DATA = Path(__file__).parents[1] / "data"
RECORDING = DATA / "librivox_austen.flac"
SILENCE, SOUND = np.zeros(768, np.float32), np.full(768, 0.1, np.float32)


def test_the_labelled_sets_hold_every_kind_and_no_words_twice() -> None:
    found = [*interjections(DATA / "interjections.flac", DATA / "interjections.json"), *noises()]
    fresh = [*interjections(DATA / "interjections_unseen.flac", DATA / "interjections_unseen.json")]
    words = [{item.name.split(" (")[0] for item in one} for one in (found, fresh)]
    assert not words[0] & words[1]
    assert sorted(item.kind for item in fresh).count("backchannel") == 18
    assert len(fresh) == 34
    kinds = [item.kind for item in found]
    assert (kinds.count("interruption"), kinds.count("backchannel"), kinds.count("noise")) == (12, 16, 8)
    assert all(item.meant == (item.kind == "interruption") for item in found)
    assert all(0.02 < np.abs(item.samples).max() <= 1.0 for item in found)
    assert len({item.name for item in found}) == len(found)


def test_sentences_differ_and_end_with_sound() -> None:
    said = sentences(RECORDING, 20)
    assert len({len(clip) for clip in said}) == 20
    assert all(np.abs(clip[-24:]).max() > 0.01 * np.abs(clip).max() for clip in said)


def test_the_patient_caller_waits_for_the_end_of_each_answer() -> None:
    caller = PatientCaller([SOUND, SOUND])
    for _ in range(110):
        caller.next(SILENCE)
    assert len(caller.said) == 1
    for _ in range(40):
        caller.next(SOUND)
    assert len(caller.said) == 1, "it doesn't speak into an answer"
    for _ in range(80):
        caller.next(SILENCE)
    assert len(caller.said) == 2


def test_the_interjecting_caller_speaks_into_the_answer() -> None:
    caller = InterjectingCaller(SOUND, SOUND * 2, 0.32)
    for _ in range(30):
        assert np.abs(caller.next(SILENCE)).max() < 0.15
    spoken = [np.abs(caller.next(SOUND)).max() for _ in range(14)]
    assert spoken[9:12].count(max(spoken)) >= 1 and max(spoken) == pytest.approx(0.2)
    assert caller.interjected_at is not None


def test_a_room_gives_back_what_was_played_later_and_softer() -> None:
    room = Room(0.064, 0.5)
    pulse = SILENCE.copy()
    pulse[0] = 1.0
    back = np.concatenate([room.step(pulse), *[room.step(SILENCE) for _ in range(9)]])
    assert int(np.argmax(np.abs(back))) == 1_536
    assert back[1_536] == pytest.approx(0.5)
    assert not np.abs(back[:1_500]).max() > 1e-6


def test_misses_and_false_alarms_are_counted_by_their_labels() -> None:
    def result(kind: str, meant: bool, stopped: bool, reached: bool = True) -> dict:
        return {
            "kind": kind,
            "name": "",
            "meant": meant,
            "reached": reached,
            "stopped": stopped,
            "stopped_after_ms": 500,
        }

    summed = _summed_up(
        [result("a", True, True), result("a", True, False), result("b", False, True), result("b", False, False, False)]
    )
    assert (summed["missed"], summed["of_meant"], summed["false"], summed["of_not_meant"]) == (1, 2, 1, 1)
    assert summed["stopped_by_kind"] == {"a": "1 of 2", "b": "1 of 1"}
    assert (summed["cases"], summed["tried"]) == (4, 3)


def test_a_whole_call_without_a_network(tiny_model: Model) -> None:
    bench = Bench(tiny_model, Whisper(PACKAGED, threads=1), "medium")
    caller = PatientCaller(sentences(RECORDING, 2)[1:])
    line, happened = bench.call(caller, ANSWERS, fast=True)
    (heard,) = [event for event in happened if isinstance(event, Heard)]
    assert "young man" in heard.words
    (answered,) = [event for event in happened if isinstance(event, Answered)]
    assert answered.words == ANSWERS[0]
    assert answered.seconds > 0
    measured = _after(line, caller.said[0])
    assert measured is not None
    assert 300 < measured[0] <= measured[1]
