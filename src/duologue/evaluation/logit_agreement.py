"""How near one engine's logits are to another's, draw by draw, on speech that both are made to speak.

The reference engine speaks held-out sentences once (`record`). Then every engine is fed the same rows and codes
(teacher forcing), and what it would have drawn from is compared with what the reference drew from. Knows no sound, and
not how an engine stores its weights.

    turns = record(model, sentences)                       # model: any that api.load gives
    reference = Reference(model.engine, turns)             # its logits, kept
    agreement = reference.compare(other, sampling)         # KL, top-1, greedy, changed draws
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ..api import Model
from ..csm.config import CsmConfig
from ..engine.base import Cache, Engine, Frame, FrameRequest, FrameSampling, Guide, Sampling
from ..engine.native_engine import FrameTrace
from ..engine.sampling import forbidden_codes
from ..errors import InputError
from ..speaking import GenerationConfig

Ids = npt.NDArray[np.int64]
Logits = npt.NDArray[np.float64]
GREEDY = FrameSampling(0, Sampling(0.0), Sampling(0.0), Sampling(0.0))


class TracingEngine(Protocol):
    """An engine that also shows what it draws from, as NativeEngine does."""

    config: CsmConfig
    name: str

    def new_cache(self) -> Cache: ...
    def prefill(self, cache: Cache, rows: np.ndarray, positions: np.ndarray) -> None: ...
    def frames(self, requests: list[FrameRequest]) -> list[Frame]: ...
    def trace(self, request: FrameRequest, codes: Ids | None = None) -> tuple[Frame, FrameTrace]: ...


@dataclass(frozen=True)
class ForcedTurn:
    """All rows (S, columns) that a conversation was fed, their positions (S,), and the codes (K,) drawn after some."""

    rows: Ids
    positions: Ids
    codes: dict[int, Ids]


@dataclass(frozen=True)
class Draws:
    """Figures of one kind of draw: codebook 0, the other codebooks, or the pointer."""

    count: int
    kl_nats: float  # of the engine's distribution from the reference's, at temperature 1, mean
    kl_95_percent: float  # 95 of 100 draws lie below
    top_1_percent: float  # the largest logit is the same
    changed_percent: (
        float  # under the given sampling, draws that come out otherwise by the best coupling (total variation)
    )


@dataclass(frozen=True)
class Agreement:
    """One engine against the reference."""

    reference: str
    engine: str
    frames: int
    first: Draws
    depth: Draws | None  # None with one codebook
    advance: Draws | None  # None without aligned text
    kl_nats: float  # per draw of a code, codebook 0 and the others together
    kl_by_codebook: tuple[float, ...]
    hidden_snr_db: float  # the backbone's normalized hidden state
    greedy_codes_percent: float  # codes of whole frames drawn greedily from the same past

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def record(model: Model, sentences: Sequence[str], voice: str | None = None, seed: int = 1) -> list[ForcedTurn]:
    """Let the model speak the sentences, and keep what its engine was fed and drew. The model itself stays as it is."""
    recorder = _Recorder(model.engine)
    observed = Model(model.card, recorder, model.codec, model.reader, model.voices)
    for sentence in sentences:
        observed.generate(sentence, voice=voice, seed=seed, options=GenerationConfig(retries=0, check=False))
    return [cache.turn() for cache in recorder.caches if cache.codes]


class Reference:
    """The reference engine's logits on some turns, to compare any number of engines with."""

    def __init__(self, engine: TracingEngine, turns: Sequence[ForcedTurn]) -> None:
        if not any(turn.codes for turn in turns):
            raise InputError("There is no frame to compare engines on.", field="turns")
        self.engine, self.turns = engine, list(turns)
        self._seen = list(_observe(engine, self.turns))

    def compare(self, engine: TracingEngine, sampling: FrameSampling) -> Agreement:
        """Feed the same rows and codes to another engine; changed draws are counted under `sampling`."""
        if (engine.config.columns, engine.config.codebook_size) != (self._columns, self.engine.config.codebook_size):
            raise InputError("The engines are of different models.", field="engine")
        config, books = self.engine.config, self.engine.config.num_codebooks
        first, depth, moves = _Kind(sampling.first), _Kind(sampling.depth), _Kind(sampling.advance)
        eos, entries = ~forbidden_codes(config, 0, allow_eos=True), config.codec_entries
        same, signal, noise = 0, 0.0, 0.0
        for (wanted, greedy), (seen, own_greedy) in zip(self._seen, _observe(engine, self.turns), strict=True):
            first.add(wanted.first_logits[None, eos], seen.first_logits[None, eos])
            if books > 1:
                depth.add(wanted.depth_logits[:, :entries], seen.depth_logits[:, :entries])
            if config.aligned is not None:
                moves.add(wanted.advance_logits[None], seen.advance_logits[None])
            same += int((greedy == own_greedy).sum())
            signal += float(np.square(wanted.hidden.astype(np.float64)).sum())
            noise += float(np.square(wanted.hidden.astype(np.float64) - seen.hidden).sum())
        frames = len(self._seen)
        by_codebook = [float(np.mean(first.kl)), *np.reshape(depth.kl, (frames, books - 1)).mean(axis=0)]
        return Agreement(
            reference=self.engine.name,
            engine=engine.name,
            frames=frames,
            first=_draws(first),
            depth=_draws(depth) if books > 1 else None,
            advance=_draws(moves) if config.aligned is not None else None,
            kl_nats=float(np.mean(by_codebook)),
            kl_by_codebook=tuple(float(value) for value in by_codebook),
            hidden_snr_db=float("inf") if noise == 0 else 10 * float(np.log10(signal / noise)),
            greedy_codes_percent=100 * same / (frames * books),
        )

    @property
    def _columns(self) -> int:
        return self.engine.config.columns


class _Kind:
    """Comparisons of draws under one sampling."""

    def __init__(self, sampling: Sampling) -> None:
        self._sampling = sampling
        self.kl: list[float] = []
        self.top_1: list[bool] = []
        self.changed: list[float] = []

    def add(self, wanted: npt.NDArray[np.float32], seen: npt.NDArray[np.float32]) -> None:
        """Logits (draws,V) of the reference and of the engine."""
        p, q = _log_softmax(wanted), _log_softmax(seen)
        self.kl += np.maximum(0.0, np.sum(np.exp(p) * (p - q), axis=1)).tolist()
        self.top_1 += (wanted.argmax(1) == seen.argmax(1)).tolist()
        difference = drawn_from(wanted, self._sampling) - drawn_from(seen, self._sampling)
        self.changed += (0.5 * np.abs(difference).sum(axis=1)).tolist()


def drawn_from(logits: npt.NDArray[np.float32], sampling: Sampling) -> Logits:
    """The probabilities (draws,V) from which engine.sampling.pick draws, given logits of that shape."""
    best = logits.argmax(1)[:, None]
    if sampling.temperature == 0.0:
        return np.asarray(np.arange(logits.shape[1]) == best, np.float64)
    scaled = logits.astype(np.float64) / sampling.temperature
    if 0 < sampling.top_k < logits.shape[1]:
        order = np.argsort(-logits, axis=1, kind="stable")
        np.put_along_axis(scaled, order[:, sampling.top_k :], -np.inf, axis=1)
    weights = np.exp(scaled - np.take_along_axis(scaled, best, axis=1))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def _draws(kind: _Kind) -> Draws:
    return Draws(
        len(kind.kl),
        float(np.mean(kind.kl)),
        float(np.percentile(kind.kl, 95)),
        100 * float(np.mean(kind.top_1)),
        100 * float(np.mean(kind.changed)),
    )


def _log_softmax(logits: npt.NDArray[np.float32]) -> Logits:
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))


def _observe(engine: TracingEngine, turns: Sequence[ForcedTurn]) -> Iterator[tuple[FrameTrace, Ids]]:
    """Each frame's logits under the forced codes, and the codes that the engine itself would take greedily."""
    for turn in turns:
        cache, row = engine.new_cache(), 0
        for place in sorted(turn.codes):
            engine.prefill(cache, turn.rows[row:place], turn.positions[row:place])
            request = FrameRequest(cache, turn.rows[place], int(turn.positions[place]), 0, GREEDY)
            greedy = engine.frames([replace(request, cache=cache.fork())])[0].codes
            yield engine.trace(request, turn.codes[place])[1], greedy
            row = place + 1


class _RecordedCache:
    """A cache that remembers its rows, and the codes drawn after them."""

    def __init__(self, inner: Cache, recorder: _Recorder) -> None:
        self.inner, self._recorder = inner, recorder
        self.rows: list[Ids] = []
        self.positions: list[int] = []
        self.codes: dict[int, Ids] = {}
        recorder.caches.append(self)

    @property
    def length(self) -> int:
        return self.inner.length

    def fork(self) -> _RecordedCache:
        """The fork knows the rows; codes already drawn are compared once, in the original."""
        copy = _RecordedCache(self.inner.fork(), self._recorder)
        copy.rows, copy.positions = list(self.rows), list(self.positions)
        return copy

    def truncate(self, length: int) -> None:
        self.inner.truncate(length)
        del self.rows[length:], self.positions[length:]
        self.codes = {place: codes for place, codes in self.codes.items() if place < length}

    def turn(self) -> ForcedTurn:
        return ForcedTurn(np.stack(self.rows), np.array(self.positions, np.int64), dict(self.codes))


class _Recorder:
    """An engine that hands everything on and remembers it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.config, self.name = engine.config, engine.name
        self.caches: list[_RecordedCache] = []

    def new_cache(self) -> _RecordedCache:
        return _RecordedCache(self._engine.new_cache(), self)

    def prefill(self, cache: Cache, rows: np.ndarray, positions: np.ndarray) -> None:
        assert isinstance(cache, _RecordedCache)
        self._engine.prefill(cache.inner, rows, positions)
        cache.rows += list(np.asarray(rows, np.int64))
        cache.positions += [int(position) for position in positions]

    def frames(self, requests: list[FrameRequest]) -> list[Frame]:
        caches = [request.cache for request in requests if isinstance(request.cache, _RecordedCache)]
        inner = [
            replace(request, cache=cache.inner, guide=_inner_guide(request.guide))
            for request, cache in zip(requests, caches, strict=True)
        ]
        frames = self._engine.frames(inner)
        for request, cache, frame in zip(requests, caches, frames, strict=True):
            cache.codes[len(cache.rows)] = np.asarray(frame.codes, np.int64)
            cache.rows.append(np.asarray(request.row, np.int64))
            cache.positions.append(request.position)
        return frames


def _inner_guide(guide: Guide | None) -> Guide | None:
    if guide is None:
        return None
    assert isinstance(guide.cache, _RecordedCache)
    return Guide(guide.cache.inner, guide.row)
