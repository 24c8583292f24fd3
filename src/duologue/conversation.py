"""A conversation: hear what others said, say the next turn, keep the sound of both as context.

Own speech is never encoded again: its codes, and the model's keys and values, stay from turn to turn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from typing import Protocol

import numpy as np

from .audio import Audio, AudioLike, is_silent, normalise_level, to_audio
from .conversation_file import read_turns, write_turns
from .csm.frames import Segment
from .engine.base import Engine
from .errors import AudioError, InputError
from .speaking import Codec, GenerationConfig, Sentence, Speech
from .spoken_context import HeardTurn, SpokenContext
from .timebase import frames_to_seconds, seconds_to_frames
from .voice import Voice
from .weights.load import ModelCard

DEFAULT_ACCENT = "american"


@dataclass(frozen=True, eq=False)
class Turn:
    """A turn of the past as a user gives it: who said which words, and, if it is known, the sound."""

    speaker: int
    text: str
    audio: AudioLike | None = None
    rate_hz: int | None = None


class Reader(Protocol):
    """How one model reads text: words to sentences, sentences to ids."""

    def sentences(self, text: str, speaker: int, accent: str, normalise: bool) -> list[Sentence]:
        """Split a text of any length into sentences with their ids."""
        ...

    def turn(self, text: str, speaker: int, accent: str, normalise: bool) -> Sentence:
        """Take a whole turn as one piece, as it is done for turns that were heard."""
        ...

    def words_of_ids(self, text: str, accent: str) -> np.ndarray | None:
        """For each id of a sentence, which of its words it belongs to (-1: none); None if that can't be told."""
        ...


class SpeechModel(Protocol):
    """What a conversation asks of a model."""

    engine: Engine
    reader: Reader
    usual: GenerationConfig  # how the model speaks if nothing else is asked for
    card: ModelCard

    @property
    def codec(self) -> Codec:
        """Sound to codes and back."""
        ...

    def pinned_context(self, voices: Sequence[Voice]) -> SpokenContext:
        """A past that holds these voices' prompts."""
        ...


class Conversation:
    """Turns of several speakers, in one model's memory. Made by `Model.conversation`; not for two threads at once."""

    def __init__(
        self,
        model: SpeechModel,
        voices: Mapping[int, Voice],
        options: GenerationConfig | None = None,
        speaker: int | None = None,
    ) -> None:
        """`voices` by speaker number are pinned in front; `speaker` is the number that `say` uses by itself."""
        self._model = model
        self._voices = dict(voices)
        self._options = options or GenerationConfig()
        prompts = [replace(voice, speaker=self._number(n)) for n, voice in self._voices.items()]
        self._context = model.pinned_context(prompts)
        self.speaker = speaker if speaker is not None else next(iter(self._voices), 0)
        self.dropped: list[HeardTurn] = []

    @property
    def turns(self) -> list[HeardTurn]:
        """The turns still in memory, oldest first; voice prompts are not among them."""
        return list(self._context.turns)

    @property
    def voices(self) -> dict[int, Voice]:
        """The voices that are pinned, by speaker number."""
        return dict(self._voices)

    @property
    def context_seconds(self) -> float:
        """Seconds of sound in memory, voice prompts included."""
        return frames_to_seconds(self._context.frames)

    def hear(
        self, audio: AudioLike | None, text: str, speaker: int = 1, *, rate_hz: int | None = None
    ) -> list[HeardTurn]:
        """Take in somebody's turn: its sound (None if only the words are known) and its words.

        Returns the turns that left the memory to make room. Raises AudioError for silence, InputError without words.
        """
        read = self._model.reader.turn(text, self._number(speaker), self._accent(speaker), self._options.normalise)
        codes = None if audio is None else self._codes(to_audio(audio, rate_hz))
        turn = HeardTurn(speaker, read.text, Segment(read.ids, codes), accent=self._accent(speaker))
        dropped = self._context.add(turn)
        self.dropped += dropped
        return dropped

    def _codes(self, audio: Audio) -> np.ndarray:
        if is_silent(audio.samples):
            raise AudioError("The turn is silent.", hint="Leave silent turns out of the conversation.", field="audio")
        return self._model.codec.encode(normalise_level(audio).samples)

    def say(
        self, text: str, *, speaker: int | None = None, seed: int | None = None, options: GenerationConfig | None = None
    ) -> Audio:
        """Speak the next turn, whole. Raises SpeechError if no attempt was good; the turn is then not remembered."""
        return self.stream(text, speaker=speaker, seed=seed, options=options).collect()

    def stream(
        self, text: str, *, speaker: int | None = None, seed: int | None = None, options: GenerationConfig | None = None
    ) -> Speech:
        """Speak the next turn as it is made: iterate for samples. The same arguments as `say`, the same samples."""
        who = self.speaker if speaker is None else speaker
        options = (options or self._options).over(self._model.usual)
        sentences = self._model.reader.sentences(text, self._number(who), self._accent(who), options.normalise)
        speech = Speech(self._context, self._model.codec, sentences, who, seed, options, self._accent(who))
        speech.dropped = self.dropped
        return speech

    def _number(self, speaker: int) -> int:
        """The speaker number that the model reads: the same, unless the model's voices have numbers of their own."""
        if not self._model.card.fixed_voices:
            return speaker
        if speaker in self._voices:
            return self._voices[speaker].speaker
        taken = {voice.speaker for voice in self._voices.values()}
        return speaker if speaker not in taken else min(set(range(len(taken) + 1)) - taken)

    def _accent(self, speaker: int) -> str:
        voice = self._voices.get(speaker)
        return voice.accent if voice else DEFAULT_ACCENT

    def cut(self, heard_seconds: float, turns: range | None = None) -> str:
        """The listener interrupted: keep only what was heard of the last own turn (the sentences since the last other).

        `turns` names other ones to cut, by their numbers in `self.turns`. Sound is cut on the 80 ms grid, words in
        proportion. Returns the words that remain.
        """
        past = self.turns
        which = self._own_tail() if turns is None else turns
        if not which:
            raise InputError("There is no own turn to cut.", hint="cut() follows say().", field="heard_seconds")
        left = seconds_to_frames(max(0.0, heard_seconds))
        kept: list[HeardTurn] = []
        for turn in past[which.start : which.stop]:
            shortened = self._shortened(turn, left)
            left -= turn.frames
            if shortened is not None:
                kept.append(shortened)
        self.rewrite([*past[: which.start], *kept, *past[which.stop :]])
        return " ".join(turn.text for turn in kept)

    def rewrite(self, turns: Sequence[HeardTurn]) -> None:
        """Let the past be these turns, most of them from `self.turns`; those that stay in front aren't read again."""
        past = self.turns
        same = 0
        while same < min(len(past), len(turns)) and past[same] is turns[same]:
            same += 1
        for _ in past[same:]:
            self._context.remove_last()
        for turn in turns[same:]:
            self.dropped += self._context.add(turn)

    def _own_tail(self) -> range:
        turns = self._context.turns
        first = len(turns)
        while first and turns[first - 1].own and turns[first - 1].speaker == turns[-1].speaker:
            first -= 1
        return range(first, len(turns))

    def _shortened(self, turn: HeardTurn, frames: int) -> HeardTurn | None:
        """The first `frames` frames of a turn with their share of its words; None if nothing is left."""
        whole = max(turn.frames, turn.planned_frames)  # speech that was broken off holds words that never sounded
        if frames >= turn.frames == whole:
            return turn
        words = turn.text.split()
        frames = min(frames, turn.frames)
        kept = round(len(words) * frames / whole) if whole else 0
        if frames <= 0 or turn.segment.codes is None:
            return None
        text = " ".join(words[: max(1, kept)])
        read = self._model.reader.turn(text, self._number(turn.speaker), turn.accent, False)
        return replace(turn, text=text, segment=Segment(read.ids, turn.segment.codes[:, :frames]), planned_frames=0)

    def save(self, path: str | PathLike[str]) -> None:
        """Write turns and voices to one file. Keys and values are not stored; resuming reads the codes again."""
        write_turns(path, self._context.turns, self._voices, self.speaker, self._model.codec.fingerprint)

    @classmethod
    def resume(
        cls, model: SpeechModel, path: str | PathLike[str], options: GenerationConfig | None = None
    ) -> Conversation:
        """Go on where `save` left off. Raises InputError for another codec's codes or a damaged file."""
        saved = read_turns(path, model.codec.fingerprint)
        conversation = cls(model, saved.voices, options, saved.speaker)
        for turn in saved.turns:
            conversation.dropped += conversation._context.add(turn)
        return conversation
