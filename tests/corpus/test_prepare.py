"""From somebody's recordings to a voice: cut, heard, timed, encoded, learned, spoken. Real listening, real weights."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

import duologue
from duologue.cli.main import app
from duologue.corpus.prepare import Preparation, prepare
from duologue.corpus.recordings import recordings
from duologue.errors import InputError
from duologue.evaluation.asr import Judge
from duologue.weights.csm_files import read_csm
from duologue.weights.embedded import embedded_folder
from tests.evaluation.test_sound_judges import SPEECH


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A folder as users have them: one good clip, one with other words beside it, one of silence, one unlabelled."""
    folder = tmp_path_factory.mktemp("mine")
    soundfile.write(folder / "b-wrong.wav", SPEECH[: 4 * 24_000], 24_000)
    (folder / "b-wrong.txt").write_text("Something that nobody has ever said in this recording at all.")
    soundfile.write(folder / "c-silent.wav", np.zeros(48_000), 24_000)
    soundfile.write(folder / "d-plain.wav", SPEECH[: 13 * 24_000], 24_000)
    return folder


@pytest.fixture(scope="module")
def corpus(source, tmp_path_factory):
    out = tmp_path_factory.mktemp("corpus")
    return out, prepare(recordings(str(source), ["reader"]), out, Judge("base"), Preparation(licence="public domain"))


def test_what_is_kept_and_what_is_left_out(corpus):
    out, report = corpus
    assert report["kept_turns"] >= 2 and report["kept_seconds"] > 6
    assert report["dropped"]["heard otherwise"]["pieces"] == 1
    assert sum(each["pieces"] for each in report["dropped"].values()) == len(report["examples"])
    assert json.loads((out / "report.json").read_text()) == report
    items = [json.loads(line) for line in (out / "00000.jsonl").read_text().splitlines()]
    assert {item["split"] for item in items} == {"train", "validation"}
    wav, rate = soundfile.read(out / "00000.flac")
    turns = [turn for item in items for turn in item["turns"]]
    assert rate == 24_000 and len(wav) == sum(turn["samples"] for turn in turns)
    for turn in turns:
        assert turn["voice"] == "reader" and turn["licence"] == "public domain"
        assert sum(turn["durations"]) * 600 == turn["samples"]
        assert len(turn["durations"]) == len(turn["phonemes"]) + 2
    said = " ".join(turn["text"] for turn in turns).lower()
    assert "john dashwood" in said and "power to do for them" in said


def test_it_goes_on_where_it_stopped_and_refuses_other_recordings(corpus, source, capsys):
    out, report = corpus
    assert prepare(recordings(str(source), ["reader"]), out, Judge("base")) == report
    assert capsys.readouterr().out == ""  # nothing was done again
    with pytest.raises(InputError, match="other recordings"):
        prepare(recordings(str(source), ["somebody"]), out, Judge("base"))


def test_two_channels_become_two_voices(tmp_path):
    half = 3 * 24_000
    left, right = np.zeros(4 * half, np.float32), np.zeros(4 * half, np.float32)
    left[:half], right[2 * half : 3 * half] = SPEECH[:half], SPEECH[half : 2 * half]
    soundfile.write(tmp_path / "call.wav", np.stack([left, right], axis=1), 24_000)
    plan = Preparation(two_channels=True, channel_voices=("anna", "ben"))
    prepare(recordings(str(tmp_path / "call.wav")), tmp_path / "out", Judge("base"), plan)
    items = [json.loads(line) for line in (tmp_path / "out" / "00000.jsonl").read_text().splitlines()]
    voices = [turn["voice"] for item in items for turn in item["turns"]]
    assert voices == sorted(voices) and set(voices) == {"anna", "ben"}


def test_the_embedded_voice_learns_a_new_speaker(corpus, tmp_path):
    """The documented commands, end to end."""
    out, _ = corpus

    def run(*words):
        result = CliRunner().invoke(app, list(map(str, words)))
        assert result.exit_code == 0, result.output + repr(result.exception)

    run("corpus", "encode", "--shards", out, "--out", tmp_path / "codes")
    recipe = tmp_path / "recipe.json"
    values = json.loads(Path("recipes/fine_tune/embedded_lora.json").read_text())
    recipe.write_text(json.dumps({**values, "validate_every": 100, "depth_fraction": 0.2}))
    tuning = ["train", "csm", "--config", recipe, "--from", "embedded", "--codes", tmp_path / "codes"]
    run(*tuning, "--corpus", out, "--run", tmp_path / "run", "--steps", 3, "--nice", 0)
    folder = tmp_path / "run" / "export"
    model = duologue.load(folder)
    assert {"reader", "heart", "michael", "emma", "george"} <= set(model.voices)
    assert model.voices["reader"].speaker == 4 and model.card.default_voice == "reader"
    assert model.generate("Good morning.", seed=1, retries=0, check=False).seconds > 0.2
    ours, theirs = read_csm(folder / "csm.safetensors"), read_csm(embedded_folder() / "csm.safetensors")
    assert ours.config == theirs.config and ours.tensors["codebook0_head.weight"].dtype.itemsize == 2
    moved = [name for name in ours.tensors if not ours.tensors[name].equal(theirs.tensors[name])]
    assert "text_embeddings.weight" in moved and "codebook0_head.weight" not in moved
    card = (folder / "MODEL_CARD.md").read_text()
    assert "reader (speaker 4)" in card and "adapters of rank 16, merged" in card
