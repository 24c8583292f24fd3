"""The evaluation of a voice: figures add up, nothing is hidden, and the command runs on a real (if senseless) model."""

import json

import numpy as np
import pytest

from duologue.errors import InputError
from duologue.evaluation import voice
from duologue.evaluation.clips import Clip, expected_seconds, figures, silence_share, speech_seconds
from duologue.evaluation.wer import word_errors
from tests.tiny import speech_like, write_tiny_model


def clip(sentence, heard, seconds, **more):
    return Clip(sentence, "one", speech_like(seconds), errors=word_errors(sentence, heard), **more)


def test_figures_count_every_clip():
    good = clip("Hello there my friend.", "hello there my friend", 1.7, elapsed_seconds=0.5)
    long = clip("Yes.", "yes yes yes", 9.0, ended=False, attempts=3, elapsed_seconds=1.0)
    lost = Clip("Four words are lost.", "one", np.zeros(0, np.float32), ended=False, failure="Runaway: x")
    lost.errors = word_errors(lost.sentence, "")
    told = figures([good, long, lost])
    assert told["clips"] == 3 and told["words"] == 9
    assert told["wer_percent"] == pytest.approx(100 * (0 + 2 + 4) / 9, abs=0.01)
    assert told["ended_by_itself_percent"] == pytest.approx(33.33)
    assert told["right_length_percent"] == pytest.approx(33.33)
    assert told["attempts"] == 5 and told["retried_clips"] == 1 and told["given_up"] == ["Runaway: x"]
    assert told["real_time_factor"] == pytest.approx(1.5 / 10.7, abs=1e-3)


def test_silence_and_length():
    assert silence_share(np.zeros(48_000, np.float32)) == silence_share(np.zeros(0, np.float32)) == 1
    half = np.concatenate([np.zeros(24_000, np.float32), 0.3 * np.ones(24_000, np.float32)])
    assert silence_share(half) == pytest.approx(0.5, abs=0.02)
    assert expected_seconds("It costs $23.50.") > expected_seconds("It costs money.")
    word = np.concatenate([np.zeros(12_000), 0.3 * np.ones(14_400), np.zeros(12_000)]).astype(np.float32)
    assert speech_seconds(word) == pytest.approx(0.6, abs=0.02), "silence around a word isn't speech"
    assert speech_seconds(np.zeros(100, np.float32)) == 0
    assert 0.4 < expected_seconds("Help!") < 0.8
    assert 1.8 < expected_seconds("Well, the old clock struck nine, I think.") < 4


def test_the_command_writes_its_figures(tmp_path):
    folder = write_tiny_model(tmp_path / "model")
    (tmp_path / "said.txt").write_text("# Greetings\nHello there.\n# Questions\nHow are you today?\n")
    out = tmp_path / "results" / "voice.json"
    options = ["--model", str(folder), "--sentences", str(tmp_path / "said.txt"), "--voices", "one", "--quick"]
    voice.main([*options, "--seeds", "1", "2", "--keep", str(tmp_path / "kept"), "--out", str(out)])
    result = json.loads(out.read_text())
    assert result["by_speaker"]["one"]["clips"] == len(result["clips"]) == 4
    assert result["all_voices"]["words"] == 12 and result["versions"]["jiwer"] and result["judge"] == "whisper-base"
    assert {(row["seed"], row["sentence"]) for row in result["clips"]} == {
        (seed, text) for seed in (1, 2) for text in ("Hello there.", "How are you today?")
    }
    assert {title: told["one"]["clips"] for title, told in result["by_section"].items()} == {
        "Greetings": 2,
        "Questions": 2,
    }
    assert len(list((tmp_path / "kept" / "one").glob("*.wav"))) == 4


def test_a_reference_needs_a_file_for_every_sentence(tmp_path):
    with pytest.raises(InputError, match=r"000\.wav"):
        voice.recorded(tmp_path, ["Hello."], "teacher")


def test_quick_and_thorough_exclude_each_other():
    with pytest.raises(InputError, match="--alone"):
        voice.main(["--quick", "--alone"])
