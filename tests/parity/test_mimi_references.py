"""The same random weights in other people's Mimi: the same codes and the same sound, on speech and on noise."""

from __future__ import annotations

import pytest
import torch
from transformers import MimiModel

from duologue.engine.native_engine import available_paths
from duologue.evaluation.mimi_native import compare_native, measure_half_width
from duologue.evaluation.mimi_references import MoshiMimi, TransformersMimi, lively_codec
from duologue.evaluation.parity_mimi import compare, holds, make_noise
from duologue.weights.mimi import load_mimi, save_mimi

from ..mimi.codecs import FRAME, SMALL, short_sighted, small, speech

REFERENCES = {"transformers": TransformersMimi, "moshi": MoshiMimi}


@pytest.fixture(scope="module", params=list(REFERENCES))
def reference(request, tmp_path_factory):
    return REFERENCES[request.param](small(), tmp_path_factory.mktemp(request.param))


@pytest.mark.parametrize("sound", ["speech", "noise"])
def test_codes_are_identical_and_sound_within_1e_5_of_its_peak(reference, sound):
    wav = speech() if sound == "speech" else make_noise(12.0)  # both longer than the attention's 10 s
    figures = compare(small(), reference, wav)
    assert figures["codes_different"] == 0, figures
    assert holds(figures) and figures["latents_max_difference"] < 1e-5
    assert figures["latents_std"] > 0.1 and figures["audio_peak"] > 0.1  # there was something to compare


@pytest.mark.parametrize("samples", [1, 100, FRAME + 1, 5 * FRAME + 959, 5 * FRAME + 961])
def test_the_last_partial_frame_follows_the_references_rule(reference, samples):
    wav = speech()[..., 20_000 : 20_000 + samples]
    assert torch.equal(small().encode(wav, tail=reference.tail), reference.encode(wav))


def test_streaming_beyond_ten_seconds_gives_what_the_reference_gives_whole(reference):
    codec, wav = small(), speech()[..., : 300 * FRAME]
    codes, state, sound = reference.encode(wav), codec.init_decode_state(1), []
    encode_state, streamed = codec.init_encode_state(1), []
    for start in range(0, 300, 25):
        piece = wav[..., start * FRAME : (start + 25) * FRAME]
        part, encode_state = codec.encode_step(piece, encode_state)
        streamed.append(part)
        piece, state = codec.decode_step(codes[..., start : start + 25], state)
        sound.append(piece)
    assert torch.equal(torch.cat(streamed, dim=-1), codes)
    torch.testing.assert_close(torch.cat(sound, dim=-1), reference.decode(codes), atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", list(REFERENCES))
def test_a_short_context_is_honoured_too(name, tmp_path):
    reference = REFERENCES[name](short_sighted(), tmp_path)
    assert holds(compare(short_sighted(), reference, speech()[..., :120_000]))


@pytest.mark.parametrize("name", list(REFERENCES))
def test_other_weights_agree_as_well(name, tmp_path):
    codec = lively_codec(SMALL, speech()[..., :96_000], seed=7)
    assert holds(compare(codec, REFERENCES[name](codec, tmp_path), speech()[..., :120_000]))


def test_transformers_loads_every_tensor_we_saved(tmp_path):
    save_mimi(small(), tmp_path, "transformers")
    _, report = MimiModel.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(report.values()), report


def test_we_load_what_transformers_saved(tmp_path):
    reference = TransformersMimi(small(), tmp_path / "ours")
    MimiModel.from_pretrained(tmp_path / "ours").save_pretrained(tmp_path / "theirs")
    again = load_mimi(tmp_path / "theirs")
    assert again.config == small().config
    codes = again.encode(speech()[..., :50_000], tail="layers")
    assert torch.equal(codes, reference.encode(speech()[..., :50_000]))


def test_a_wrong_rotation_would_be_noticed(tmp_path):
    """The comparison has teeth: swapping two rows of one head's queries parts the codes."""
    reference, codec = TransformersMimi(small(), tmp_path), lively_codec(SMALL, speech()[..., :96_000])
    codec.load_state_dict(small().state_dict())
    with torch.no_grad():
        rows = codec.encoder_transformer.layers[0].qkv.weight
        rows[[0, 2]] = rows[[2, 0]].clone()
    assert not holds(compare(codec, reference, speech()[..., :120_000]))


@pytest.mark.parametrize("sound", ["speech", "noise"])
def test_the_cpu_engines_form_agrees_on_every_path(sound):
    wav = speech() if sound == "speech" else make_noise(12.0)
    for path in available_paths():
        figures = compare_native(small(), wav if path != "portable" else wav[..., :90_001], path)
        assert figures["codes_different"] == 0, figures
        assert holds(figures) and figures["latents_max_difference"] < 1e-5
        assert figures["audio_peak"] > 0.1
        assert min(form["signal_to_noise_db"] for form in figures["audio_from_float64"].values()) > 90


def test_sound_is_compared_relative_to_its_peak():
    figures = {"largest_tie_margin": 0.0, "audio_max_difference": 9e-5}
    assert holds(figures | {"audio_peak": 35.0}) and not holds(figures | {"audio_peak": 1.0})
    assert holds(figures | {"audio_peak": 0.01, "audio_max_difference": 9e-6})  # a whisper isn't held to its own peak


def test_sixteen_bits_of_weight_change_few_codes_and_no_sound_to_speak_of():
    figures = measure_half_width(small(), speech())
    assert figures["float16"]["decoded_signal_to_noise_db"] > 50
    assert figures["float16"]["decoded_signal_to_noise_db"] > figures["bfloat16"]["decoded_signal_to_noise_db"] + 10
    assert figures["float16"]["codes_different"] < figures["bfloat16"]["codes_different"] < figures["codes"] / 4
