"""Logit agreement: nothing differs from itself, coarser weights differ more, and a changed draw is counted as one."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from duologue.api import Model
from duologue.engine.base import FrameSampling, Sampling
from duologue.engine.native_engine import NativeEngine
from duologue.engine.sampling import pick
from duologue.errors import InputError
from duologue.evaluation import fast_path
from duologue.evaluation.logit_agreement import Reference, drawn_from, record
from duologue.weights.csm_files import read_csm

SENTENCES = ["One more word.", "And then two."]


@pytest.fixture(scope="module")
def reference(tiny_model):
    return Reference(tiny_model.engine, record(tiny_model, SENTENCES))


def rounded(tiny_folder, plan):
    weights = read_csm(tiny_folder / "csm.safetensors", as_arrays=True)
    return NativeEngine.from_weights(weights.config, weights.tensors, plan)


def test_recording_keeps_the_engine_and_every_frame(tiny_model):
    engine = tiny_model.engine
    turns = record(tiny_model, SENTENCES)
    assert tiny_model.engine is engine
    spoken = [tiny_model.generate(text, seed=1, retries=0, check=False).seconds for text in SENTENCES]
    frames = sum(len(turn.codes) for turn in turns)
    assert round(sum(spoken) * 12.5) <= frames <= round(sum(spoken) * 12.5) + len(SENTENCES)  # an end is a frame too


def test_a_guided_model_is_recorded_too(tiny_model):
    """Its wordless readings are no turns of their own."""
    card = dataclasses.replace(tiny_model.card, guidance=2.0)
    guided = Model(card, tiny_model.engine, tiny_model.codec, tiny_model.reader, tiny_model.voices)
    assert len(record(guided, SENTENCES)) == len(SENTENCES)


def test_an_engine_agrees_with_itself(reference):
    agreement = reference.compare(reference.engine, FrameSampling())
    assert agreement.kl_nats == 0 and agreement.hidden_snr_db == float("inf")
    assert agreement.greedy_codes_percent == 100
    assert agreement.first.changed_percent == agreement.depth.changed_percent == 0


def test_coarser_weights_agree_less(reference, tiny_folder):
    fine, coarse = (reference.compare(rounded(tiny_folder, plan), FrameSampling()) for plan in ("bfloat16", "int4"))
    assert 0 < fine.kl_nats < coarse.kl_nats
    assert fine.hidden_snr_db > coarse.hidden_snr_db + 10
    assert np.isclose(np.mean(coarse.kl_by_codebook), coarse.kl_nats)
    assert coarse.first.count == coarse.frames and len(coarse.kl_by_codebook) == reference.engine.config.num_codebooks


def test_probabilities_are_those_that_codes_are_drawn_from():
    logits = np.random.default_rng(0).normal(0, 2, (3, 40)).astype(np.float32)
    sampling = Sampling(0.7, 5)
    chances = drawn_from(logits, sampling)
    assert np.allclose(chances.sum(1), 1) and (np.count_nonzero(chances, axis=1) == 5).all()
    draws = [pick(logits[0], u, sampling) for u in np.linspace(0, 1, 2000, endpoint=False)]
    assert np.allclose(np.bincount(draws, minlength=40) / 2000, chances[0], atol=2e-3)
    assert (drawn_from(logits, Sampling(0.0)).argmax(1) == logits.argmax(1)).all()


def test_engines_of_other_models_are_refused(reference):
    from tests.engine.test_native_engine import NATIVE

    with pytest.raises(InputError, match="different models"):
        reference.compare(NATIVE["odd"], FrameSampling())
    with pytest.raises(InputError, match="no frame"):
        Reference(reference.engine, [])


def test_formats_are_held_against_float32_layer_by_layer(tiny_folder, tmp_path, capsys):
    out = tmp_path / "deep" / "fast_path.json"
    fast_path.main(["--model", str(tiny_folder), "--formats", "int8", "compact", "--sentences", "1", "--out", str(out)])
    rows = json.loads(out.read_text())["formats"]
    assert [row["format"] for row in rows] == ["int8", "compact"]
    layers = read_csm(tiny_folder / "csm.safetensors", as_arrays=True).config.backbone.layers
    assert all(len(row["layer_snr_db"]) == layers for row in rows)
    assert rows[0]["kl_nats"] < rows[1]["kl_nats"] and rows[0]["layer_snr_db"][0] > rows[1]["layer_snr_db"][0]
    assert len(capsys.readouterr().out.splitlines()) == 2
