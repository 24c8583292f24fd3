"""One speech from a list of sentences: frames drawn, decoded, checked, retried, joined, reported.

Knows the engine and the codec by their contracts only; words reach it as ids.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
import numpy.typing as npt

from .audio import Audio, Samples, SpeechReport, SpokenPart
from .engine.base import FrameSampling, Sampling
from .engine.generator import Limits, Utterance, generate_frames
from .errors import EmptySpeech, InputError, SpeechError
from .longtext import SentenceJoiner
from .pacing import Pace
from .speech_checks import Expectation, LoopWatch, check_speech
from .spoken_context import HeardTurn, SpokenContext
from .timebase import FRAMES_PER_SECOND, samples_to_seconds, seconds_to_frames

Codes = npt.NDArray[np.int64]
MAX_RETRIES = 20


@dataclass(frozen=True)
class GenerationConfig:
    """How to speak. `temperature` and `top_k` None are the model's own choice (0.9 and 50 if it makes none); `depth_*`
    and `advance_temperature` override their stage, None leaves the common value.

    `guidance` above 1 draws codes further from what the model would say without the words (classifier-free guidance,
    for models trained with hidden words; twice the work); None is the model's own choice, 1 is off.

    `max_seconds` limits the whole speech; `retries` is how often a sentence that failed its checks is tried again
    with another seed; `check` False returns whatever the model gives; `normalise` False leaves the text as written.
    """

    temperature: float | None = None
    top_k: int | None = None
    depth_temperature: float | None = None
    depth_top_k: int | None = None
    advance_temperature: float | None = None
    guidance: float | None = None
    max_seconds: float | None = None
    retries: int = 3
    check: bool = True
    normalise: bool = True

    def __post_init__(self) -> None:
        for name in ("temperature", "depth_temperature", "advance_temperature"):
            value = getattr(self, name)
            if value is not None and not 0.0 <= value <= 10.0:
                raise InputError(f"{name} is {value}; it goes from 0 (greedy) to 10.", field=name)
        if self.guidance is not None and not 0.0 <= self.guidance <= 10.0:
            raise InputError(f"guidance is {self.guidance}; it goes from 0 to 10, 1 is off.", field="guidance")
        for name in ("top_k", "depth_top_k"):
            value = getattr(self, name)
            if value is not None and value < 0:
                raise InputError(f"{name} is {value}; 0 keeps all codes.", field=name)
        if self.max_seconds is not None and not 0.08 <= self.max_seconds <= 36_000:
            raise InputError(f"max_seconds is {self.max_seconds}; at least 0.08 is needed.", field="max_seconds")
        if not 0 <= self.retries <= MAX_RETRIES:
            raise InputError(f"retries is {self.retries}; 0 to {MAX_RETRIES} are possible.", field="retries")

    def over(self, usual: GenerationConfig) -> GenerationConfig:
        """These options, with a model's usual sampling where none was asked for."""
        heat = ("temperature", "depth_temperature", "advance_temperature") if self.temperature is None else ()
        top = ("top_k", "depth_top_k") if self.top_k is None else ()
        given = {name: getattr(self, name) for name in (*heat, *top, "guidance")}
        return replace(self, **{name: getattr(usual, name) for name, value in given.items() if value is None})

    def sampling(self, seed: int) -> FrameSampling:
        """The frames' sampling under a seed."""
        usual = FrameSampling()
        heat = usual.first.temperature if self.temperature is None else self.temperature
        top_k = usual.first.top_k if self.top_k is None else self.top_k
        depth_heat = heat if self.depth_temperature is None else self.depth_temperature
        depth = Sampling(depth_heat, top_k if self.depth_top_k is None else self.depth_top_k)
        move = min(heat, usual.advance.temperature) if self.advance_temperature is None else self.advance_temperature
        first, advance = Sampling(heat, top_k), Sampling(move, usual.advance.top_k)
        return FrameSampling(seed, first, depth, advance, 1.0 if self.guidance is None else self.guidance)


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


@dataclass
class _Attempt:
    """One try at one sentence."""

    utterance: Utterance
    decoder: Decoder
    max_frames: int
    limited: bool  # the caller's limit is the tighter one
    waiting: list[Codes] = field(default_factory=list)  # drawn and not decoded, (K,) each
    chunks: list[Samples] = field(default_factory=list)

    def decode(self) -> Samples:
        """The waiting frames as sound."""
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
        ending = self.utterance.ending
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
        self._context, self._codec, self._sentences = context, codec, sentences
        self._speaker, self._options, self._accent = speaker, options, accent
        self._parts: list[SpokenPart] = []
        self._samples = 0
        self._resumed = 0.0
        self._first_audio = 0.0
        self._elapsed = 0.0
        self.unfinished: Samples = np.zeros(0, np.float32)  # of the sentence that was being held back when it broke off
        self._hold = False
        self._pace = Pace(live=True, together=codec.exact_pieces)
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
        for index, sentence in enumerate(self._sentences):
            attempt = yield from self._speak_one(index, sentence, decoder, frames_left, joiner)
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
            attempt = self._begin(sentence, seed, decoder.fork(), frames_left)
            left = False
            try:
                for chunk in self._frames(sentence, attempt):
                    if not self._hold and len(out := joiner.push(chunk)):
                        left = True
                        yield out
            except SpeechError as error:
                self._context.abandon()
                if left or number == self._options.retries:
                    raise _explained(error, number + 1, seed, left) from None
                continue
            except GeneratorExit:
                self._keep(sentence, attempt, seed, number + 1)
                raise
            except BaseException:
                self._context.abandon()
                if self._hold and attempt.utterance.codes:
                    self.unfinished = attempt.sound()
                raise
            start = samples_to_seconds(self._samples)
            self._keep(sentence, attempt, seed, number + 1, start)
            if self._hold:
                yield from (out for chunk in attempt.chunks if len(out := joiner.push(chunk)))
            return attempt
        raise AssertionError("the last attempt returns or raises")

    def _begin(self, sentence: Sentence, seed: int, decoder: Decoder, frames_left: int | None) -> _Attempt:
        expected = Expectation.of_text(sentence.text)
        max_frames = expected.max_frames
        limited = frames_left is not None and frames_left < max_frames
        if limited and frames_left is not None:
            max_frames = frames_left
        self.dropped += self._context.make_room(len(sentence.ids), max_frames)
        sampling = self._options.sampling(seed)
        utterance = self._context.begin(sentence.ids, sampling, Limits(max_frames))
        return _Attempt(utterance, decoder, max_frames, limited)

    def _frames(self, sentence: Sentence, attempt: _Attempt) -> Iterator[Samples]:
        """Draw and check frame by frame, decode as the pace allows, and check the whole at the end."""
        watch = LoopWatch()
        self._pace.resume()
        for frame in generate_frames(self._context.engine, attempt.utterance):
            if self._options.check:
                watch.push(frame.codes)
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
        turn = HeardTurn(self._speaker, sentence.text, utterance.segment(), True, self._accent, planned)
        if utterance.codes:
            self._context.keep(utterance, turn)
        else:
            self._context.abandon()
        seconds = len(utterance.codes) / FRAMES_PER_SECOND
        self._parts.append(SpokenPart(sentence.text, seed, tries, attempt.stop, start, seconds))


def _explained(error: SpeechError, attempts: int, seed: int, left: bool) -> SpeechError:
    """The same error with what was tried."""
    why = "its sound had already left, so it could not be tried again" if left else f"{attempts} attempts"
    return type(error)(f"{error.message} ({why}; last seed {seed})", hint=error.hint)
