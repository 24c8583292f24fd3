"""The ears of an agent: blocks of the line in, turns out, each with its sound.

Puts voice activity, turn detection and the echo guard together; recognises no word itself.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..audio import Audio, Samples
from .echo import EchoGuard
from .parts import Block
from .turn_detection import Event, SemanticVad, ServerVad, SpeechStopped, TurnDetector
from .vad import WINDOW_SAMPLES, SileroVad

KEPT_BLOCKS = 3_000  # 96 s
MAYBE_SPEECH = 0.35  # from this probability on it is worth asking whether it is an echo


class Listener:
    """Hears one line."""

    def __init__(self, settings: ServerVad | SemanticVad, *, guard_echo: bool = True) -> None:
        self._vad, self._turns = SileroVad(), TurnDetector(settings)
        self._hearing, self._turn = self._vad.new_state(), self._turns.new_state()
        self._echo = EchoGuard() if guard_echo else None
        self._blocks: list[Samples] = []
        self._dropped = 0  # blocks that are no longer kept
        self._since_played = KEPT_BLOCKS

    @property
    def samples(self) -> int:
        """Samples heard so far."""
        return (self._dropped + len(self._blocks)) * WINDOW_SAMPLES

    @property
    def speaking(self) -> bool:
        """Whether a turn of theirs goes on."""
        return self._turn.speaking

    @property
    def spoken_until(self) -> int:
        """The sample after their last speech so far."""
        return self._turn.spoken_until

    def push(self, block: Block) -> Iterator[Event]:
        """Hear a block; what it means for the turns."""
        self._blocks.append(block.heard)
        surplus = len(self._blocks) - KEPT_BLOCKS
        if surplus > 0:
            del self._blocks[:surplus]
            self._dropped += surplus
        probabilities, self._hearing = self._vad.step(block.heard, self._hearing)
        if self._echoes(block, max(probabilities, default=0.0)):
            probabilities = [0.0] * len(probabilities)
        events, self._turn = self._turns.step(probabilities, self._turn)
        yield from events

    def _echoes(self, block: Block, probability: float) -> bool:
        if self._echo is None:
            return False
        self._echo.push(block)
        self._since_played = 0 if block.played.any() else self._since_played + 1
        recently = self._since_played * WINDOW_SAMPLES < 24_000
        return recently and probability >= MAYBE_SPEECH and self._echo.is_echo

    def sound(self, start: int | None = None, end: int | None = None) -> Audio:
        """What was heard from sample to sample; by default the turn that goes on."""
        start = (self._turn.start or 0) if start is None else start
        first = max(0, start // WINDOW_SAMPLES - self._dropped)
        heard = np.concatenate([np.zeros(0, np.float32), *self._blocks[first:]])
        offset = (self._dropped + first) * WINDOW_SAMPLES
        return Audio(heard[max(0, start - offset) : None if end is None else end - offset])

    def understood(self, words: str, pause: SpeechStopped) -> None:
        """Say which words came before a pause, so that the wait for more can be short or long."""
        self._turn = self._turns.heard(words, pause, self._turn)

    def forget(self) -> None:
        """Drop the turn that goes on."""
        self._turn = self._turns.forget(self._turn)
