"""Turns that are spoken at once, as rows of one batch, each handed out in its own order. Knows no text and no sound."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from .engine.base import Engine, Frame
from .engine.generator import Utterance, step


class SideBySide:
    """Asked for one turn's next frame, it draws one of every turn that has not ended, and keeps the others'."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._rows: dict[Utterance, deque[Frame]] = {}  # frames drawn and not handed out

    def add(self, utterance: Utterance) -> None:
        """Let a turn join, at any frame of the others."""
        self._rows[utterance] = deque()

    def drop(self, utterance: Utterance) -> None:
        """Let it leave, wherever it is."""
        self._rows.pop(utterance, None)

    def frames(self, utterance: Utterance) -> Iterator[Frame]:
        """A turn's frames to its end; why it ended stands in utterance.ending."""
        drawn = self._rows[utterance]
        while drawn or utterance.ending is None:
            if not drawn:
                self._step()
            if drawn:
                yield drawn.popleft()

    def _step(self) -> None:
        going = [utterance for utterance in self._rows if utterance.ending is None]
        for utterance, frame in zip(going, step(self._engine, going), strict=True):
            if frame is not None:
                self._rows[utterance].append(frame)
