"""config.json of either maker, in every spelling found, gives the same sizes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from duologue.csm.config import CSM_1B, CsmConfig
from duologue.errors import InputError
from duologue.weights import sesame, transformers_csm_config
from tests.csm.sizes import ALIGNED, PLAIN

RELEASED = {
    "audio_num_codebooks": 32,
    "audio_vocab_size": 2051,
    "backbone_flavor": "llama-1B",
    "decoder_flavor": "llama-100M",
    "text_vocab_size": 128256,
}
BACKBONE_ROPE = {
    "rope_type": "llama3",
    "factor": 32.0,
    "high_freq_factor": 0.5,
    "low_freq_factor": 0.125,
    "original_max_position_embeddings": 1024,
}
DEPTH_ROPE = {
    "rope_type": "llama3",
    "factor": 32.0,
    "high_freq_factor": 0.0078125,
    "low_freq_factor": 0.001953125,
    "original_max_position_embeddings": 16,
}


def version_4(extra: dict[str, Any] | None = None) -> dict[str, Any]:
    """What transformers 4 saved for the released model, sizes left at their defaults."""
    return {
        "model_type": "csm",
        "rope_theta": 500000,
        "rope_scaling": BACKBONE_ROPE,
        "depth_decoder_config": {"rope_theta": 500000, "rope_scaling": DEPTH_ROPE, "head_dim": 128},
        "codec_config": {"model_type": "mimi", "codebook_size": 2048},
        **(extra or {}),
    }


def version_5() -> dict[str, Any]:
    """The same from transformers 5."""
    values = version_4()
    for stack in (values, values["depth_decoder_config"]):
        stack["rope_parameters"] = {**stack.pop("rope_scaling"), "rope_theta": stack.pop("rope_theta")}
    return values


def test_sesames_config_is_the_released_model() -> None:
    assert sesame.read_config(RELEASED) == CSM_1B
    assert sesame.write_config(CSM_1B) == RELEASED


@pytest.mark.parametrize("values", [version_4(), version_5()], ids=["version 4", "version 5"])
def test_transformers_config_is_the_released_model(values: dict[str, Any]) -> None:
    assert transformers_csm_config.read_config(values) == CSM_1B


def test_what_is_written_for_the_released_model_is_what_transformers_itself_writes() -> None:
    values = transformers_csm_config.write_config(CSM_1B)
    assert values["rope_parameters"] == {**BACKBONE_ROPE, "rope_theta": 500_000.0}
    assert values["depth_decoder_config"]["rope_parameters"] == {**DEPTH_ROPE, "rope_theta": 500_000.0}
    assert (values["audio_token_id"], values["audio_eos_token_id"]) == (128_002, 128_003)
    assert values["depth_decoder_config"]["max_position_embeddings"] == 33


@pytest.mark.parametrize(
    "config",
    [
        CSM_1B,
        PLAIN,
        replace(PLAIN, num_codebooks=2, text_vocab=7),
        replace(PLAIN, backbone=replace(PLAIN.backbone, rope_scaling=None, rope_base=10_000.0, norm_eps=1e-6)),
    ],
)
def test_configs_round_trip(config: CsmConfig) -> None:
    assert transformers_csm_config.read_config(transformers_csm_config.write_config(config)) == config
    assert sesame.read_config(sesame.write_config(config)) == config


def test_no_rope_dictionary_means_no_scaling() -> None:
    values = version_4()
    del values["rope_scaling"]
    assert transformers_csm_config.read_config(values).backbone.rope_scaling is None


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"hidden_act": "gelu"}, "hidden_act"),
        ({"num_hidden_layers": -1}, "num_hidden_layers"),
        ({"num_hidden_layers": 10**9}, "layers"),
        ({"hidden_size": "wide"}, "hidden_size"),
        ({"num_codebooks": 16}, "depth_decoder_config"),
        ({"codebook_eos_token_id": 5}, "codebook_eos_token_id"),
        ({"depth_decoder_config": 3}, "depth_decoder_config"),
        ({"rope_scaling": {"rope_type": "yarn"}}, "rope_type"),
        ({"rope_scaling": {"rope_type": "llama3", "low_freq_factor": 4, "high_freq_factor": 1}}, "low_freq_factor"),
        ({"rms_norm_eps": "small"}, "rms_norm_eps"),
    ],
)
def test_what_can_not_be_honoured_is_named(change: dict[str, Any], field: str) -> None:
    with pytest.raises(InputError) as caught:
        transformers_csm_config.read_config(version_4(change))
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("change", "field"),
    [({"backbone_flavor": "llama-9B"}, "backbone_flavor"), ({"audio_vocab_size": "2051"}, "config.json.codebook_size")],
)
def test_sesame_configs_that_can_not_be_honoured_are_named(change: dict[str, Any], field: str) -> None:
    with pytest.raises(InputError) as caught:
        sesame.read_config({**RELEASED, **change})
    assert caught.value.field == field
    with pytest.raises(InputError, match="lacks text_vocab_size"):
        sesame.read_config({key: value for key, value in RELEASED.items() if key != "text_vocab_size"})


def test_departures_have_no_foreign_config() -> None:
    with pytest.raises(InputError, match="departs"):
        transformers_csm_config.write_config(ALIGNED)
