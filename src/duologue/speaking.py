"""One speech from a list of sentences: frames drawn, decoded, checked, retried, joined, reported.

Knows the engine and the codec by their contracts only; words reach it as ids.
"""

from __future__ import annotations

import hashlib
import secrets
import sys
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
import numpy.typing as npt

from .audio import Audio, Samples, SpeechReport, SpokenPart
from .csm.frames import Segment
from .engine.generator import Limits, Utterance
from .errors import Cancelled, EmptySpeech, InputError, SpeechError
from .generation_config import GenerationConfig
from .longtext import SentenceJoiner
from .pacing import Pace
from .side_by_side import SideBySide
from .speech_checks import Expectation, LoopWatch, check_speech
from .spoken_context import HeardTurn, SpokenContext
from .timebase import FRAME_SAMPLES, FRAMES_PER_SECOND, samples_to_seconds, seconds_to_frames

Codes = npt.NDArray[np.int64]
__all__ = ["Codec", "Decoder", "GenerationConfig", "PlacedSentence", "Sentence", "Speech", "new_seed", "seed_of"]


class Decoder(Protocol):
    """One stream of sound being decoded."""

    def decode(self, codes: Codes) -> Samples:
        """The next frames of codes (K,T) as samples (N,)."""
        ...

    def fork(self) -> Decoder:
        """A second stream from the same past."""
        ...


class Codec(Protocol):
    """Sound to codes and back, for one conversation partner at a time."""

    fingerprint: str  # tells codecs apart; codes are only good for the codec that made them
    exact_pieces: bool  # whether its samples are the same, bit for bit, however a stream's frames are cut into calls

    def encode(self, samples: Samples) -> Codes:
        """Samples (N,) as codes (K,T)."""
        ...

    def decoder(self) -> Decoder:
        """A new stream of sound."""
        ...


@dataclass(frozen=True)
class Sentence:
    """A piece of text, and the ids (U,) that the model reads for it."""

    text: str
    ids: npt.NDArray[np.int64]


def new_seed() -> int:
    """A seed nobody chose, small enough to type."""
    return secrets.randbelow(2**31)


def seed_of(seed: int, sentence: int, attempt: int) -> int:
    """The seed of one attempt at one sentence: the given one for the first attempt at the first sentence."""
    if sentence == 0 and attempt == 0:
        return seed
    digest = hashlib.blake2b(f"{seed}/{sentence}/{attempt}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big")


@dataclass(frozen=True)
class PlacedSentence:
    """Where a sentence lies in the sound that leaves, and which of its ids is spoken at each of its frames."""

    sentence: Sentence
    start: int  # sample at which its first frame falls
    seam: int  # sample at which the last cut before it lies: no frame of it is heard sooner
    frames: int  # of it that were joined so far
    pointers: Sequence[int] | None  # (frames or more,) with aligned text


@dataclass
class _Attempt:
    """One try at one sentence. It has a decoder from the moment that all sound before it is known."""

    utterance: Utterance
    context: SpokenContext  # in which it is spoken
    limited: bool  # the caller's limit is the tighter one
    start: int = 0  # samples of all sentences before it
    decoder: Decoder | None = None
    taken: int = 0  # frames that were asked for; beside other sentences there can be more
    waiting: list[Codes] = field(default_factory=list)  # drawn and not decoded, (K,) each
    chunks: list[Samples] = field(default_factory=list)

    def segment(self) -> Segment:
        """The turn as far as it was asked for."""
        whole = self.utterance.segment()
        if self.taken == len(self.utterance.codes) or whole.codes is None:
            return whole
        pointers = None if whole.pointers is None else whole.pointers[: self.taken + 1]
        return replace(whole, codes=whole.codes[:, : self.taken], pointers=pointers)

    def decode(self) -> Samples:
        """The waiting frames as sound."""
        assert self.decoder is not None
        self.chunks.append(self.decoder.decode(np.stack(self.waiting, axis=1)))
        self.waiting.clear()
        return self.chunks[-1]

    def sound(self) -> Samples:
        """All of it so far."""
        if self.waiting:
            self.decode()
        return np.concatenate(self.chunks) if self.chunks else np.zeros(0, np.float32)

    @property
    def stop(self) -> str:
        ending = self.utterance.ending if self.taken == len(self.utterance.codes) else None
        return "end" if ending in ("eos", "tail") else "max_seconds" if ending == "max_frames" else "closed"


class Speech:
    """Speech under way: iterate for samples (N,) float32 as they are made, one frame of 80 ms or more at a time.

    A sentence that fails its checks is spoken again with a new seed as long as none of its sound has left. Iterating
    directly, sound leaves at once, so only a sentence without any sound can be tried again and other failures are
    raised where they are found; `checked` and `collect` hold each sentence back until it is good. All give the same
    samples for the same seed when nothing fails. `close` stops within a frame; what was spoken stays in the context.
    """

    def __init__(
        self,
        context: SpokenContext,
        codec: Codec,
        sentences: Sequence[Sentence],
        speaker: int,
        seed: int | None,
        options: GenerationConfig,
        accent: str = "american",
    ) -> None:
        if not sentences:
            raise InputError("There is no text to speak.", hint="Give at least one word.", field="text")
        self.seed = new_seed() if seed is None else seed
        self.dropped: list[HeardTurn] = []
        self._context, self._codec, self.sentences = context, codec, sentences
        self._speaker, self._options, self.accent = speaker, options, accent
        self._parts: list[SpokenPart] = []
        self._samples = 0
        self._resumed = 0.0
        self._first_audio = 0.0
        self._elapsed = 0.0
        self.unfinished: Samples = np.zeros(0, np.float32)  # of the sentence that was being held back when it broke off
        self.placed: dict[int, PlacedSentence] = {}  # those that have begun to sound, by their number
        self._hold = False
        self._pace = Pace(live=True, together=codec.exact_pieces)
        self._rows = SideBySide(context.engine)
        together = options.side_by_side if options.max_seconds is None and len(sentences) > 1 else 1
        self._together, self._ahead = together, dict[int, _Attempt]()
        self._start = context.fork() if together > 1 else context
        self._iterator = self._speak()

    def __iter__(self) -> Iterator[Samples]:
        return self

    def __next__(self) -> Samples:
        self._resumed = time.perf_counter()
        try:
            chunk = next(self._iterator)
        finally:
            self._elapsed += time.perf_counter() - self._resumed
        self._samples += len(chunk)
        return chunk

    def close(self) -> None:
        """Stop speaking."""
        self._iterator.close()

    def checked(self) -> Speech:
        """The same speech, but each sentence leaves only once it is good, so that it can still be tried again."""
        self._hold = True
        self._pace = Pace(live=False, together=self._codec.exact_pieces)
        return self

    def collect(self) -> Audio:
        """Speak to the end; each sentence is retried until it is good. Raises SpeechError when the retries are used."""
        chunks = list(self.checked())
        samples = np.concatenate(chunks) if chunks else np.zeros(0, np.float32)
        return Audio(samples, self.report)

    @property
    def report(self) -> SpeechReport:
        """How it went so far. `elapsed_seconds` counts only the time that the speech was being made."""
        return SpeechReport(
            seed=self.seed,
            engine=self._context.engine.name,
            parts=tuple(self._parts),
            seconds=samples_to_seconds(self._samples),
            elapsed_seconds=self._elapsed,
            first_audio_seconds=self._first_audio,
            dropped_turns=len(self.dropped),
        )

    def _speak(self) -> Generator[Samples, None, None]:
        joiner, decoder = SentenceJoiner(), self._codec.decoder()
        frames_left = (
            None if self._options.max_seconds is None else max(1, seconds_to_frames(self._options.max_seconds))
        )
        for index, sentence in enumerate(self.sentences):
            attempt = yield from self._speak_one(index, sentence, decoder, frames_left, joiner)
            assert attempt.decoder is not None
            decoder = attempt.decoder
            joiner.next_sentence()
            if frames_left is not None:
                frames_left -= len(attempt.utterance.codes)
            if attempt.stop == "max_seconds" or frames_left == 0:
                break
        rest = joiner.finish()
        if len(rest):
            yield rest

    def _speak_one(
        self, index: int, sentence: Sentence, decoder: Decoder, frames_left: int | None, joiner: SentenceJoiner
    ) -> Generator[Samples, None, _Attempt]:
        """Attempts at one sentence until one is good; returns that attempt."""
        for number in range(self._options.retries + 1):
            seed = seed_of(self.seed, index, number)
            attempt = self._attempt(index, number, frames_left)
            attempt.decoder, attempt.start = decoder.fork(), joiner.taken
            left = False
            try:
                for chunk in self._frames(sentence, attempt):
                    if not self._hold and len(out := self._joined(index, attempt, chunk, joiner)):
                        left = True
                        yield out
            except SpeechError as error:
                self._forget(attempt)
                if left or number == self._options.retries:
                    raise _explained(error, number + 1, seed, left) from None
                continue
            except GeneratorExit:
                if not sys.is_finalizing():
                    with suppress(Cancelled):  # nobody kept the stream, and its engine went first
                        self._keep(sentence, attempt, seed, number + 1)
                raise
            except BaseException:
                self._forget(attempt)
                if self._hold and attempt.utterance.codes:
                    self.unfinished = attempt.sound()
                raise
            start = samples_to_seconds(self._samples)
            self._keep(sentence, attempt, seed, number + 1, start)
            if self._hold:
                joined = (self._joined(index, attempt, chunk, joiner) for chunk in attempt.chunks)
                yield from (out for out in joined if len(out))
            return attempt
        raise AssertionError("the last attempt returns or raises")

    def _joined(self, index: int, attempt: _Attempt, chunk: Samples, joiner: SentenceJoiner) -> Samples:
        """What leaves once a chunk has come, and from then on it is known where the sentence lies."""
        out = joiner.push(chunk)
        if not joiner.joining:
            start, frames = attempt.start - joiner.removed, (joiner.taken - attempt.start) // FRAME_SAMPLES
            pointers = None if attempt.utterance.pointer is None else attempt.utterance.pointers
            self.placed[index] = PlacedSentence(self.sentences[index], start, joiner.seam, frames, pointers)
        return out

    def _attempt(self, index: int, number: int, frames_left: int | None) -> _Attempt:
        """Begin to speak a sentence, and those that are to be spoken beside it; some have begun already."""
        if self._together == 1:
            return self._begin(self._context, index, number, frames_left)
        first = index + (1 if number else 0)
        for later in range(first, min(len(self.sentences), index + self._together)):
            if later not in self._ahead:
                self._ahead[later] = self._begin(self._start.fork(), later, 0, None)
        return self._begin(self._start.fork(), index, number, None) if number else self._ahead.pop(index)

    def _begin(self, context: SpokenContext, index: int, number: int, frames_left: int | None) -> _Attempt:
        sentence = self.sentences[index]
        max_frames = Expectation.of_text(sentence.text).max_frames
        limited = frames_left is not None and frames_left < max_frames
        if limited and frames_left is not None:
            max_frames = frames_left
        dropped = context.make_room(len(sentence.ids), max_frames)
        self.dropped += dropped if context is self._context else []
        sampling = self._options.sampling(seed_of(self.seed, index, number))
        utterance = context.begin(sentence.ids, sampling, Limits(max_frames))
        self._rows.add(utterance)
        return _Attempt(utterance, context, limited)

    def _frames(self, sentence: Sentence, attempt: _Attempt) -> Iterator[Samples]:
        """Draw and check frame by frame, decode as the pace allows, and check the whole at the end."""
        watch = LoopWatch()
        self._pace.resume()
        for frame in self._rows.frames(attempt.utterance):
            if self._options.check:
                watch.push(frame.codes)
            attempt.taken += 1
            attempt.waiting.append(frame.codes)
            if self._pace.ready(len(attempt.waiting)):
                yield self._decoded(attempt)
                self._pace.resume()
        if attempt.waiting:
            yield self._decoded(attempt)
        if not self._options.check:
            if not attempt.chunks:
                raise EmptySpeech("The model ended its turn without a frame.")
            return
        samples = attempt.sound()
        ended = attempt.stop == "end"
        expected = Expectation.of_text(sentence.text)
        check_speech(sentence.text, samples, ended=ended, limited=attempt.limited and not ended, expected=expected)

    def _decoded(self, attempt: _Attempt) -> Samples:
        frames = len(attempt.waiting)
        chunk = attempt.decode()
        if not self._first_audio:
            self._first_audio = self._elapsed + time.perf_counter() - self._resumed
        self._pace.leave(frames)
        return chunk

    def _keep(self, sentence: Sentence, attempt: _Attempt, seed: int, tries: int, start: float = 0.0) -> None:
        """Make the spoken sentence part of the past, and of the report."""
        utterance = attempt.utterance
        planned = Expectation.of_text(sentence.text).usual_frames if attempt.stop == "closed" else 0
        turn = HeardTurn(self._speaker, sentence.text, attempt.segment(), True, self.accent, planned)
        self._rows.drop(utterance)
        if not attempt.taken:
            self._forget(attempt)
        elif attempt.context is self._context:
            self._context.keep(utterance, turn)
        else:
            self.dropped += self._context.add(turn)
        seconds = attempt.taken / FRAMES_PER_SECOND
        self._parts.append(SpokenPart(sentence.text, seed, tries, attempt.stop, start, seconds))

    def _forget(self, attempt: _Attempt) -> None:
        self._rows.drop(attempt.utterance)
        attempt.context.abandon()


def _explained(error: SpeechError, attempts: int, seed: int, left: bool) -> SpeechError:
    """The same error with what was tried."""
    why = "its sound had already left, so it could not be tried again" if left else f"{attempts} attempts"
    return type(error)(f"{error.message} ({why}; last seed {seed})", hint=error.hint)
