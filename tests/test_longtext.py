"""Sentences join without clicks and without silent gaps, and nothing that sounds is lost."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from duologue.longtext import SentenceJoiner

from .tiny import speech_like

RATE = 24_000


def silence(seconds: float) -> np.ndarray:
    return np.zeros(int(seconds * RATE), np.float32)


def spoken(seconds: float, seed: int = 0) -> np.ndarray:
    """Sound without any quiet 10 ms."""
    return 0.2 * np.sin(np.arange(int(seconds * RATE)) * 0.05 + seed).astype(np.float32)


def join(sentences: list[np.ndarray], pieces: list[int] | None = None) -> np.ndarray:
    joiner, out = SentenceJoiner(), []
    for index, sentence in enumerate(sentences):
        if index:
            joiner.next_sentence()
        cuts = np.cumsum(pieces or [1920] * (len(sentence) // 1920 + 1))
        out += [joiner.push(piece) for piece in np.split(sentence, cuts[cuts < len(sentence)])]
    return np.concatenate([*out, joiner.finish()])


def test_the_first_frame_leaves_at_once_even_if_it_is_quiet() -> None:
    assert len(SentenceJoiner().push(silence(0.08))) == 1920
    assert len(SentenceJoiner().push(spoken(0.08))) == 1920


def test_one_sentence_passes_unchanged() -> None:
    sentence = np.concatenate([silence(0.3), spoken(1.0), silence(1.5), spoken(0.5), silence(0.4)])
    assert np.array_equal(join([sentence]), sentence)


def test_a_long_gap_between_sentences_is_shortened_and_a_short_one_is_not() -> None:
    long = join([np.concatenate([spoken(1.0), silence(1.2)]), np.concatenate([silence(0.8), spoken(1.0)])])
    assert abs(len(long) / RATE - 2.4) < 0.02
    short = [np.concatenate([spoken(1.0), silence(0.15)]), np.concatenate([silence(0.15), spoken(1.0)])]
    assert np.array_equal(join(short), np.concatenate(short))


def test_a_join_makes_no_click() -> None:
    hum = 0.001 * np.sin(np.arange(2 * RATE) * 0.05).astype(np.float32)  # quiet, but not nothing
    swell = np.sin(np.linspace(0, np.pi, RATE)).astype(np.float32) * spoken(1.0)  # begins and ends at zero
    joined = join([np.concatenate([swell, hum]), np.concatenate([hum[:RATE], swell])])
    assert len(joined) < 3 * RATE  # 3 s of hum were shortened
    assert np.abs(np.diff(joined)).max() <= np.abs(np.diff(swell)).max() + 0.002


@settings(max_examples=40)
@given(
    st.lists(st.tuples(st.floats(0, 0.6), st.floats(0.05, 0.5), st.floats(0, 0.6)), min_size=1, max_size=4),
    st.lists(st.integers(1, 4000), min_size=30, max_size=30),
)
def test_any_chunking_gives_the_same_sound_and_all_of_it(
    sentences: list[tuple[float, float, float]], pieces: list[int]
) -> None:
    parts = [np.concatenate([silence(a), spoken(b, i), silence(c)]) for i, (a, b, c) in enumerate(sentences)]
    loud = sum(int(b * RATE) for _, b, _ in sentences)
    for chunking in (None, pieces):
        joined = join(parts, chunking)
        assert np.count_nonzero(np.abs(joined) > 1e-6) >= loud - 200 * len(parts)
        assert len(joined) <= sum(len(part) for part in parts)


def test_speech_is_not_cut_inside_words() -> None:
    sentence = speech_like(3.0)
    assert np.array_equal(join([sentence, sentence])[: len(sentence) - 4800], sentence[: len(sentence) - 4800])


def test_a_cut_may_lie_within_the_next_sentence_s_own_silence() -> None:
    joiner = SentenceJoiner()
    first = len(joiner.push(spoken(0.5, 0)))
    joiner.push(silence(0.1))
    joiner.next_sentence()
    came = joiner.taken
    joined = joiner.push(np.concatenate([silence(1.0), spoken(0.5, 1)]))
    assert came - joiner.removed < first, "its first frame would fall into the sentence before"
    assert joiner.seam == first + int(0.2 * RATE), "but nothing of it is heard before the cut"
    assert np.array_equal(joined[joiner.seam - first + int(0.2 * RATE) :], spoken(0.5, 1))


@settings(max_examples=40)
@given(st.lists(st.tuples(st.floats(0, 0.6), st.floats(0.05, 0.3), st.floats(0, 0.6)), min_size=1, max_size=4))
def test_it_is_known_where_each_sentence_lies(sentences: list[tuple[float, float, float]]) -> None:
    joiner, out, starts = SentenceJoiner(), [], []
    for index, (before, loud, after) in enumerate(sentences):
        if index:
            joiner.next_sentence()
        came = joiner.taken
        out += [joiner.push(part) for part in (silence(before), spoken(loud, index), silence(after))]
        assert not joiner.joining
        starts.append(came - joiner.removed)
    joined = np.concatenate([*out, joiner.finish()])
    for index, ((before, loud, _), start) in enumerate(zip(sentences, starts, strict=True)):
        begins = start + int(before * RATE)
        middle = slice(begins + 240, begins + int(loud * RATE) - 240)  # the fade of a cut may reach into its edges
        assert np.array_equal(joined[middle], spoken(loud, index)[240 : int(loud * RATE) - 240])
