"""Codes drawn with the true past: of that past alone, repeatable, and in step with the recording they replace."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from duologue.csm.model import Csm
from duologue.engine.base import FrameSampling, Sampling
from duologue.errors import InputError
from duologue.mimi.codec import Mimi
from duologue.timebase import FRAME_SAMPLES
from duologue.training.code_shards import load_items, read_code_shard, write_code_shard
from duologue.training.codec_data import CropCorpus
from duologue.training.codec_export import fingerprint, save_codec
from duologue.training.codec_predicted import PredictedCrops
from duologue.training.codec_refine import refine
from duologue.training.codec_refinement import DecoderRefinement
from duologue.training.csm_data import QUIET, items_of_split
from duologue.training.csm_loop import CsmTrainer
from duologue.training.csm_recipe import Optimization
from duologue.training.encode_codes import encode_shards
from duologue.training.predicted_codes import Prediction, draw_with_true_past, main, pick_rows, usual_sampling
from duologue.weights.csm_files import CsmWeights, write_csm
from duologue.weights.mimi import load_mimi

from .toy_corpus import CODES, MODEL, VOICES, toy_recipe, write_recipe
from .toy_speech import TINY_CODEC, write_toy_shards

GREEDY = FrameSampling(first=Sampling(0.0), depth=Sampling(0.0), guidance=2.0)
LIVELY = FrameSampling(first=Sampling(1.0, 20), depth=Sampling(1.0, 20))


@pytest.fixture(scope="module")
def items(corpus):
    return items_of_split(load_items(*corpus)[0], "train", VOICES, MODEL)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(3)
    return Csm(MODEL).eval()


def drawn(model, row, sampling=LIVELY, seed=1, first_known=False):
    return draw_with_true_past(model, row, sampling, torch.Generator().manual_seed(seed), first_known=first_known)


def test_a_model_that_knows_a_turn_by_heart_draws_its_codes(items):
    turn = items[0][0]
    calm = Optimization(peak_rate=4e-3, warmup_steps=10, dropout=0.0, average_decay=0.9)
    trainer = CsmTrainer(toy_recipe(augmentation=QUIET, depth_fraction=1.0, optimization=calm), [[turn]])
    for step in range(120):
        trainer.step(step / 120)
    known = trainer.averaged().eval()
    assert (drawn(known, turn, dataclasses.replace(GREEDY, guidance=1.0)) == turn.codes).all()


def test_a_frame_is_drawn_from_what_lies_before_it(items, model):
    turn = items[0][0]
    cut = turn.frames // 2
    other = turn.codes.copy()
    other[:, cut:] = (other[:, cut:] + 7) % CODES
    changed = dataclasses.replace(turn, codes=other)
    before, after = drawn(model, turn, GREEDY), drawn(model, changed, GREEDY)
    assert (before[:, : cut + 1] == after[:, : cut + 1]).all(), "the frame at the cut too: it is not its own past"
    assert (before[:, cut + 1 :] != after[:, cut + 1 :]).any()


def test_a_known_first_codebook_stays_and_a_seed_repeats(items, model):
    turn = items[1][0]
    first, again, other = drawn(model, turn, seed=4), drawn(model, turn, seed=4), drawn(model, turn, seed=5)
    assert (first == again).all() and (first != other).any()
    known = drawn(model, turn, first_known=True)
    assert (known[0] == turn.codes[0]).all() and (known[1:] != turn.codes[1:]).any()
    assert first.min() >= 0 and first.max() < CODES, "no EOS among the codes"


def test_rows_are_picked_among_the_likeliest():
    logits = torch.tensor([[0.0, 5.0, 4.0, -1.0]]).repeat(400, 1)
    picked = pick_rows(logits, Sampling(1.0, 2), torch.Generator().manual_seed(0))
    assert set(picked.tolist()) == {1, 2}
    assert (picked == 1).float().mean() == pytest.approx(1 / (1 + np.exp(-1)), abs=0.08)
    assert set(pick_rows(logits, Sampling(0.0), torch.Generator()).tolist()) == {1}


def test_the_command_writes_a_shard_once(corpus, model, tmp_path, capsys):
    codes, listings = corpus
    write_csm(CsmWeights(MODEL, dict(model.state_dict())), tmp_path / "csm.safetensors", "duologue")
    recipe = write_recipe(tmp_path / "recipe.json", toy_recipe(voices={"af_heart": 0}))
    words = ["--csm", tmp_path / "csm.safetensors", "--config", recipe, "--shards", listings, "--codes", codes]
    words += ["--out", tmp_path / "predicted"]
    main(list(map(str, words)))
    true, made = (read_code_shard(folder / "00000.safetensors") for folder in (codes, tmp_path / "predicted"))
    assert [turn.shape for turn in made.turns] == [turn.shape for turn in true.turns] and made.codec == true.codec
    lines = (listings / "00000.jsonl").read_text().splitlines()
    voices = [turn["voice"] for line in lines for turn in json.loads(line)["turns"]]
    for voice, ours, theirs in zip(voices, made.turns, true.turns, strict=True):
        assert (ours == theirs).all() == (voice != "af_heart"), "a voice that the model lacks keeps its codes"
    main(list(map(str, words)))
    assert capsys.readouterr().out.endswith("0 shards predicted\n")


def test_another_models_recipe_is_refused(model, tmp_path):
    write_csm(CsmWeights(MODEL, dict(model.state_dict())), tmp_path / "csm.safetensors", "duologue")
    smaller = dataclasses.replace(MODEL, text_vocab=MODEL.text_vocab - 1)
    recipe = write_recipe(tmp_path / "recipe.json", toy_recipe(model=smaller))
    words = ["--csm", tmp_path / "csm.safetensors", "--config", recipe, "--shards", "s", "--codes", "c", "--out", "o"]
    with pytest.raises(InputError) as refused:
        main(list(map(str, words)))
    assert refused.value.field == "config"


def test_the_usual_sampling_is_that_of_a_new_models_card():
    usual = usual_sampling()
    assert (usual.first.temperature, usual.depth.top_k, usual.guidance) == (0.3, 10, 2.0)


def test_a_turn_without_a_voice_or_alignment_keeps_its_codes(corpus, model):
    turn = load_items(*corpus)[0][0].turns[0]
    stranger = dataclasses.replace(turn, voice="nobody")
    assert Prediction(model, toy_recipe(), LIVELY).turn(stranger, 1) is stranger.codes


@pytest.fixture(scope="module")
def spoken(tmp_path_factory):
    """Toy speech, a codec, and codes of which those of the second codebook are moved by one."""
    folder = tmp_path_factory.mktemp("spoken")
    shards = write_toy_shards(folder / "shards")
    torch.manual_seed(0)
    codec = Mimi(TINY_CODEC).eval()
    save_codec(codec, folder / "codec.safetensors", half=True)
    codec = load_mimi(folder / "codec.safetensors")
    encode_shards(codec, shards, folder / "codes")
    true = read_code_shard(folder / "codes" / "00000.safetensors")
    moved = [(turn + np.array([[0], [1], [0]])) % 16 for turn in true.turns]
    write_code_shard(folder / "predicted" / "00000.safetensors", moved, true.codec, true.corpus)
    return shards, codec, folder


def test_crops_and_their_codes_are_of_the_same_stretch(spoken):
    shards, _, folder = spoken
    corpus = CropCorpus(shards, folder / "prepared", FRAME_SAMPLES * 8)
    corpus.use(corpus.available())
    numbered = [np.arange(turn.shape[1])[None].repeat(3, 0) + 1000 * i for i, turn in enumerate(_turns(folder))]
    write_code_shard(folder / "numbered" / "00000.safetensors", numbered, "c", "l")
    predicted = PredictedCrops(corpus, folder / "numbered")
    predicted.use(predicted.available())
    crops, codes = predicted.draw(30, np.random.default_rng(0))
    lines = (shards / "00000.jsonl").read_text().splitlines()
    items = [json.loads(line) for line in lines]
    for wav, drawn_codes in zip(crops.wav[:, 0].numpy(), codes.numpy(), strict=True):
        number, frame = divmod(int(drawn_codes[0, 0]), 1000)
        assert (np.diff(drawn_codes, axis=1) == 1).all(), "neighbouring frames"
        assert items[number]["split"] == "train"
        start = items[number]["turns"][0]["start"] + frame * FRAME_SAMPLES
        assert np.array_equal(wav, corpus.shards[0].samples[start : start + len(wav)].astype(np.float32) / 32768)
        assert frame * FRAME_SAMPLES + len(wav) <= items[number]["turns"][0]["samples"]


def _turns(folder):
    return read_code_shard(folder / "codes" / "00000.safetensors").turns


def test_codes_of_another_listing_are_refused(spoken, tmp_path):
    shards, _, folder = spoken
    corpus = CropCorpus(shards, folder / "prepared", FRAME_SAMPLES * 8)
    corpus.use(corpus.available())
    with pytest.raises(InputError) as refused:
        PredictedCrops(corpus, tmp_path).use([])
    assert refused.value.field == "predicted"
    write_code_shard(tmp_path / "00000.safetensors", _turns(folder)[:-1], "c", "l")
    with pytest.raises(InputError, match="another listing"):
        PredictedCrops(corpus, tmp_path).use(["00000"])


@pytest.mark.parametrize("share", [0.5, 1.0])
def test_a_decoder_learns_to_sound_predicted_codes_as_the_recording(spoken, tmp_path, share):
    shards, codec, folder = spoken
    plan = DecoderRefinement(
        str(shards), str(folder / "prepared"), steps=30, crops=2, crop_seconds=0.64, decay_steps=2, fool_weight=0.0,
        feature_weight=0.0, predicted=str(folder / "predicted"), predicted_share=share, checkpoint_every=15,
        log_every=2, precision="float32", average=0.0, rate=3e-3, warmup_steps=2,
    )  # fmt: skip
    whole = refine(plan, codec, tmp_path / "whole")
    better = load_mimi(tmp_path / "whole" / "codec.safetensors")
    assert fingerprint(better) == fingerprint(codec)
    crops, codes = whole.predicted.draw(6, np.random.default_rng(9))

    def distance(of):
        with torch.no_grad():
            terms = whole.model.distances(of.decode(codes), crops.wav)
        return float(terms["mel"])

    assert distance(better) < 0.9 * distance(codec)
    half = refine(dataclasses.replace(plan, steps=15), codec, tmp_path / "parts")
    assert half.step == 15 and half.predicted.names == ["00000"]
