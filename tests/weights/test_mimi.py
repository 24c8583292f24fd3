"""Both layouts of a Mimi codec: names complete, values bit for bit, faults named."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn.utils.parametrizations import weight_norm

from duologue.errors import InputError, LayoutMismatch, WeightsDamaged, WeightsNotFound
from duologue.mimi.codec import Mimi
from duologue.mimi.config import MIMI, SeanetConfig
from duologue.nn.conv import CausalConv, UpsamplingConv
from duologue.weights import kyutai, mimi_transformers
from duologue.weights.mimi import from_kyutai, load_mimi, save_mimi

from ..mimi.codecs import SHORT_SIGHTED, SMALL, short_sighted, small, sounds
from ..mimi.test_frontends import spectral


@pytest.fixture(scope="module")
def real_names() -> dict[str, tuple[int, ...]]:
    with torch.device("meta"):
        return {name: tuple(tensor.shape) for name, tensor in Mimi(MIMI).state_dict().items()}


@pytest.fixture
def file(tmp_path):
    save_mimi(small(), tmp_path / "mimi.safetensors")
    return tmp_path / "mimi.safetensors"


@pytest.fixture
def folder(tmp_path):
    save_mimi(small(), tmp_path / "mimi", "transformers")
    return tmp_path / "mimi"


def _same(one: Mimi, other: Mimi) -> bool:
    mine, theirs = one.state_dict(), other.state_dict()
    return mine.keys() == theirs.keys() and all(torch.equal(mine[name], theirs[name]) for name in mine)


# ---- names and shapes at the real size


def test_kyutais_layout_has_its_318_names_and_shapes(real_names):
    shapes = {kyutai.file_name(name, MIMI): shape for name, shape in real_names.items()}
    assert len(shapes) == 318
    assert shapes["encoder.model.0.conv.conv.weight"] == (64, 1, 7)
    assert shapes["encoder.model.10.block.3.conv.conv.bias"] == (512,)
    assert shapes["encoder.model.14.conv.conv.weight"] == (512, 1024, 3)
    assert shapes["decoder.model.2.convtr.convtr.weight"] == (1024, 512, 16)
    assert shapes["decoder.model.11.convtr.convtr.bias"] == (64,)
    assert shapes["decoder.model.12.block.1.conv.conv.weight"] == (32, 64, 3)
    assert shapes["downsample.conv.conv.conv.weight"] == (512, 512, 4)
    assert shapes["upsample.convtr.convtr.convtr.weight"] == (512, 1, 4)
    assert shapes["encoder_transformer.transformer.layers.7.self_attn.in_proj_weight"] == (1536, 512)
    assert shapes["decoder_transformer.transformer.layers.0.self_attn.out_proj.weight"] == (512, 512)
    assert shapes["decoder_transformer.transformer.layers.0.linear1.weight"] == (2048, 512)
    assert shapes["encoder_transformer.transformer.layers.3.norm2.bias"] == (512,)
    assert shapes["encoder_transformer.transformer.layers.3.layer_scale_2.scale"] == (512,)
    assert shapes["quantizer.rvq_first.input_proj.weight"] == (256, 512, 1)
    assert shapes["quantizer.rvq_rest.output_proj.weight"] == (512, 256, 1)
    assert shapes["quantizer.rvq_first.vq.layers.0._codebook.embedding_sum"] == (2048, 256)
    assert shapes["quantizer.rvq_rest.vq.layers.30._codebook.cluster_usage"] == (2048,)
    assert shapes["quantizer.rvq_rest.vq.layers.30._codebook._initialized"] == (1,)


def test_the_released_sizes_can_be_told_from_the_shapes(real_names):
    assert kyutai.infer_config({kyutai.file_name(name, MIMI): shape for name, shape in real_names.items()}) == MIMI


def test_the_transformers_layout_has_its_350_names(real_names):
    names = [theirs for ours in real_names for theirs in mimi_transformers.file_names(ours)]
    assert len(names) == len(set(names)) == 350


# ---- round trips


@pytest.mark.parametrize("layout", ["kyutai", "transformers"])
def test_saving_and_loading_changes_no_bit(tmp_path, layout):
    save_mimi(short_sighted(), tmp_path / "codec", layout)
    again = load_mimi(tmp_path / "codec")
    assert _same(again, short_sighted())
    assert again.config.transformer.context == 12
    assert torch.equal(again.encode(sounds()), short_sighted().encode(sounds()))


def test_the_two_layouts_turn_into_each_other_bit_for_bit(tmp_path, file):
    save_mimi(load_mimi(file), tmp_path / "folder", "transformers")
    save_mimi(load_mimi(tmp_path / "folder"), tmp_path / "again.safetensors")
    before, after = load_file(file), load_file(tmp_path / "again.safetensors")
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_queries_and_keys_are_stored_by_halves(folder):
    ours = small().encoder_transformer.layers[0].qkv.weight
    theirs = load_file(folder / "model.safetensors")
    head, width = 2, SMALL.width // SMALL.transformer.heads
    for block, kind in enumerate("qkv"):
        rows = theirs[f"encoder_transformer.layers.0.self_attn.{kind}_proj.weight"][head * width :]
        mine = ours[block * SMALL.width + head * width :]
        for pair in range(width // 2):
            even, odd = (pair, pair + width // 2) if kind != "v" else (2 * pair, 2 * pair + 1)
            assert torch.equal(rows[even], mine[2 * pair]) and torch.equal(rows[odd], mine[2 * pair + 1])


def test_a_codec_with_a_spectral_front_end_has_a_file_too(tmp_path):
    save_mimi(spectral(), tmp_path / "codec.safetensors")
    again = load_mimi(tmp_path / "codec.safetensors")
    assert again.config == spectral().config and _same(again, spectral())
    assert torch.equal(again.encode(sounds()), spectral().encode(sounds()))
    with pytest.raises(InputError, match="spectral"):
        save_mimi(spectral(), tmp_path / "folder", "transformers")


# ---- other spellings of Kyutai's layout


def test_a_file_without_our_config_tells_its_sizes(file):
    codec = from_kyutai(load_file(file))
    heads = dataclasses.replace(SMALL.transformer, heads=1)  # 64 channels a head, as released
    assert codec.config == dataclasses.replace(SMALL, transformer=heads)
    assert _same(from_kyutai(load_file(file), SMALL), small())


def test_newer_and_older_names_are_understood(file):
    tensors = {}
    for name, tensor in load_file(file).items():
        name = name.replace("in_proj_weight", "in_projs.0.weight").replace("out_proj.", "out_projs.0.")
        name = name.replace("_initialized", "inited").replace("cluster_usage", "cluster_size")
        tensors[name.replace("embedding_sum", "embed_avg")] = tensor
    tensors["wavlm_proj.weight"] = torch.zeros(3, 3)
    assert _same(from_kyutai(tensors, SMALL), small())


def test_one_tensor_under_two_spellings_is_refused(file):
    tensors = load_file(file)
    name = "quantizer.rvq_first.vq.layers.0._codebook."
    tensors[name + "inited"] = tensors[name + "_initialized"]
    with pytest.raises(WeightsDamaged, match="twice"):
        from_kyutai(tensors, SMALL)


def test_weight_norm_is_folded_when_loading(file):
    tensors = load_file(file)
    for name in [name for name in tensors if name.endswith((".conv.conv.weight", ".convtr.convtr.weight"))]:
        v = tensors.pop(name)
        tensors[name + "_v"] = v * torch.rand(v.shape[0], 1, 1)  # its length doesn't matter
        tensors[name + "_g"] = v.flatten(1).norm(dim=1)[:, None, None]
    again = from_kyutai(tensors, SMALL)
    for name, tensor in again.state_dict().items():
        torch.testing.assert_close(tensor, small().state_dict()[name], atol=1e-6, rtol=1e-6)


def test_weight_norm_is_folded_when_saving(tmp_path):
    codec = Mimi(SHORT_SIGHTED).eval()
    for module in list(codec.encoder.modules()) + list(codec.decoder.modules()):
        if isinstance(module, CausalConv | UpsamplingConv):
            weight_norm(module)
    save_mimi(codec, tmp_path / "codec.safetensors")
    again = load_mimi(tmp_path / "codec.safetensors")
    wav = sounds()[..., :9_600]
    torch.testing.assert_close(again.latents(wav), codec.latents(wav), atol=1e-5, rtol=0)
    latents = torch.randn(1, SMALL.width, 4)
    torch.testing.assert_close(again.sound(latents), codec.sound(latents), atol=1e-5, rtol=0)


def test_half_a_weight_norm_pair_is_refused(file):
    tensors = load_file(file)
    tensors["encoder.model.0.conv.conv.weight_g"] = tensors.pop("encoder.model.0.conv.conv.weight")
    with pytest.raises(WeightsDamaged, match=r"encoder\.model\.0.*half"):
        from_kyutai(tensors, SMALL)


# ---- faults name themselves


@pytest.mark.parametrize("layout", ["kyutai", "transformers"])
def test_missing_and_unexpected_tensors_are_named(tmp_path, layout):
    save_mimi(small(), tmp_path / "codec", layout)
    path = tmp_path / "codec" if layout == "kyutai" else tmp_path / "codec" / "model.safetensors"
    tensors = load_file(path)
    gone = next(iter(sorted(tensors)))
    tensors["stranger.weight"] = tensors.pop(gone)
    save_file(tensors, path, {"duologue.mimi": json.dumps(kyutai_config())})
    with pytest.raises(LayoutMismatch, match=f"1 missing: {gone}.*1 unexpected: stranger.weight"):
        load_mimi(tmp_path / "codec")


def kyutai_config() -> dict:
    from duologue.configuration import to_dict

    return to_dict(SMALL)


@pytest.mark.parametrize(
    "name", ["encoder.layers.0.conv.weight", "encoder_transformer.layers.0.self_attn.q_proj.weight"]
)
def test_a_misshapen_tensor_is_named(folder, name):
    tensors = load_file(folder / "model.safetensors")
    tensors[name] = torch.zeros(2, 2, 2)
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(LayoutMismatch, match="wants"):
        load_mimi(folder)


def test_values_that_are_not_finite_are_refused(file):
    tensors = load_file(file)
    tensors["downsample.conv.conv.conv.weight"][0, 0, 0] = torch.nan
    with pytest.raises(WeightsDamaged, match=r"downsample\.weight"):
        from_kyutai(tensors, SMALL)


def test_sizes_that_overflow_are_refused(folder):
    values = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(values | {"num_filters": 2**20, "upsampling_ratios": [64] * 8}))
    with pytest.raises(InputError):
        load_mimi(folder)


def test_a_cut_file_is_refused(file):
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(WeightsDamaged, match="safetensors"):
        load_mimi(file)


def test_something_else_is_refused(tmp_path):
    save_file({"weight": torch.zeros(3)}, tmp_path / "other.safetensors")
    with pytest.raises(WeightsDamaged, match="Mimi"):
        load_mimi(tmp_path / "other.safetensors")
    with pytest.raises(WeightsNotFound):
        load_mimi(tmp_path / "nothing.safetensors")
    (tmp_path / "empty").mkdir()
    with pytest.raises(WeightsNotFound, match=r"config\.json"):
        load_mimi(tmp_path / "empty")


# ---- config.json


def test_the_published_config_gives_the_released_sizes():
    published = {
        "architectures": ["MimiModel"], "attention_bias": False, "attention_dropout": 0.0, "audio_channels": 1,
        "codebook_dim": 256, "codebook_size": 2048, "compress": 2, "dilation_growth_rate": 2, "frame_rate": 12.5,
        "head_dim": 64, "hidden_act": "gelu", "hidden_size": 512, "initializer_range": 0.02, "intermediate_size": 2048,
        "kernel_size": 7, "last_kernel_size": 3, "layer_scale_initial_scale": 0.01, "max_position_embeddings": 8000,
        "model_type": "mimi", "norm_eps": 1e-05, "normalize": False, "num_attention_heads": 8, "num_filters": 64,
        "num_hidden_layers": 8, "num_key_value_heads": 8, "num_residual_layers": 1, "num_semantic_quantizers": 1,
        "pad_mode": "constant", "residual_kernel_size": 3, "rope_theta": 10000.0, "sampling_rate": 24000,
        "sliding_window": 250, "trim_right_ratio": 1.0, "upsample_groups": 512, "upsampling_ratios": [8, 6, 5, 4],
        "use_causal_conv": True, "use_conv_shortcut": False, "vector_quantization_hidden_dimension": 256,
    }  # fmt: skip
    assert mimi_transformers.read_config(published) == MIMI


@pytest.mark.parametrize("config", [MIMI, SMALL, dataclasses.replace(SMALL, seanet=SeanetConfig(4, residual_layers=2))])
def test_a_config_survives_config_json(config):
    assert mimi_transformers.read_config(json.loads(json.dumps(mimi_transformers.write_config(config)))) == config


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("audio_channels", 2),
        ("use_causal_conv", False),
        ("num_key_value_heads", 4),
        ("hidden_act", "relu"),
        ("pad_mode", "reflect"),
        ("upsample_groups", 1),
        ("frame_rate", 25),
        ("model_type", "encodec"),
        ("rope_parameters", {"rope_type": "yarn", "rope_theta": 1e4}),
        ("num_filters", "64"),
        ("num_quantizers", 0),
        ("num_hidden_layers", 10**9),
        ("upsampling_ratios", [8, "6"]),
        ("norm_eps", -1),
    ],
)
def test_a_config_that_cannot_be_honoured_is_refused(field, value):
    with pytest.raises(InputError) as refusal:
        mimi_transformers.read_config(mimi_transformers.write_config(MIMI) | {field: value})
    ours = {"num_quantizers": "codebooks", "num_hidden_layers": "layers"}
    assert refusal.value.field == ours.get(field, field)
