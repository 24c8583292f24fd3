"""Codec training: gradients pass the quantizer, codes stay alive, a killed run repeats, refinement keeps codes."""

import copy
import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from duologue.configuration import from_dict, to_dict
from duologue.errors import InputError, LayoutMismatch
from duologue.mimi.quantizer import SplitQuantizer
from duologue.training.checkpoints import latest_checkpoint
from duologue.training.code_shards import load_items
from duologue.training.codec import CodecRun, CodecTraining, train
from duologue.training.codec_data import PHONES, CropCorpus, phone_units
from duologue.training.codec_export import codec_of_run, fingerprint, save_codec
from duologue.training.codec_quantizer import codebooks, follow, perplexity, quantize, revive, start_from_means
from duologue.training.codec_refine import refine
from duologue.training.codec_refinement import DecoderRefinement
from duologue.training.codec_start import start_codec
from duologue.training.encode_codes import encode_shards, encode_turns
from duologue.training.listener import Listener, hearing_distance, reading_loss
from duologue.training.loop_log import read_curves
from duologue.training.losses_spectral import MelMetric, SpectralDistance
from duologue.weights.mimi import load_mimi

from .toy_speech import TINY_CODEC, write_toy_shards

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return write_toy_shards(tmp_path_factory.mktemp("toy") / "shards")


@pytest.fixture(scope="module")
def recipe(shards):
    return CodecTraining(
        str(shards), str(shards.parent / "prepared"), TINY_CODEC,
        steps=8, crops=2, crop_seconds=0.64, plain_steps=2, warmup_steps=2, decay_steps=3, revive_every=2,
        checkpoint_every=4, log_every=2, precision="float32",
    )  # fmt: skip


@pytest.fixture(scope="module")
def trained(recipe, tmp_path_factory):
    """A finished run: (recipe, folder)."""
    folder = tmp_path_factory.mktemp("run")
    train(recipe, folder)
    return recipe, folder


def test_a_killed_run_goes_on_bit_for_bit(trained, tmp_path):
    recipe, folder = trained
    half = tmp_path / "half"
    shutil.copytree(folder, half)
    (half / "checkpoints" / "step-00000008.safetensors").unlink()  # as if killed after the first checkpoint
    train(recipe, half)
    last = "checkpoints/step-00000008.safetensors"
    assert (half / last).read_bytes() == (folder / last).read_bytes()
    assert (half / "curves.csv").read_text().count("\n8,") == (folder / "curves.csv").read_text().count("\n8,")


def test_the_recipe_survives_json_and_names_unknown_keys(recipe):
    assert from_dict(CodecTraining, to_dict(recipe)) == recipe
    with pytest.raises(InputError, match="plain_step"):
        from_dict(CodecTraining, {**to_dict(recipe), "plain_step": 3})


def test_learning_brings_one_batch_nearer(recipe, tmp_path):
    run = CodecRun(dataclasses.replace(recipe, rate=4e-3), tmp_path, 0, 1)
    run.resume()
    losses = []
    for _ in range(60):
        run.step = 0  # the same crops again
        losses.append(run.advance()["mel"])
    assert losses[-1] < 0.7 * losses[0]


def test_gradients_pass_the_quantizer_to_the_encoder(recipe, tmp_path):
    run = CodecRun(recipe, tmp_path, 0, 1)
    run.resume()
    crops = run.corpus.draw(2, np.random.default_rng(0))
    terms, _ = run.model(crops, None)
    terms["mel"].backward()
    assert run.model.codec.encoder.read.weight.grad.abs().max() > 0
    assert run.model.codec.quantizer.acoustic.project_in.weight.grad.abs().max() > 0


def test_the_file_holds_the_codec_that_was_trained(trained, tmp_path):
    recipe, folder = trained
    codec = codec_of_run(folder, recipe.mimi)
    mark = save_codec(codec, tmp_path / "full.safetensors", half=False)
    loaded = load_mimi(tmp_path / "full.safetensors")
    wav = 0.1 * torch.randn(1, 1, 1920 * 6)
    assert fingerprint(loaded) == mark
    assert torch.equal(loaded.encode(wav), codec.encode(wav))
    torch.testing.assert_close(loaded.decode(loaded.encode(wav)), codec.decode(codec.encode(wav)), atol=1e-4, rtol=1e-3)
    half_mark = save_codec(codec, tmp_path / "half.safetensors", half=True)
    assert fingerprint(load_mimi(tmp_path / "half.safetensors")) == half_mark


@pytest.mark.parametrize("judges", ["spectrogram", "bands"])
def test_refinement_moves_the_decoder_and_keeps_the_codes(trained, shards, tmp_path, judges):
    recipe, folder = trained
    save_codec(codec_of_run(folder, recipe.mimi), tmp_path / "codec.safetensors", half=True)
    codec = load_mimi(tmp_path / "codec.safetensors")
    plan = DecoderRefinement(
        str(shards), recipe.prepared, steps=4, crops=2, crop_seconds=0.64, decay_steps=2, judge_from=1,
        judges=judges, judge_channels=16, judge_seconds=0.32, checkpoint_every=2, log_every=2, precision="float32",
    )  # fmt: skip
    refine(plan, codec, tmp_path / "run")
    better = load_mimi(tmp_path / "run" / "codec.safetensors")
    wav = 0.1 * torch.randn(1, 1, 1920 * 6)
    codes = codec.encode(wav)
    assert fingerprint(better) == fingerprint(codec)
    assert torch.equal(better.encode(wav), codes)
    assert (better.decode(codes) - codec.decode(codes)).abs().max() > 1e-5


def test_a_refinement_may_deepen_the_decoder_and_listen(trained, shards, tmp_path):
    recipe, folder = trained
    save_codec(codec_of_run(folder, recipe.mimi), tmp_path / "codec.safetensors", half=True)
    codec = load_mimi(tmp_path / "codec.safetensors")
    plan = DecoderRefinement(
        str(shards), recipe.prepared, steps=3, crops=2, crop_seconds=0.64, decay_steps=2, judge_from=0, fool_weight=0.0,
        feature_weight=0.0, hearing_weight=1.0, decoder_blocks=3, checkpoint_every=3, log_every=1, precision="float32",
        average=0.0,
    )  # fmt: skip
    refine(plan, codec, tmp_path / "run")
    better = load_mimi(tmp_path / "run" / "codec.safetensors")
    assert better.config.spectral.decoder_blocks == 3 and fingerprint(better) == fingerprint(codec)
    assert better.decoder.blocks[2].scale.abs().max() > 0, "the added blocks learn"
    heard = [row["hearing"] for row in read_curves(tmp_path / "run" / "curves.csv") if "hearing" in row]
    assert len(heard) == 3 and min(heard) > 0


def test_two_processes_refine_as_one_with_whisper_listening(trained, shards, tmp_path):
    recipe, folder = trained
    save_codec(codec_of_run(folder, recipe.mimi), tmp_path / "codec.safetensors", half=True)
    plan = DecoderRefinement(
        str(shards), recipe.prepared, steps=2, crops=2, crop_seconds=0.64, decay_steps=1, judge_from=0,
        judge_channels=16, judge_seconds=0.32, hearing_weight=0.5, listener="whisper", checkpoint_every=2, log_every=1,
        precision="float32",
    )  # fmt: skip
    runs = {}
    for processes in (1, 2):
        config = tmp_path / f"{processes}.json"
        config.write_text(json.dumps(to_dict(dataclasses.replace(plan, crops=2 // processes))))
        words = ("--config", config, "--codec", tmp_path / "codec.safetensors", "--run", tmp_path / str(processes))
        command = [
            sys.executable,
            "-m",
            "duologue.training.codec_refine",
            *map(str, words),
            "--processes",
            str(processes),
        ]
        subprocess.run(command, check=True, timeout=240, env=os.environ | {"OMP_NUM_THREADS": "1"})
        runs[processes] = read_curves(tmp_path / str(processes) / "curves.csv")
    for alone, shared in zip(runs[1][:2], runs[2][:2], strict=True):
        assert alone["mel"] == pytest.approx(shared["mel"], rel=2e-3)
        assert alone["judge"] == pytest.approx(shared["judge"], rel=2e-2)
        assert alone["hearing"] == pytest.approx(shared["hearing"], rel=0.25), "spreads are of each process's crops"


def test_a_listener_learns_phones_and_tells_a_clip_from_another(shards, recipe):
    corpus = CropCorpus(shards, Path(recipe.prepared), 1920 * 8)
    corpus.use(corpus.available())
    crops = corpus.draw(4, np.random.default_rng(0))
    torch.manual_seed(0)
    listener = Listener(width=32, layers=2)
    optimizer = torch.optim.AdamW(listener.parameters(), lr=3e-3)
    losses = []
    for _ in range(30):
        scores, _ = listener(crops.wav[:, 0])
        loss = reading_loss(scores, crops.phones)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert scores.shape == (4, len(PHONES), 16) and losses[-1] < 0.5 * losses[0]
    real, made = crops.wav[:, 0], (crops.wav[:, 0] * 0.5).requires_grad_()
    theirs, ours = listener(real)[1], listener(made)[1]
    assert float(hearing_distance(theirs, theirs)) == 0.0
    hearing_distance(theirs, ours).backward()
    assert made.grad.abs().max() > 0, "the distance has a gradient for the sound"


def test_a_deeper_codec_starts_with_the_sound_and_codes_of_the_one_it_goes_on_from(trained, tmp_path):
    recipe, folder = trained
    save_codec(codec_of_run(folder, recipe.mimi), tmp_path / "codec.safetensors", half=True)
    shallow = load_mimi(tmp_path / "codec.safetensors").eval()
    deeper = dataclasses.replace(
        recipe.mimi,
        spectral=dataclasses.replace(recipe.mimi.spectral, decoder_blocks=recipe.mimi.spectral.decoder_blocks + 2),
        transformer=dataclasses.replace(recipe.mimi.transformer, layers=recipe.mimi.transformer.layers + 1),
    )
    start = start_codec(tmp_path / "codec.safetensors", deeper).eval()
    wav = 0.1 * torch.randn(1, 1, 1920 * 6)
    assert torch.equal(start.encode(wav), shallow.encode(wav))
    torch.testing.assert_close(start.decode(start.encode(wav)), shallow.decode(shallow.encode(wav)))
    plan = dataclasses.replace(recipe, mimi=deeper, steps=3, plain_steps=50, checkpoint_every=3)
    run = train(plan, tmp_path / "run", start=start)
    assert run.config.plain_steps == 0, "the codebooks are in use at once"
    added = run.model.codec.decoder.blocks[-1].scale
    assert added.abs().max() > 0, "what was added learns"
    with pytest.raises(LayoutMismatch):
        start_codec(tmp_path / "codec.safetensors", dataclasses.replace(deeper, width=2 * deeper.width))


def test_codes_on_disk_are_the_codes_of_each_turn(trained, shards, tmp_path):
    recipe, folder = trained
    codec = codec_of_run(folder, recipe.mimi)
    assert encode_shards(codec, shards, tmp_path / "codes") == 1
    assert encode_shards(codec, shards, tmp_path / "codes") == 0  # nothing left to do
    items, mark = load_items(tmp_path / "codes", shards)
    assert mark == fingerprint(codec)
    assert all(turn.codes.shape[1] == -(-sum(turn.durations) * 600 // 1920) for item in items for turn in item.turns)
    other = copy.deepcopy(codec)
    other.downsample.weight.data += 0.01
    with pytest.raises(InputError, match="another codec"):
        encode_shards(other, shards, tmp_path / "codes")


def test_turns_in_a_batch_get_the_codes_they_get_alone(trained):
    recipe, folder = trained
    codec = codec_of_run(folder, recipe.mimi)
    turns = [0.1 * np.random.default_rng(n).standard_normal(n).astype(np.float32) for n in (9_600, 5_000, 20_001)]
    together = encode_turns(codec, turns)
    for turn, codes in zip(turns, together, strict=True):
        assert np.array_equal(encode_turns(codec, [turn])[0], codes)


def test_training_never_draws_from_held_out_items(shards, tmp_path):
    corpus = CropCorpus(shards, tmp_path, 15_360)
    corpus.use(corpus.available())
    held_out = corpus.shards[0].stretches["validation"]
    for number, first, last in corpus.places:
        assert number == 0
        assert all(last + 15_360 <= start or first >= stop for start, stop in held_out)


def test_phones_follow_the_durations():
    labels = phone_units("hˈa t", [2, 1, 2, 1, 1, 3, 4])
    h, a, t = (PHONES.index(symbol) for symbol in "hat")
    assert labels == [0, 0, h, a, a, a, 0, t, t, t, 0, 0, 0, 0]


def test_k_means_start_and_revival_keep_codes_in_use():
    torch.manual_seed(0)
    quantizer = SplitQuantizer(16, TINY_CODEC.quantizer)
    rows = torch.randn(400, 8)
    start_from_means(quantizer, rows, rows, torch.Generator().manual_seed(0))
    assert perplexity(codebooks(quantizer)[0]) > 10
    book = codebooks(quantizer)[0]
    book.cluster_usage[3:6], book.embedding_sum[3:6] = 1e-7, 0.0
    seen = quantize(quantizer, torch.randn(4, 16, 20), None)
    assert revive(quantizer, seen, 0.1, 2, torch.Generator().manual_seed(0)) >= 2
    assert int((book.cluster_usage < 1e-6).sum()) == 1  # two at a time


def test_running_means_approach_what_they_are_shown():
    torch.manual_seed(0)
    quantizer = SplitQuantizer(16, TINY_CODEC.quantizer)
    rows = torch.randn(400, 8)
    start_from_means(quantizer, rows, rows, torch.Generator().manual_seed(0))
    latents = torch.randn(4, 16, 50)
    before = quantize(quantizer, latents, None).commitment
    for _ in range(60):
        follow(quantizer, quantize(quantizer, latents, None), decay=0.8)
    assert quantize(quantizer, latents, None).commitment < 0.5 * before


def test_fewer_levels_mean_a_coarser_sum():
    torch.manual_seed(0)
    quantizer = SplitQuantizer(16, TINY_CODEC.quantizer)
    latents = torch.randn(2, 16, 5)
    limited = quantize(quantizer, latents, torch.tensor([1, 3])).latents
    full = quantize(quantizer, latents, None).latents
    codes = quantizer.encode(latents)
    torch.testing.assert_close(limited[0], quantizer.semantic.decode(codes[:1, :1])[0], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(limited[1], full[1])


def test_distances_are_zero_for_equal_and_grow_with_difference():
    wav = 0.1 * torch.randn(2, 12_000)
    distance, metric = SpectralDistance(), MelMetric()
    assert set(map(float, distance(wav, wav).values())) == {0.0} == {float(metric(wav, wav))}
    near, far = distance(1.1 * wav, wav), distance(3 * wav, wav)
    assert all(0 < float(near[name]) < float(far[name]) for name in ("mel", "linear", "envelope"))
    assert float(metric(2 * wav, wav)) == pytest.approx(np.log(2), rel=0.01)


def test_two_processes_take_the_steps_of_one(recipe, tmp_path):
    """Same crops, same codebooks: the loss curve doesn't depend on how many processes share the batch."""
    whole = dataclasses.replace(recipe, crops=4, steps=10, checkpoint_every=5, log_every=1)
    runs = {"one": (whole, 1), "two": (dataclasses.replace(whole, crops=2), 2)}
    for name, (config, processes) in runs.items():
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps(to_dict(config)))
        command = [sys.executable, "-m", "duologue.training.codec", "--config", path, "--run", tmp_path / name]
        command += ["--processes", processes]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        subprocess.run(list(map(str, command)), env=environment, check=True, capture_output=True, timeout=200)
    alone, shared = (read_curves(tmp_path / name / "curves.csv") for name in runs)
    # The last bits of a product depend on the batch's size on some CPUs. While nothing is quantized that stays small;
    # then a vector between two centroids falls to the other, and two runs drift apart: slowly, where nothing is wrong.
    plain = recipe.plain_steps
    for name, exact, drifting in (
        ("mel", 2e-3, 0.01), ("linear", 2e-3, 0.01), ("norm", 2e-3, 0.5), ("commitment", 5e-3, 0.3),
        ("val_mel", 0.01, 0.01), ("perplexity0", 0.05, 0.05), ("perplexity2", 0.05, 0.05),
    ):  # fmt: skip
        ours, theirs = ([row[name] for row in rows if name in row] for rows in (alone, shared))
        first = plain if name in ("mel", "linear", "norm") else 1
        assert len(ours) >= 2 and ours[:first] == pytest.approx(theirs[:first], rel=exact), name
        assert ours == pytest.approx(theirs, rel=drifting), name
    assert "10 steps planned" in (tmp_path / "two" / "MODEL_CARD.md").read_text()


def test_killed_at_any_moment_a_run_ends_the_same(recipe, tmp_path):
    config = dataclasses.replace(recipe, steps=40, checkpoint_every=4, log_every=4)
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps(to_dict(config)))
    command = [sys.executable, "-m", "duologue.training.codec", "--config", str(path), "--run"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    killed = subprocess.Popen([*command, str(tmp_path / "killed")], env=environment, stdout=subprocess.DEVNULL)
    folder = tmp_path / "killed" / "checkpoints"
    deadline = time.monotonic() + 120
    while latest_checkpoint(folder) is None:
        assert killed.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    killed.wait(60)
    assert latest_checkpoint(folder).name < "step-00000040"
    train(config, tmp_path / "killed")
    train(config, tmp_path / "straight")
    last = "checkpoints/step-00000040.safetensors"
    assert (tmp_path / "killed" / last).read_bytes() == (tmp_path / "straight" / last).read_bytes()
