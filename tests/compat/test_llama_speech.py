"""Turns are interleaved with their sound in one past, closed by the audio's end, as the pull request does it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import duologue
from duologue.api import Model
from duologue.compat.llama_prompt import PromptTurn, parse_prompt
from duologue.compat.llama_speech import LlamaSpeech, SpokenTurn, own_voices
from duologue.csm.frames import Segment, lay_out
from duologue.engine.base import Cache, Frame, FrameRequest
from duologue.errors import ContextTooLong
from duologue.speaking import GenerationConfig
from tests.compat.models import sesame_like

PROMPT = "[0]Did you sleep well?\n[1]Like a stone, thanks.[0]And you look rested."


class Watching:
    """An engine that notes every row it is fed, in order."""

    def __init__(self, engine: object) -> None:
        self.engine = engine
        self.rows: list[np.ndarray] = []
        self.positions: list[int] = []
        self.seeds: list[int] = []

    def __getattr__(self, name: str) -> object:
        return getattr(self.engine, name)

    def prefill(self, cache: Cache, rows: np.ndarray, positions: np.ndarray) -> None:
        self.rows += list(rows)
        self.positions += [int(position) for position in positions]
        self.engine.prefill(cache, rows, positions)  # type: ignore[attr-defined]

    def frames(self, requests: list[FrameRequest]) -> list[Frame]:
        self.rows += [request.row for request in requests]
        self.positions += [request.position for request in requests]
        self.seeds += [request.sampling.seed for request in requests]
        return self.engine.frames(requests)  # type: ignore[attr-defined,no-any-return]


@pytest.fixture
def model(tmp_path: Path) -> Model:
    return sesame_like(tmp_path / "sesame")


def spoken(model: Model, prompt: str = PROMPT, **keywords: object) -> tuple[list[SpokenTurn], LlamaSpeech]:
    speech = LlamaSpeech(model, {}, 5, GenerationConfig(), **keywords)  # type: ignore[arg-type]
    parts = list(speech.speak(parse_prompt(prompt)))
    return [part for part in parts if isinstance(part, SpokenTurn)], speech


def test_text_and_sound_are_interleaved_turn_by_turn_in_one_past(model: Model) -> None:
    watching = Watching(model.engine)
    model.engine = watching  # type: ignore[assignment]
    turns, _ = spoken(model, max_frames=6)
    grid = lay_out(model.config, [Segment(turn.ids, turn.codes) for turn in turns])
    assert np.array_equal(np.stack(watching.rows), grid.rows)
    assert watching.positions == grid.positions.tolist()
    assert len(turns) == 3 and all(turn.codes.shape[1] for turn in turns)


def test_each_turn_is_one_piece_with_its_limit(model: Model) -> None:
    turns, _ = spoken(model, "[0]One sentence. And another one! And a third?", max_frames=7)
    assert [turn.codes.shape[1] for turn in turns] == [7]
    assert not turns[0].ended


def test_frames_leave_one_by_one_and_make_up_the_turn(model: Model) -> None:
    speech = LlamaSpeech(model, {}, 5, GenerationConfig(), 5)
    parts = list(speech.speak([PromptTurn(0, "Hello there.")]))
    frames, (turn,) = parts[:-1], parts[-1:]
    assert isinstance(turn, SpokenTurn)
    assert np.array_equal(np.concatenate(frames, axis=1), turn.codes)  # type: ignore[arg-type]


def test_a_seed_repeats_and_each_turn_has_its_own(model: Model) -> None:
    once, again = spoken(model, "[0]Hello.[0]Hello.", max_frames=8)[0], spoken(model, "[0]Hello.", max_frames=8)[0]
    assert np.array_equal(once[0].codes, again[0].codes)
    watching = Watching(model.engine)
    model.engine = watching  # type: ignore[assignment]
    spoken(model, "[0]Hello.[0]Hello.", max_frames=2)
    assert watching.seeds[0] == 5 and len(set(watching.seeds)) == 2


def test_the_past_makes_room_instead_of_failing(model: Model) -> None:
    turns, _ = spoken(model, "[0]Hello there, how are you today?" * 14, max_frames=40)  # 512 positions in all
    assert len(turns) == 14 and sum(turn.dropped_turns for turn in turns) > 0
    assert all(turn.codes.shape[1] == 40 for turn in turns)


def test_words_without_any_room_are_refused(model: Model) -> None:
    with pytest.raises(ContextTooLong):
        spoken(model, "[0]" + "Hello there. " * 200)


def test_the_report_counts_tokens_and_time(model: Model) -> None:
    turns, speech = spoken(model, max_frames=6)
    report = speech.report()
    frames = sum(turn.codes.shape[1] for turn in turns)
    assert frames <= report.backbone_tokens <= frames + len(turns)
    assert report.decoder_tokens == report.backbone_tokens * model.config.num_codebooks
    assert 0 < report.spent.backbone + report.spent.decoder < report.total_seconds
    assert report.audio_seconds == pytest.approx(frames * 0.08)
    assert any("tok/s" in line for line in report.lines())


def test_both_engines_are_clocked_and_draw_the_same(tiny_folder: Path) -> None:
    said = []
    for engine in ("torch", "native"):
        model = duologue.load(tiny_folder, device="cpu", engine=engine)
        turns, speech = spoken(model, "[0]Hello.[1]Hi.", max_frames=5)
        said.append(turns)
        assert min(speech.report().spent.backbone, speech.report().spent.decoder) > 0
    for left, right in zip(*said, strict=True):
        assert np.array_equal(left.codes, right.codes)


def test_speakers_get_the_models_own_voices_and_prompts_are_read_first(tiny_folder: Path) -> None:
    model = duologue.load(tiny_folder, device="cpu", engine="torch")
    prompt = parse_prompt(PROMPT)
    assert own_voices(model, prompt) == {0: "one", 1: "two"}
    frames = model.voice("one").codes.shape[1]  # type: ignore[union-attr]
    bare, prompted = (
        LlamaSpeech(model, voices, 5, GenerationConfig(), 3)._context.frames for voices in ({}, {0: "one"})
    )
    assert (bare, prompted) == (0, frames)
