"""What an agent tells about a talk, for people and for logs, and where the time between two turns went."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

STAGES = ("endpoint", "words", "thought", "phrase", "sound")


@dataclass
class TurnTimes:
    """Milliseconds since the other side fell silent, in the order in which things usually happen.

    `endpoint`: their turn is known to be over; `words`: it is recognised (perhaps earlier, in the pause); `thought`:
    the language model's first token; `phrase`: its first phrase is whole; `sound`: the first samples of our answer.
    """

    silent_at: float
    marks: dict[str, float] = field(default_factory=dict)

    def note(self, stage: str, now: float) -> None:
        """Something happened for the first time."""
        self.marks.setdefault(stage, 1000 * (now - self.silent_at))

    def to_dict(self) -> dict[str, float]:
        """The marks, rounded."""
        return {stage: round(self.marks[stage], 1) for stage in STAGES if stage in self.marks}

    def budget(self) -> dict[str, float]:
        """What each stage added to the wait; their sum is the time to the first sound."""
        added, reached = {}, 0.0
        for stage in STAGES:
            if stage in self.marks:
                added[stage] = round(max(0.0, self.marks[stage] - reached), 1)
                reached = max(reached, self.marks[stage])
        return added


class _Plain:
    """An event as plain values."""

    def to_dict(self) -> dict[str, Any]:
        """For JSON; times as their marks in milliseconds."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}  # type: ignore[arg-type]
        return {name: value.to_dict() if isinstance(value, TurnTimes) else value for name, value in values.items()}


@dataclass(frozen=True)
class Heard(_Plain):
    """The other side's turn: its words and how long it lasted."""

    words: str
    seconds: float


@dataclass(frozen=True)
class Said(_Plain):
    """A phrase of ours begins to be spoken."""

    phrase: str


@dataclass(frozen=True)
class Answered(_Plain):
    """Our answer was played to its end."""

    words: str
    seconds: float
    times: TurnTimes


@dataclass(frozen=True)
class Interrupted(_Plain):
    """The other side took the floor. `words` are those that were heard of our answer."""

    words: str
    heard_seconds: float
    after_seconds: float  # from the onset of their speech to our silence


@dataclass(frozen=True)
class Ignored(_Plain):
    """Sound into our answer that was no wish to speak: "mhm", a cough. `words` may be empty."""

    words: str


@dataclass(frozen=True)
class Failed(_Plain):
    """A part failed; the talk goes on."""

    message: str


TalkEvent = Heard | Said | Answered | Interrupted | Ignored | Failed
