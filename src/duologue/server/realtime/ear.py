"""One client's microphone: the buffer, and where turns begin and end in it. Knows no words and no events of the API."""

from __future__ import annotations

import numpy as np

from ...agent.turn_detection import Event, SemanticVad, ServerVad, SpeechStopped, TurnDetector, TurnState
from ...agent.vad import WINDOW_SAMPLES, SileroVad
from ...audio import Samples
from ...timebase import RATE_HZ

KEPT_SECONDS = 6.0  # before a turn begins: more than the longest padding


class Ear:
    """Samples count from the first one that the client sent."""

    def __init__(self, vad: SileroVad | None) -> None:
        self._vad = vad
        self._hearing = None if vad is None else vad.new_state()
        self._turns: TurnDetector | None = None
        self._turn = TurnState()
        self._blocks: list[Samples] = []
        self._first = 0  # sample at which the first block starts
        self.samples = 0  # taken in so far

    @property
    def buffered(self) -> int:
        """Samples that wait to become a turn."""
        return self.samples - self._first

    @property
    def turn_start(self) -> int | None:
        """Where the turn that goes on began."""
        return self._turn.start

    @property
    def spoken_until(self) -> int:
        """The sample after the last speech so far."""
        return self._turn.spoken_until

    def detect(self, settings: ServerVad | SemanticVad | None) -> None:
        """Find turns this way from now on; None leaves it to the client."""
        if self._turns is not None and self._turns.settings == settings:
            return
        self._turns = None if settings is None else TurnDetector(settings)
        heard = self.samples // WINDOW_SAMPLES
        self._turn = TurnState(windows=heard, free_from=heard * WINDOW_SAMPLES)

    def push(self, samples: Samples) -> list[Event]:
        """Take in sound; what it says about turns. Events come in the order of their samples."""
        if len(samples):
            self._blocks.append(samples)
            self.samples += len(samples)
        if self._vad is None or self._hearing is None:
            return []
        probabilities, self._hearing = self._vad.step(samples, self._hearing)
        if self._turns is None:
            return []
        events, self._turn = self._turns.step(probabilities, self._turn)
        if not self._turn.speaking and not events:
            self.drop_before(self.samples - int(KEPT_SECONDS * RATE_HZ))
        return events

    def understood(self, words: str, pause: SpeechStopped) -> None:
        """Which words came before a pause."""
        if self._turns is not None:
            self._turn = self._turns.heard(words, pause, self._turn)

    def sound(self, start: int | None = None, end: int | None = None) -> Samples:
        """What is kept between two samples; by default everything."""
        whole = np.concatenate([np.zeros(0, np.float32), *self._blocks])
        first = 0 if start is None else max(0, start - self._first)
        return whole[first : None if end is None else max(0, end - self._first)]

    def drop_before(self, sample: int) -> None:
        """Forget whole blocks before a sample."""
        while self._blocks and self._first + len(self._blocks[0]) <= sample:
            self._first += len(self._blocks.pop(0))

    def clear(self) -> None:
        """Forget the buffer, and the turn that goes on in it."""
        self._blocks.clear()
        self._first = self.samples
        if self._turns is not None:
            self._turn = self._turns.forget(self._turn)
