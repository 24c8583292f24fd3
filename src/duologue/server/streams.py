"""One stream of speech: a worker thread speaks and encodes, the event loop sends. Knows no HTTP.

The thread takes frames of sound from a source, bends their tempo, encodes them and puts them into a bounded channel.
When the reader leaves, its next `put` fails, the source is closed, and the row is gone from the next step.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field

import numpy as np

from ..speaking import Speech
from ..timebase import FRAME_SAMPLES, samples_to_seconds
from .admission import Admission, Permit
from .audio_formats import new_encoder
from .channel import Channel, ReaderGoneError
from .errors import ApiError, known
from .metrics import Metrics, PlayClock
from .pace import Pace
from .settings import ServerSettings
from .tempo import Tempo
from .watermark import NewWatermark, Watermark
from .word_times import SpokenWord, WordTimes

log = logging.getLogger("duologue.server")

Source = Callable[[], Iterator[np.ndarray]]


@dataclass(frozen=True)
class Delivery:
    """How samples become bytes."""

    response_format: str = "pcm"
    speed: float = 1.0
    word_times: WordTimes | None = None  # if they are wanted


@dataclass
class Figures:
    """What is known about a stream so far. Times in seconds since the request came."""

    first_audio_seconds: float = 0.0
    samples: int = 0  # as spoken, before a change of tempo
    seconds: float = 0.0
    words: list[SpokenWord] = field(default_factory=list)  # that have begun, if word times are wanted

    @property
    def frames(self) -> int:
        return -(-self.samples // FRAME_SAMPLES)

    @property
    def audio_seconds(self) -> float:
        return samples_to_seconds(self.samples)


class SpeechStream:
    """Encoded chunks of one piece of speech, read once. Leave it early with `aclose`."""

    def __init__(self, channel: Channel[bytes], figures: Figures) -> None:
        self._channel = channel
        self._first: bytes | None = None
        self.figures = figures

    async def begin(self) -> None:
        """Wait until the first frame exists. Raises what made it impossible."""
        try:
            self._first = await self._channel.get()
        except StopAsyncIteration:
            raise ApiError(500, "The model said nothing.", code="speech_failed") from None

    async def chunks(self) -> AsyncIterator[bytes]:
        """The bytes, in order."""
        try:
            if self._first:
                yield self._first
            async for chunk in self._channel:
                if chunk:
                    yield chunk
        finally:
            self._channel.leave()

    @property
    def was_left(self) -> bool:
        """Whether it was left, before its end or after."""
        return self._channel.reader_left

    def leave(self) -> None:
        """Read no further; the row that speaks stops within two frames."""
        self._channel.leave()


class Streams:
    """Starts streams as rows become free, and counts them."""

    def __init__(self, settings: ServerSettings, metrics: Metrics, watermark: NewWatermark | None = None) -> None:
        self._settings = settings
        self._new_watermark = watermark
        self._metrics = metrics
        self._threads = ThreadPoolExecutor(settings.max_streams, thread_name_prefix="duologue-row")
        self.pace = Pace()
        self._at_work: set[_Work] = set()
        self.admission = Admission(settings, self._capacity if settings.real_time else None)
        metrics.active.set_function(lambda: self.admission.active)
        metrics.waiting.set_function(lambda: self.admission.waiting)
        metrics.capacity.set_function(lambda: self.admission.capacity)
        metrics.throughput.set_function(lambda: self.pace.throughput or 0.0)

    async def start(
        self, source: Source, delivery: Delivery, key: str = "", on_end: Callable[[], None] = lambda: None
    ) -> SpeechStream:
        """Wait for a row, begin to speak, and return once the first frame exists.

        `on_end` is called on the event loop when the source is done with, however that came about.
        """
        arrived = time.monotonic()
        try:
            permit = await self.admission.enter(key)
        except BaseException as error:
            on_end()
            if isinstance(error, ApiError):
                self._metrics.refused.labels(error.code or "other").inc()
            raise
        try:
            patience = self._settings.stalled_seconds
            channel: Channel[bytes] = Channel(
                self._settings.buffer_chunks, patience, lambda: self.admission.waiting > 0
            )
            mark = self._new_watermark() if self._new_watermark else None
            work = _Work(source, delivery, channel, self._metrics, arrived, mark, self._made)
            self._run(work, permit, on_end)
        except BaseException:
            permit.release()
            on_end()
            raise
        stream = SpeechStream(channel, work.figures)
        try:
            await stream.begin()
        except BaseException:
            stream.leave()
            raise
        return stream

    def _run(self, work: _Work, permit: Permit, on_end: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()

        def ended() -> None:
            permit.release()
            on_end()

        def run() -> None:
            self._at_work.add(work)
            try:
                work.run()
            finally:
                self._at_work.discard(work)
            try:
                loop.call_soon_threadsafe(ended)
            except RuntimeError:
                log.debug("a row ended after its event loop")

        self._threads.submit(run)

    def _made(self, audio_seconds: float, worked_seconds: float) -> None:
        """A row made a chunk of sound; on its thread."""
        self.pace.chunk(audio_seconds, worked_seconds, sum(not work.is_held for work in [*self._at_work]))

    def _capacity(self) -> int:
        return self.pace.rows(self._settings.max_streams)

    async def close(self) -> None:
        """Let running speech finish within the drain time; whatever still speaks then loses its reader."""
        if not await self.admission.drain():
            log.warning("%d streams still spoke at the end of the drain time", self.admission.active)
        self._threads.shutdown(wait=False, cancel_futures=True)


class _Work:
    """The worker thread's side of a stream."""

    def __init__(
        self,
        source: Source,
        delivery: Delivery,
        channel: Channel[bytes],
        metrics: Metrics,
        arrived: float,
        watermark: Watermark | None,
        made: Callable[[float, float], None],
    ) -> None:
        self._made = made
        self._worked = 0.0  # seconds of work up to the last chunk; what came before the row was free doesn't count
        self._source = source
        self._channel = channel
        self._metrics = metrics
        self._arrived = arrived
        self._encoder = new_encoder(delivery.response_format)
        self._watermark = watermark
        self._tempo = Tempo(delivery.speed)
        self._clock = PlayClock()
        self._rate = delivery.speed
        self._word_times = delivery.word_times
        self.figures = Figures()

    @property
    def is_held(self) -> bool:
        """Whether it stands still because its reader takes nothing."""
        return self._channel.is_held

    def run(self) -> None:
        """Speak to the end, or until nobody listens. Never raises: failures travel through the channel."""
        outcome = "finished"
        self._worked = self._worked_seconds()
        try:
            self._speak()
            self._channel.end()
        except ReaderGoneError as gone:
            outcome = str(gone)
            self._channel.end(ApiError(408, "The reader took nothing for too long.", code="reader_stalled"))
        except Exception as error:  # the border of the worker thread
            outcome = "failed"
            self._channel.end(known(error))
        self._account(outcome)

    def _speak(self) -> None:
        samples = self._source()
        # Closing the generator is what makes a row leave the engine in the middle of its speech.
        with closing(samples):  # type: ignore[type-var]
            for wav in samples:
                self._note(wav)
                if self._word_times is not None and isinstance(samples, Speech):
                    self.figures.words += self._word_times.begun(samples, self._rate)
                self._channel.put(self._encode(self._tempo.push(wav)))
        if self._word_times is not None and isinstance(samples, Speech):
            self.figures.words[:] = self._word_times.spoken(samples, self._rate)
        self._channel.put(self._encode(self._tempo.finish()) + self._encoder.finish())

    def _encode(self, wav: np.ndarray) -> bytes:
        return self._encoder.push(wav if self._watermark is None else self._watermark.push(wav))

    def _note(self, wav: np.ndarray) -> None:
        now = self._worked_seconds()
        self._made(samples_to_seconds(len(wav)), now - self._worked)
        self._worked = now
        if not self.figures.samples:
            self.figures.first_audio_seconds = now
            self._metrics.first_audio.observe(now)
        self.figures.samples += len(wav)
        self.figures.seconds = now
        self._clock.chunk(now, samples_to_seconds(len(wav)) / self._rate)
        self._metrics.audio_seconds.inc(samples_to_seconds(len(wav)))

    def _worked_seconds(self) -> float:
        return time.monotonic() - self._arrived - self._channel.held_seconds

    def _account(self, outcome: str) -> None:
        self._metrics.streams.labels(outcome).inc()
        self._metrics.under_runs.inc(self._clock.under_runs)
        if outcome == "finished" and self.figures.samples:
            spoken = self.figures.seconds - self.figures.first_audio_seconds
            self._metrics.real_time_factor.observe(spoken / self.figures.audio_seconds)
