"""Interruptions and backchannels: real sound, real voice activity; a stub says which words were heard."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

from duologue.agent.vad import SileroVad
from duologue.audio import Audio
from duologue.server.realtime.configuration import ByClock, BySense
from duologue.server.realtime.ear import Ear
from duologue.server.realtime.turn_taking import Committed, TurnTaking

SECOND = 24_000


class StubRecogniser:
    """Says the same words of everything."""

    name = "stub"

    def __init__(self, words: str) -> None:
        self.words = words

    def transcribe(self, audio: Audio) -> str:
        return self.words


class Log:
    """A session and its wire, as far as turns need them."""

    def __init__(self, rules: Any, sounding: bool) -> None:
        self.rules, self.sounding = rules, sounding
        self.sent: list[str] = []
        self.interruptions = 0
        self.turns: list[Committed] = []

    async def send(self, kind: str, **fields: Any) -> None:
        self.sent.append(kind.removeprefix("input_audio_buffer."))

    def interrupt(self) -> None:
        self.interruptions += 1

    async def commit(self, turn: Committed) -> None:
        self.turns.append(turn)


def hear(log: Log, words: str, sound: np.ndarray) -> Log:
    async def run() -> None:
        ear = Ear(SileroVad())
        ear.detect(log.rules.detector())
        taking = TurnTaking(ear, log, log, StubRecogniser(words), 60.0)  # type: ignore[arg-type]
        for first in range(0, len(sound), 2_400):
            await taking.take(sound[first : first + 2_400])
            await asyncio.sleep(0.005)
        await asyncio.sleep(0.05)
        taking.close()

    asyncio.run(run())
    return log


@pytest.fixture
def short(speech: np.ndarray) -> np.ndarray:
    """Two thirds of a second of speech, then three seconds of silence."""
    return np.concatenate([speech[: 2 * SECOND // 3], np.zeros(3 * SECOND, np.float32)])


BY_SENSE = BySense(type="semantic_vad", eagerness="high")
BY_CLOCK = ByClock(type="server_vad")


def test_a_backchannel_changes_nothing_while_the_voice_sounds(short: np.ndarray) -> None:
    log = hear(Log(BY_SENSE, sounding=True), "Mm-hmm.", short)
    assert log.sent == ["duologue.backchannel"]
    assert (log.interruptions, log.turns) == (0, [])


def test_nor_does_brief_sound_that_the_recogniser_makes_other_words_of(short: np.ndarray) -> None:
    """Whisper reads "mm-hm" as "My mom"; the long silence after it is no speech."""
    log = hear(Log(BySense(type="semantic_vad", eagerness="low"), sounding=True), "My mom", short)
    assert log.sent == ["duologue.backchannel"]
    assert log.interruptions == 0


def test_the_same_sound_with_other_words_interrupts(short: np.ndarray) -> None:
    log = hear(Log(BY_SENSE, sounding=True), "Stop.", short)
    assert log.sent == ["speech_started", "speech_stopped"]
    assert log.interruptions == 1
    assert len(log.turns) == 1


def test_speech_that_goes_on_interrupts_whatever_its_words(speech: np.ndarray) -> None:
    log = hear(Log(BY_SENSE, sounding=True), "Yeah.", speech[: 3 * SECOND])
    assert log.sent == ["speech_started"]
    assert log.interruptions == 1


def test_in_silence_a_backchannel_is_a_turn_like_any_other(short: np.ndarray) -> None:
    log = hear(Log(BY_SENSE, sounding=False), "Mm-hmm.", short)
    assert log.sent == ["speech_started", "speech_stopped"]
    (turn,) = log.turns
    assert turn.draft is not None, "its words were read in the pause"
    assert 0.5 < len(turn.sound) / SECOND < 1.4


def test_by_the_clock_every_speech_interrupts_at_once(short: np.ndarray) -> None:
    log = hear(Log(BY_CLOCK, sounding=True), "Mm-hmm.", short)
    assert log.sent == ["speech_started", "speech_stopped"]
    assert log.interruptions == 1


def test_interruption_can_be_switched_off(short: np.ndarray) -> None:
    log = hear(Log(ByClock(type="server_vad", interrupt_response=False), sounding=True), "Stop.", short)
    assert log.interruptions == 0
    assert len(log.turns) == 1


def test_a_turn_without_end_is_ended(speech: np.ndarray) -> None:
    log = Log(BY_CLOCK, sounding=False)

    async def run() -> None:
        ear = Ear(SileroVad())
        ear.detect(BY_CLOCK.detector())
        taking = TurnTaking(ear, log, log, None, 2.0)  # type: ignore[arg-type]
        await taking.take(np.tile(speech, 2))

    asyncio.run(run())
    assert len(log.turns) >= 2
    assert all(len(turn.sound) <= 2.6 * SECOND for turn in log.turns)
