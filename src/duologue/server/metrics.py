"""What Prometheus reads at /metrics: waiting, speaking, time to first audio, real-time factor, under-runs."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

SECONDS = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.8, 1.2, 2.0, 3.0, 5.0, 10.0)
FACTORS = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 4.0)
ROWS = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """One server's figures, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.first_audio = Histogram(
            "duologue_time_to_first_audio_seconds",
            "From the request's arrival to its first frame of sound.",
            buckets=SECONDS,
            registry=registry,
        )
        self.real_time_factor = Histogram(
            "duologue_real_time_factor",
            "Time to speak, without waiting for slow readers, over the duration of the speech.",
            buckets=FACTORS,
            registry=registry,
        )
        self.under_runs = Counter(
            "duologue_under_runs", "Times when a listener who plays at once would have run dry.", registry=registry
        )
        self.audio_seconds = Counter("duologue_audio_seconds", "Seconds of speech made.", registry=registry)
        self.streams = Counter(
            "duologue_streams", "Streams of speech by how they ended.", ["outcome"], registry=registry
        )
        self.refused = Counter(
            "duologue_refused", "Requests sent away before they spoke, by code.", ["code"], registry=registry
        )
        self.active = Gauge("duologue_streams_active", "Rows that speak now.", registry=registry)
        self.waiting = Gauge("duologue_streams_waiting", "Requests that wait for a row.", registry=registry)
        self.capacity = Gauge(
            "duologue_streams_capacity", "Rows that may speak at the same time at present.", registry=registry
        )
        self.throughput = Gauge(
            "duologue_speech_seconds_per_second", "What all rows make together, as measured; 0: unknown.",
            registry=registry,
        )  # fmt: skip
        self.step_seconds = Histogram(
            "duologue_step_seconds", "Time of one frame step of the engine.", buckets=SECONDS, registry=registry
        )
        self.step_rows = Histogram(
            "duologue_step_rows", "Rows in one frame step of the engine.", buckets=ROWS, registry=registry
        )
        self.conversations = Gauge("duologue_conversations", "Conversations that exist.", registry=registry)
        self.warm_conversations = Gauge(
            "duologue_conversations_warm", "Conversations whose keys and values are in memory.", registry=registry
        )

    def observe_step(self, rows: int, seconds: float) -> None:
        self.step_rows.observe(rows)
        self.step_seconds.observe(seconds)

    def text(self) -> bytes:
        """The figures in Prometheus' text format."""
        return generate_latest(self.registry)


class PlayClock:
    """Counts under-runs: would a listener who plays the first chunk at once ever wait for a later one?"""

    def __init__(self) -> None:
        self.under_runs = 0
        self._plays_until: float | None = None

    def chunk(self, now: float, seconds: float) -> None:
        """A chunk of `seconds` exists at time `now` (which leaves out pauses made for a slow reader)."""
        if self._plays_until is not None and now > self._plays_until:
            self.under_runs += 1
        self._plays_until = max(now, self._plays_until or now) + seconds
