"""When does somebody's turn begin and end? Probabilities of speech (vad.py) and words in, events out. Knows no sound.

A turn begins when speech goes on for a tenth of a second. It ends by the clock (`ServerVad`: so much silence) or by
sense (`SemanticVad`: a pause ends it soon if the words sound finished, late if they don't). The names and defaults of
the settings are those of OpenAI's Realtime API.

    vad, turns = SileroVad(), TurnDetector(SemanticVad())
    hearing, turn = vad.new_state(), turns.new_state()
    for samples in microphone:  # float32 at 24 kHz, pieces of any length
        probabilities, hearing = vad.step(samples, hearing)
        events, turn = turns.step(probabilities, turn)
        for event in events:
            match event:
                case SpeechStarted(sample): ...  # perhaps an interruption: ask `interrupts`
                case SpeechStopped(sample): turn = turns.heard(recognise(...), event, turn)  # optional, may come late
                case SpeechResumed(sample): ...  # it was a pause within the turn
                case TurnEnded(start, end): ...  # the turn's sound is samples[start:end]
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from ..errors import InputError
from ..timebase import RATE_HZ
from .vad import WINDOW_SAMPLES, WINDOW_SECONDS
from .word_cues import finished

Eagerness = Literal["low", "medium", "high", "auto"]
ONSET_WINDOWS = 3  # speech this long is speech; shorter is a click
PAUSE_SECONDS = 0.2  # a silence this long is a pause
KEPT_AFTER_SECONDS = 0.2  # silence that stays at the end of a turn
RELEASE = 0.15  # speech goes on down to this far below the threshold
SHORTEST_WAIT = {"low": 0.8, "medium": 0.45, "auto": 0.45, "high": 0.25}  # seconds after words that are finished
LONGEST_WAIT = {"low": 8.0, "medium": 4.0, "auto": 4.0, "high": 2.0}  # after words that can't be: OpenAI's ceilings
UNKNOWN = 0.6  # how finished a pause sounds while its words aren't known


@dataclass(frozen=True)
class ServerVad:
    """Silence of a fixed length ends a turn."""

    threshold: float = 0.5  # probability from which a window counts as speech
    prefix_padding_ms: int = 300  # sound kept from before the speech was noticed
    silence_duration_ms: int = 500

    def __post_init__(self) -> None:
        if not 0.0 < self.threshold < 1.0:
            raise InputError(f"threshold is {self.threshold}.", hint="Use 0.1 to 0.9.", field="threshold")
        for name, most in (("prefix_padding_ms", 5_000), ("silence_duration_ms", 10_000)):
            if not 0 <= getattr(self, name) <= most:
                raise InputError(f"{name} is {getattr(self, name)}.", hint=f"Use 0 to {most}.", field=name)


@dataclass(frozen=True)
class SemanticVad:
    """The words decide how long a pause has to be to end a turn."""

    eagerness: Eagerness = "auto"  # auto is medium
    threshold: float = 0.5
    prefix_padding_ms: int = 300

    def __post_init__(self) -> None:
        if self.eagerness not in SHORTEST_WAIT:
            known = ", ".join(SHORTEST_WAIT)
            raise InputError(f"eagerness is {self.eagerness!r}.", hint=f"Use one of {known}.", field="eagerness")
        ServerVad(self.threshold, self.prefix_padding_ms)

    def wait_seconds(self, sense: float) -> float:
        """How long to wait after words that sound finished to this degree, 0 to 1."""
        shortest, longest = SHORTEST_WAIT[self.eagerness], LONGEST_WAIT[self.eagerness]
        return shortest * (longest / shortest) ** (1.0 - sense)


@dataclass(frozen=True)
class SpeechStarted:
    """A turn has begun; its sound starts at this sample, padding included."""

    sample: int


@dataclass(frozen=True)
class SpeechStopped:
    """Speech fell silent at this sample. The turn may go on: a good moment to recognise its words so far."""

    sample: int


@dataclass(frozen=True)
class SpeechResumed:
    """Speech went on at this sample, within the turn."""

    sample: int


@dataclass(frozen=True)
class TurnEnded:
    """The turn is over; its sound is samples[start:end]."""

    start: int
    end: int


Event = SpeechStarted | SpeechStopped | SpeechResumed | TurnEnded


@dataclass(frozen=True)
class TurnState:
    """Where one microphone stands. Samples count from the first one that the voice activity network heard."""

    windows: int = 0  # heard so far
    start: int | None = None  # first sample of the turn that goes on; None between turns
    loud: int = 0  # windows of speech in a row, while that may become an onset
    silent: int = 0  # windows without speech, in a row, within the turn
    paused: bool = False  # SpeechStopped was said
    sense: float | None = None  # how finished the words before this pause are; None: not known
    free_from: int = 0  # the padding doesn't reach back beyond this sample

    @property
    def speaking(self) -> bool:
        """Whether a turn goes on."""
        return self.start is not None

    @property
    def samples(self) -> int:
        """How many samples were heard, in whole windows."""
        return self.windows * WINDOW_SAMPLES

    @property
    def spoken_until(self) -> int:
        """Where the last speech of the turn that goes on ended: silence that may turn out to be its end is left out."""
        return self.samples - self.silent * WINDOW_SAMPLES


class TurnDetector:
    """Turns of one kind of setting, for any number of microphones; each has its own state."""

    def __init__(self, settings: ServerVad | SemanticVad) -> None:
        self.settings = settings

    def new_state(self) -> TurnState:
        """Nothing was heard yet."""
        return TurnState()

    def step(self, probabilities: Sequence[float], state: TurnState) -> tuple[list[Event], TurnState]:
        """Take in probabilities of speech, one for each 32 ms, as `SileroVad.step` gives them."""
        events: list[Event] = []
        for probability in probabilities:
            found, state = self._window(probability, replace(state, windows=state.windows + 1))
            events += found
        return events, state

    def heard(self, words: str, pause: SpeechStopped, state: TurnState) -> TurnState:
        """Say which words came before a pause, as far as they are known. A pause that is over isn't judged."""
        if not state.paused or state.spoken_until != pause.sample:
            return state
        return replace(state, sense=finished(words))

    def forget(self, state: TurnState) -> TurnState:
        """Leave the turn that goes on, if one does: its sound was taken or dropped."""
        return TurnState(windows=state.windows, free_from=state.samples)

    def _window(self, probability: float, state: TurnState) -> tuple[list[Event], TurnState]:
        if state.start is None:
            return self._between(probability, state)
        if probability >= self.settings.threshold - RELEASE:
            return self._goes_on(state)
        return self._falls_silent(state)

    def _between(self, probability: float, state: TurnState) -> tuple[list[Event], TurnState]:
        state = replace(state, loud=state.loud + 1 if probability >= self.settings.threshold else 0)
        if state.loud < ONSET_WINDOWS:
            return [], state
        padding = self.settings.prefix_padding_ms * RATE_HZ // 1_000
        start = max(state.free_from, state.samples - state.loud * WINDOW_SAMPLES - padding)
        return [SpeechStarted(start)], replace(state, start=start, loud=0)

    def _goes_on(self, state: TurnState) -> tuple[list[Event], TurnState]:
        resumed = [SpeechResumed(state.samples - WINDOW_SAMPLES)] if state.paused else []
        return [*resumed], replace(state, silent=0, paused=False, sense=None)

    def _falls_silent(self, state: TurnState) -> tuple[list[Event], TurnState]:
        state = replace(state, silent=state.silent + 1)
        silence = state.silent * WINDOW_SECONDS
        events: list[Event] = []
        if not state.paused and silence >= min(PAUSE_SECONDS, self._patience(state)):
            state = replace(state, paused=True)
            events.append(SpeechStopped(state.spoken_until))
        if silence < self._patience(state):
            return events, state
        assert state.start is not None
        end = min(state.samples, state.spoken_until + int(KEPT_AFTER_SECONDS * RATE_HZ))
        events.append(TurnEnded(state.start, end))
        return events, TurnState(windows=state.windows, free_from=end)

    def _patience(self, state: TurnState) -> float:
        """Seconds of silence that end the turn."""
        if isinstance(self.settings, ServerVad):
            return self.settings.silence_duration_ms / 1_000
        return self.settings.wait_seconds(UNKNOWN if state.sense is None else state.sense)
