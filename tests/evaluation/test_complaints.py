"""The three complaints are counted right: on sounds and codes whose answer is known, and on a model that never ends."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from duologue.api import Model
from duologue.csm.config import CSM_1B
from duologue.evaluation import complaints
from duologue.evaluation.complaint_endless import endless, interval
from duologue.evaluation.complaint_long import loops_in, repeats, windows
from duologue.evaluation.complaint_turns import edges, silence_between_turns
from duologue.evaluation.llama_parity_rope import angles
from duologue.speaking import GenerationConfig
from tests.tiny import speech_like


def test_silence_at_the_edges_of_a_turn() -> None:
    speech = speech_like(1.0)
    speech[:2400] += 0.1  # loud from its first sample on
    sound = np.concatenate([np.zeros(7_200, np.float32), speech, np.zeros(12_000, np.float32)])
    before, after = edges(sound)
    assert before == pytest.approx(0.3, abs=0.02) and after == pytest.approx(0.5, abs=0.05)
    assert edges(np.zeros(24_000, np.float32)) == (1.0, 0.0)
    assert edges(np.zeros(0, np.float32)) == (0.0, 0.0)


def test_joins_of_scenes_are_measured(tiny_model: Model) -> None:
    found = silence_between_turns(tiny_model, ["Hello there.", "Hi.", "How are you?", "Fine, thanks."], 2, 1)
    assert found["joins"] == 2
    assert 0 <= found["share_of_the_sound_percent"] <= 100
    assert found["longest_seconds"] >= found["seconds_at_a_join"]["median"] - 0.01


def test_loops_are_counted_where_codes_go_round() -> None:
    drawn = np.random.default_rng(0).integers(0, 1000, (4, 120))
    assert loops_in(drawn) == 0
    assert loops_in(np.tile(drawn[:, :5], (1, 24))) >= 1
    assert loops_in(np.repeat(drawn[:, :1], 60, axis=1)) == 2


def test_only_words_that_come_again_unasked_are_repeats() -> None:
    text = "the cat sat on the mat and slept all day"
    assert repeats(text, text) == 0
    assert repeats(text, "a dog ran under a chair and barked") == 0  # misheard is not repeated
    assert repeats(text, f"{text} the cat sat on the mat") == 3  # runs of four in six words
    assert repeats(f"{text} {text}", f"{text} {text}") == 0


def test_long_sound_is_cut_where_it_is_quiet_and_nothing_is_lost() -> None:
    sound = speech_like(60.0)
    sound[24_000 * 25 : 24_000 * 25 + 9_600] = 0.0
    pieces = list(windows(sound))
    assert sum(len(piece) for piece in pieces) == 60 * 16_000
    assert 25.0 <= len(pieces[0]) / 16_000 <= 25.5
    assert max(len(piece) for piece in pieces) <= 27 * 16_000


@pytest.mark.parametrize(("found", "total", "low", "high"), [(0, 272, 0.0, 0.0139), (5, 10, 0.2366, 0.7634)])
def test_the_interval_of_a_share(found: int, total: int, low: float, high: float) -> None:
    assert interval(found, total) == pytest.approx((low, high), abs=1e-3)


def test_a_model_that_never_ends_by_itself_is_counted_as_such(tiny_model: Model) -> None:
    found = endless(tiny_model, ["Hello there.", "How are you?"], ["one", "two"], GenerationConfig(), 1)
    assert found["utterances"] == 4
    assert found["stopped"] == found["by_ending"].get("max_frames", 0) + found["by_ending"].get("tail", 0)
    assert found["frames_of_limit_largest"] <= 1.0


def test_unscaled_positions_change_17_of_32_and_35_of_64_pairs() -> None:
    backbone, depth = angles(CSM_1B.backbone), angles(CSM_1B.depth)
    assert (backbone["pairs"], backbone["pairs_changed"]) == (32, 17)
    assert (depth["pairs"], depth["pairs_changed"]) == (64, 35)
    correlation = list(backbone["score_correlation"].values())
    assert correlation == sorted(correlation, reverse=True) and correlation[0] > 0.999


class SilentJudge:
    """A judge that hears nothing, so that no recognizer has to be loaded."""

    name = "nobody"

    def __init__(self, *_: object) -> None: ...

    def transcribe(self, window: np.ndarray) -> str:
        assert 0 < len(window) <= 27 * 16_000
        return ""


def test_the_command_measures_all_three(tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(complaints, "Judge", SilentJudge)
    monkeypatch.setattr(complaints, "held_out", lambda name: ["Hello there.", "Hi.", "Fine."])
    out = tmp_path / "c.json"
    options = ["--scenes", "1", "--turns", "3", "--texts", "1", "--long-sentences", "3"]
    complaints.main(["--model", str(tiny_folder), *options, "--out", str(out)])
    result = json.loads(out.read_text())
    long = result["long_text"]
    for way in ("alone", "sentences", "one_turn"):
        assert long[way]["wer_percent"] == 100 and len(long[way]["frames"]) == 1
        assert long[way]["deletions"] == long[way]["words"]
    assert result["silence_between_turns"]["joins"] == 2
    assert result["endless"]["own_sampling"]["utterances"] == 6
