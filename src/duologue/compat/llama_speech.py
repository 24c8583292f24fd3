"""Turns spoken as llama.cpp's CSM command speaks them: one after the other into one past, each in one piece.

    <bos>[0]words<eos> frames audio-EOS <bos>[1]words<eos> frames audio-EOS …        one KV cache, one stream of sound

Nothing is split, checked or tried again; `duologue dialogue` does that. Knows no command line and no files.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ..api import Model
from ..conversation import DEFAULT_ACCENT
from ..engine.generator import Ending, Limits, generate_frames
from ..errors import ContextTooLong
from ..speaking import GenerationConfig, Sentence, seed_of
from ..speech_checks import Expectation
from ..spoken_context import HeardTurn
from ..timebase import frames_to_seconds
from ..voice import Voice
from .llama_prompt import PromptTurn
from .stage_clock import StageClock, StageReport, StageSeconds

Codes = npt.NDArray[np.int64]


@dataclass(frozen=True)
class SpokenTurn:
    """One turn as it came out."""

    turn: PromptTurn
    ids: npt.NDArray[np.int64]
    codes: Codes  # (K,T)
    ending: Ending  # "eos": by itself; else it was stopped
    dropped_turns: int  # older turns that had to leave the past for this one

    @property
    def ended(self) -> bool:
        """Whether its words were over; False: the limit on its frames stopped it."""
        return self.ending != "max_frames"


class LlamaSpeech:
    """A performance under way: `speak` the turns, then read the `report`."""

    def __init__(
        self,
        model: Model,
        voices: Mapping[int, Voice | str],
        seed: int,
        options: GenerationConfig,
        max_frames: int | None = None,
    ) -> None:
        """`voices` are prompts by speaker number. `max_frames` limits each turn; None is what its words can take."""
        self._model, self._seed, self._options, self._max_frames = model, seed, options.over(model.usual), max_frames
        self._voices = {number: model.voice(voice) for number, voice in voices.items()}
        prompts = [replace(voice, speaker=self._number(number)) for number, voice in self._voices.items()]
        self._context = model.pinned_context(prompts)
        self._spent, self._frames, self._drawn = StageSeconds(), 0, 0
        self._began, self._first, self._total = 0.0, 0.0, 0.0

    def speak(self, turns: Sequence[PromptTurn]) -> Iterator[Codes | SpokenTurn]:
        """Speak the turns: each frame's codes (K,1) as it is drawn, and each turn as a whole when it is over."""
        self._began = time.perf_counter()
        clock = StageClock(self._model.engine)
        try:
            for index, turn in enumerate(turns):
                yield from self._speak_one(turn, seed_of(self._seed, index, 0), clock)
                self._total = time.perf_counter() - self._began
        finally:
            clock.close()

    def report(self) -> StageReport:
        """Time and tokens of what was spoken so far."""
        books = self._model.config.num_codebooks
        seconds = frames_to_seconds(self._frames)
        return StageReport(self._spent, self._drawn, self._drawn * books, self._total, seconds, self._first)

    def _speak_one(self, turn: PromptTurn, seed: int, clock: StageClock) -> Iterator[Codes | SpokenTurn]:
        read = self._model.reader.turn(
            turn.text, self._number(turn.speaker), self._accent(turn.speaker), self._options.normalise
        )
        limit, dropped = self._make_room(read)
        utterance = self._context.begin(read.ids, self._options.sampling(seed), Limits(limit))
        before = clock.read()
        for frame in generate_frames(self._model.engine, utterance):
            self._first = self._first or time.perf_counter() - self._began
            yield frame.codes[:, None]
        self._spent += clock.read() - before
        self._drawn += len(utterance.codes) + (utterance.ending == "eos")
        self._frames += len(utterance.codes)
        segment = utterance.segment()
        said = HeardTurn(turn.speaker, read.text, segment, own=True, accent=self._accent(turn.speaker))
        self._context.keep(utterance, said)
        assert segment.codes is not None and utterance.ending is not None
        yield SpokenTurn(turn, read.ids, segment.codes, utterance.ending, dropped)

    def _make_room(self, read: Sentence) -> tuple[int, int]:
        """Frames that this turn may have, and how many older turns left so that its words can be spoken."""
        context, before = self._context, len(self._context.turns)
        likely = Expectation.of_text(read.text).max_frames
        wanted = likely if self._max_frames is None else self._max_frames
        try:
            context.make_room(len(read.ids), min(wanted, likely))
        except ContextTooLong:  # the past is empty now; what is left may do
            if not context.frames_left(len(read.ids)):
                raise
        return min(wanted, context.frames_left(len(read.ids))), before - len(context.turns)

    def _number(self, speaker: int) -> int:
        """The number that the model reads: a voice that the model was trained on keeps its own."""
        voice = self._voices.get(speaker)
        return voice.speaker if voice is not None and self._model.card.fixed_voices else speaker

    def _accent(self, speaker: int) -> str:
        voice = self._voices.get(speaker)
        return voice.accent if voice is not None else DEFAULT_ACCENT


def own_voices(model: Model, turns: Sequence[PromptTurn]) -> dict[int, Voice | str]:
    """The model's own voice of each speaker's number, where it has one."""
    numbered = {voice.speaker: name for name, voice in model.voices.items()}
    return {turn.speaker: numbered[turn.speaker] for turn in turns if turn.speaker in numbered}
