"""Comparisons of codecs: arms differ in what the file says, cost the same, and SEANet learns with either weights."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from duologue.errors import InputError
from duologue.mimi.config import MimiConfig, QuantizerConfig, SeanetConfig, TransformerConfig
from duologue.training import codec_arms, compare
from duologue.training.arms import read_experiment
from duologue.training.codebook_phones import read_phones
from duologue.training.codec import CodecRun, CodecTraining, train
from duologue.training.codec_data import CropCorpus
from duologue.training.codec_export import codec_of_run

from .toy_speech import write_toy_shards

torch.set_num_threads(1)
TINY = {
    "width": 16, "frontend": "spectral", "seanet": None,
    "spectral": {"dim": 16, "encoder_blocks": 1, "decoder_blocks": 1},
    "transformer": {"layers": 1, "heads": 2, "hidden": 32, "context": 20},
    "quantizer": {"codebooks": 3, "entries": 16, "width": 8},
}  # fmt: skip
SHORT = {"steps": 6, "crops": 2, "crop_seconds": 0.64, "plain_steps": 2, "warmup_steps": 2, "decay_steps": 3}
SHORT |= {"start_vectors": 200}
SEANET = MimiConfig(
    width=16,
    frontend="seanet",
    seanet=SeanetConfig(filters=2),
    transformer=TransformerConfig(layers=1, heads=2, hidden=32, context=20),
    quantizer=QuantizerConfig(codebooks=3, entries=16, width=8),
)


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return write_toy_shards(tmp_path_factory.mktemp("toy") / "shards")


def experiment(path, **more):
    values = {"question": "?", "codec": {"mimi": TINY, **SHORT, "precision": "float32"}, **more}
    path.write_text(json.dumps(values))
    return path


def test_an_arm_changes_what_it_names_and_nothing_else(shards, tmp_path):
    path = experiment(tmp_path / "c.json", arms={"one": {}, "two": {"loss": {"phones": 0.0}, "mimi": {"width": 32}}})
    read = codec_arms.codec_comparison(read_experiment(path), shards, tmp_path / "prepared")
    one, two = read.arms["one"], read.arms["two"]
    assert one.loss.phones == 0.1 and two.loss.phones == 0 and two.mimi.width == 32
    assert dataclasses.replace(two, loss=one.loss, mimi=one.mimi) == one
    with pytest.raises(InputError, match="cpu_minutes"):
        read_experiment(experiment(tmp_path / "d.json", arms={}, cpu_minutes=1))


def test_equal_cost_gives_the_slower_arm_fewer_steps(shards):
    config = CodecTraining(str(shards), "", SEANET, steps=1000, decay_steps=250, plain_steps=100)
    quick, slow = codec_arms.affordable(config, 60, 0.1), codec_arms.affordable(config, 60, 0.3)
    assert (quick.steps, slow.steps) == (600, 200)
    assert (quick.decay_steps, slow.decay_steps) == (150, 50) and slow.plain_steps == 50


def test_the_command_compares(shards, tmp_path):
    path = experiment(tmp_path / "c.json", arms={"with": {"loss": {"phones": 1.0}}, "without": {"loss": {"phones": 0}}})
    out = tmp_path / "told.json"
    options = ["--config", str(path), "--shards", str(shards), "--run", str(tmp_path / "run"), "--out", str(out)]
    compare.main(options)
    told = json.loads(out.read_text())
    assert list(told["arms"]) == ["with", "without"] and told["precision"].startswith("precision float32")
    for arm in told["arms"].values():
        assert arm["steps"] == 6 and arm["heard_seconds"] == 8
        assert 0 <= arm["phones_from_codebook_0"]["speech_percent"] <= 100
    before = (tmp_path / "run" / "with" / "figures.json").stat().st_mtime_ns
    compare.main(options)
    assert (tmp_path / "run" / "with" / "figures.json").stat().st_mtime_ns == before  # nothing is trained twice


def test_a_stopped_arm_goes_on_from_its_newest_part(shards, tmp_path, monkeypatch):
    path = experiment(tmp_path / "c.json", arms={"one": {}})
    config = codec_arms.codec_comparison(read_experiment(path), shards, tmp_path / "prepared").arms["one"]

    def stops(run):
        save(run)
        raise KeyboardInterrupt

    save = CodecRun.save
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(CodecRun, "save", stops)
        codec_arms.run_arm(config, tmp_path / "stopped")
    told, straight = (codec_arms.run_arm(config, tmp_path / name) for name in ("stopped", "straight"))
    assert told.pop("training_cpu_seconds") > 0 < straight.pop("training_cpu_seconds")
    assert told == straight


class Telling:
    """A codec whose code is the loudness of a frame in steps: enough to tell sung vowels from silence."""

    def __init__(self, entries, deaf=False):
        self.config = dataclasses.replace(SEANET, quantizer=QuantizerConfig(codebooks=3, entries=entries, width=8))
        self.deaf = deaf

    def encode(self, wav, codebooks):
        level = wav.view(1, 1, -1, 1920).abs().mean(-1)
        return torch.zeros_like(level).long() if self.deaf else (level * 100).long().clamp(max=15)


def test_codes_that_tell_something_read_more_phones(shards, tmp_path):
    corpus = CropCorpus(shards, tmp_path / "prepared", 1920)
    corpus.use(corpus.available())
    told, deaf = read_phones(Telling(16), corpus), read_phones(Telling(16, deaf=True), corpus)
    assert told["all_percent"] > deaf["all_percent"]
    assert told["speech_percent"] >= deaf["speech_percent"] == deaf["always_one_phone_speech_percent"]
    assert told["codes_used"] > deaf["codes_used"] == 1
    assert told["held_out_half_frames_with_speech"] == deaf["held_out_half_frames_with_speech"] > 50


@pytest.mark.parametrize("weight_norm", [False, True])
def test_seanet_learns_one_batch_and_its_file_is_whole(shards, tmp_path, weight_norm):
    recipe = CodecTraining(
        str(shards), str(tmp_path / "prepared"), SEANET, rate=4e-3, weight_norm=weight_norm, precision="float32",
        steps=4, crops=2, crop_seconds=0.64, plain_steps=1, warmup_steps=1, decay_steps=2, checkpoint_every=2,
        log_every=2, start_vectors=200,
    )  # fmt: skip
    run = CodecRun(recipe, tmp_path / "one", 0, 1)
    run.resume()
    losses = []
    for _ in range(25):
        run.step = 0  # the same crops again
        losses.append(run.advance()["mel"])
    assert losses[-1] < 0.8 * losses[0]
    done = train(recipe, tmp_path / "run")
    codec = codec_of_run(tmp_path / "run", SEANET)
    latents = torch.from_numpy(np.random.default_rng(0).standard_normal((1, 16, 3), np.float32))
    torch.testing.assert_close(codec.sound(latents), done.averaged.codec.sound(latents))
