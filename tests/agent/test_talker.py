"""Who has the floor: answers, interruptions, backchannels and noises, on a line in fast time.

Voice activity is real, and so is the speech; words, thoughts and our voice are given, so that each rule shows alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from duologue.agent.events import Answered, Failed, Heard, Ignored, Interrupted, TalkEvent
from duologue.agent.file_line import FileLine, RecordedCaller
from duologue.agent.listening import Listener
from duologue.agent.talker import Talker
from duologue.agent.turn_detection import SemanticVad
from duologue.audio import Audio, Samples, to_audio
from duologue.errors import BackendUnavailable

SPEECH = to_audio(Path(__file__).parents[1] / "data" / "librivox_austen.flac").samples
SENTENCE = SPEECH[int(7.25 * 24_000) : int(10.0 * 24_000)]
SHORT = SPEECH[int(7.25 * 24_000) : int(7.85 * 24_000)]
ANSWER = "I hear you. Let me tell you a long story about that, now."
Recognise = Callable[[Audio, int], str]


class GivenEars:
    name = "given"

    def __init__(self, words: Recognise) -> None:
        self._words, self._calls = words, 0

    def transcribe(self, audio: Audio) -> str:
        self._calls += 1
        return self._words(audio, self._calls)


class GivenMind:
    name = "given"

    def __init__(self, gate: asyncio.Event | None = None) -> None:
        self.asked: list[list[tuple[str, str]]] = []
        self._gate = gate

    async def reply(self, turns: Sequence[tuple[str, str]]) -> AsyncIterator[str]:
        self.asked.append(list(turns))
        yield ANSWER[:14]
        if self._gate is not None:
            await asyncio.wait_for(self._gate.wait(), 5)
        yield ANSWER[14:]


class ToneMouth:
    """Half a second of tone a word."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.cuts: list[float] = []
        self.spoke = asyncio.Event()

    async def hear(self, audio: Audio, words: str) -> None:
        self.log.append(f"heard {words}")

    async def say(self, sentence: str) -> AsyncGenerator[Samples, None]:
        self.log.append(f"said {sentence}")
        for _ in sentence.split():
            self.spoke.set()
            yield (0.2 * np.sin(np.arange(12_000) / 10)).astype(np.float32)
            await asyncio.sleep(0)

    def hush(self) -> None:
        self.log.append("hushed")

    async def cut(self, heard_seconds: float) -> str:
        self.cuts.append(heard_seconds)
        return "what was heard"


class Call:
    """One call, to its end."""

    def __init__(self, sound: Sequence[Samples | float], words: Recognise, gated: bool = False) -> None:
        pieces = [np.zeros(int(24_000 * piece), np.float32) if isinstance(piece, float) else piece for piece in sound]
        self.line = FileLine(RecordedCaller(np.concatenate(pieces)), fast=True)
        self.events: list[TalkEvent] = []
        asyncio.run(self._run(words, gated))

    async def _run(self, words: Recognise, gated: bool) -> None:
        self.mouth = ToneMouth()
        self.mind = GivenMind(self.mouth.spoke if gated else None)
        self.talker = Talker(
            self.line, Listener(SemanticVad()), GivenEars(words), self.mind, self.mouth, self.events.append
        )
        async with asyncio.timeout(60):
            await self.talker.run()

    def of(self, kind: type) -> list:
        return [event for event in self.events if isinstance(event, kind)]


def long_is_a_sentence(audio: Audio, call: int) -> str:
    return "He was not an ill disposed young man." if audio.seconds > 2 else "Mm-hm."


def test_a_turn_is_heard_and_answered_to_its_end() -> None:
    call = Call([0.5, SENTENCE], long_is_a_sentence)
    (answered,) = call.of(Answered)
    assert answered.words == ANSWER
    assert answered.seconds == pytest.approx(0.5 * len(ANSWER.split()))
    assert [event.words for event in call.of(Heard)] == ["He was not an ill disposed young man."]
    assert call.talker.history == [("user", "He was not an ill disposed young man."), ("assistant", ANSWER)]
    assert call.mouth.log[0].startswith("heard"), "the voice hears their turn before it answers"
    marks = answered.times.marks
    assert 400 < marks["endpoint"] < 900
    assert [*answered.times.budget()] == ["endpoint", "words", "thought", "phrase", "sound"]


def test_it_speaks_while_the_language_model_still_writes() -> None:
    call = Call([0.5, SENTENCE], long_is_a_sentence, gated=True)  # the rest of the text waits for the first sound
    assert len(call.of(Answered)) == 1
    assert not call.of(Failed)


def test_an_interruption_silences_at_once_and_cuts_to_what_was_heard() -> None:
    call = Call([0.5, SENTENCE, 2.0, SENTENCE, 0.1], lambda audio, number: "Wait, that is wrong.")
    (interrupted,) = call.of(Interrupted)
    assert call.mouth.cuts == [interrupted.heard_seconds]
    assert 0.75 <= interrupted.after_seconds <= 0.95
    onset = int((0.5 + 2.75 + 2.0) * 24_000)
    stopped = onset + int(1.2 * 24_000)
    assert not call.line.played[stopped : stopped + 12_000].any(), "nothing is played on into their words"
    assert ("assistant", "what was heard—") in call.talker.history
    assert len(call.of(Heard)) == 2, "the words that interrupted are a turn of their own"
    assert call.mind.asked[1][-1] == ("user", "Wait, that is wrong.")
    assert call.mind.asked[1][-2] == ("assistant", "what was heard—")


def test_a_backchannel_does_not_interrupt() -> None:
    call = Call([0.5, SENTENCE, 2.0, SHORT], long_is_a_sentence)
    assert [event.words for event in call.of(Ignored)] == ["Mm-hm."]
    assert not call.of(Interrupted)
    assert call.of(Answered)[0].words == ANSWER
    assert len(call.mind.asked) == 1


def test_brief_words_of_another_kind_are_weighed_by_their_speech_not_by_the_silence_after_it() -> None:
    call = Call(
        [0.5, SENTENCE, 2.0, SHORT], lambda audio, number: "He was not an ill man." if number == 1 else "My mom"
    )
    assert [event.words for event in call.of(Ignored)] == ["My mom"]
    assert not call.of(Interrupted)


def test_speech_without_words_does_not_interrupt() -> None:
    call = Call([0.5, SENTENCE, 2.0, SENTENCE], lambda audio, number: "He was not." if number == 1 else "")
    assert call.of(Ignored)
    assert not call.of(Interrupted)


def test_it_is_softer_while_it_is_not_clear_what_they_want() -> None:
    call = Call([0.5, SENTENCE, 2.0, SHORT], long_is_a_sentence)
    onset = int((0.5 + 2.75 + 2.0) * 24_000)
    during = np.abs(call.line.played[onset + 12_000 : onset + 14_000]).max()
    after = np.abs(call.line.played[onset + 60_000 : onset + 62_000]).max()
    assert during == pytest.approx(0.05, abs=0.01)
    assert after == pytest.approx(0.2, abs=0.01)


def test_a_part_that_fails_is_told_and_the_talk_goes_on() -> None:
    def words(audio: Audio, number: int) -> str:
        if number == 1:
            raise BackendUnavailable("The recogniser is away.")
        return "He was not."

    call = Call([0.5, SENTENCE, 3.0, SENTENCE], words)
    assert "away" in call.of(Failed)[0].message
    assert len(call.of(Answered)) == 1


def test_silence_is_not_answered() -> None:
    call = Call([2.0], long_is_a_sentence)
    assert call.events == []


def test_a_fast_call_takes_the_same_decisions_every_time() -> None:
    first, second = (Call([0.5, SENTENCE, 2.0, SENTENCE], lambda audio, number: "No, wait.") for _ in range(2))
    assert [type(event) for event in first.events] == [type(event) for event in second.events]
    assert np.array_equal(first.line.played, second.line.played)
