"""GGUF of every maker: written by their rules, read to the same numbers; and our own file, which is all of a model."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch

import duologue
from duologue.csm.model import Csm
from duologue.errors import InputError, LayoutMismatch, WeightsNotFound
from duologue.text.tokenizer import LlamaTokenizer
from duologue.weights.checkpoint import open_checkpoint
from duologue.weights.csm_files import CsmWeights, load_csm, read_csm, write_csm
from duologue.weights.gguf_file import open_gguf
from duologue.weights.gguf_llama_csm import write_llama_csm
from duologue.weights.gguf_llama_mimi import write_llama_mimi
from duologue.weights.gguf_models import open_model
from duologue.weights.gguf_own import write_own
from duologue.weights.load import locate
from duologue.weights.mimi import load_mimi, save_mimi
from duologue.weights.model_parts import CodecPart, CsmPart
from duologue.weights.stored_array import as_floats
from duologue.weights.type_policy import TypePolicy, named_policy
from duologue.weights.whole_model import read_codec, read_whole, write_whole

from .gguf_models import CONFIG, codec_part, csm_part, tokenizer_json, write_codec_cpp, write_crispasr, write_file


def same(left: CsmPart | CodecPart, right: CsmPart | CodecPart, within: float = 0.0) -> None:
    assert left.config == right.config
    assert left.arrays.keys() == right.arrays.keys()
    for name, array in left.arrays.items():
        other = as_floats(right.arrays[name])
        assert other.shape == tuple(array.shape), name
        assert np.abs(as_floats(array) - other).max() <= within, name


def logits(model: Csm) -> np.ndarray:
    """Both stages' logits of a fixed grid."""
    rng = np.random.default_rng(1)
    config = model.config
    grid = torch.from_numpy(np.concatenate([rng.integers(0, 32, (1, 9, 4)), rng.integers(0, 300, (1, 9, 1))], 2))
    grid[:, ::2, :4] = -1
    grid[:, 1::2, 4:] = -1
    with torch.no_grad():
        hidden = model.hidden_states(grid, torch.arange(9)[None])
        codes = torch.from_numpy(rng.integers(0, 32, (9, config.num_codebooks)))
        first = model.first_stage(hidden).first_logits
        depth = model.depth_stage(hidden[0], codes)
    return np.concatenate([first.numpy().ravel(), depth.numpy().ravel()])


@pytest.fixture
def llama_files(tmp_path: Path) -> Path:
    """The pull request's three files in float32; returns the backbone's."""
    target = tmp_path / "pr" / "sesame-csm-<component>.gguf"
    write_llama_csm(csm_part(), target, "F32", tokenizer=tokenizer_json())
    write_llama_mimi(codec_part(), tmp_path / "pr" / "kyutai-mimi.gguf", "F32")
    return tmp_path / "pr" / "sesame-csm-backbone.gguf"


def test_the_pull_requests_files_hold_what_its_converters_write(llama_files: Path) -> None:
    backbone, decoder = (
        gguf.GGUFReader(llama_files.with_name(f"sesame-csm-{part}.gguf")) for part in ("backbone", "decoder")
    )
    keys = {key: field.contents() for key, field in backbone.fields.items()}
    assert keys["general.architecture"] == "llama-csm" and keys["general.type"] == "model"
    assert (keys["llama-csm.block_count"], keys["llama-csm.vocab_size"], keys["llama-csm.rope.freq_base"]) == (
        2,
        300,
        5e5,
    )
    assert decoder.fields["llama-csm.vocab_size"].contents() == 4 * 35
    assert not any("scaling" in key for key in keys)  # csm-1b's rotary scaling is left out there
    assert len(decoder.fields["tokenizer.ggml.tokens"].contents()) == 140  # the first of the words: a dummy
    shapes = {tensor.name: tuple(reversed(tensor.shape.tolist())) for tensor in (*backbone.tensors, *decoder.tensors)}
    assert shapes["audio_head.weight"] == (5, 35, 32) and shapes["csm_proj.weight"] == (32, 64)
    head = next(tensor for tensor in decoder.tensors if tensor.name == "audio_head.weight").data
    assert not head[0].any() and not head[-1].any()
    assert np.array_equal(head[2], csm_part().arrays["audio_head"][1].T)


def test_the_pull_requests_files_give_the_same_logits_as_sesames_layout(llama_files: Path, tmp_path: Path) -> None:
    part = csm_part()
    tensors = {name: torch.from_numpy(array) for name, array in part.arrays.items()}
    write_csm(CsmWeights(part.config, tensors), tmp_path / "sesame", "sesame")
    same(read_part(llama_files), part)
    theirs, ours = logits(load_csm(tmp_path / "sesame")), logits(load_csm(llama_files))
    assert np.array_equal(theirs, ours) and np.abs(ours).max() > 0.1
    assert np.array_equal(logits(load_csm(llama_files.with_name("sesame-csm-decoder.gguf"))), ours)


def read_part(path: Path) -> CsmPart:
    weights = read_csm(path, as_arrays=True)
    return CsmPart(weights.config, weights.tensors)


def test_the_pull_requests_mimi_decodes_alike(llama_files: Path, tmp_path: Path) -> None:
    """Its converter divides codebooks and rounds convolutions to half floats, whatever the type."""
    whole = codec_part()
    back = read_codec(llama_files.with_name("kyutai-mimi.gguf"))
    assert back.config == whole.config and back.arrays.keys() == whole.arrays.keys()
    name = "quantizer.acoustic.codebooks.1."
    expected = whole.arrays[name + "embedding_sum"] / whole.arrays[name + "cluster_usage"][:, None]
    assert np.array_equal(as_floats(back.arrays[name + "embedding_sum"]), expected)
    assert np.array_equal(
        back.arrays["decoder_transformer.layers.0.qkv.weight"], whole.arrays["decoder_transformer.layers.0.qkv.weight"]
    )
    codes = torch.from_numpy(np.random.default_rng(0).integers(0, 32, (1, 4, 6)))
    write_own(tmp_path / "whole.gguf", None, whole)
    with torch.no_grad():
        sound, exact = (
            load_mimi(path).decode(codes)
            for path in (llama_files.with_name("kyutai-mimi.gguf"), tmp_path / "whole.gguf")
        )
    assert 0 < (sound - exact).abs().max() < 2e-3 * exact.abs().max()


def test_the_word_component_and_a_tokenizer_are_compulsory(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="<component>"):
        write_llama_csm(csm_part(), tmp_path / "model.gguf", tokenizer=tokenizer_json())
    with pytest.raises(InputError, match="tokenizer"):
        write_llama_csm(csm_part(), tmp_path / "m-<component>.gguf", tokenizer=None)


def test_q8_0_leaves_the_decoder_in_half_floats(tmp_path: Path) -> None:
    paths = write_llama_csm(csm_part(), tmp_path / "m-<component>.gguf", "Q8_0", tokenizer=tokenizer_json())
    backbone, decoder = (open_gguf(path).tensors for path in paths)
    assert backbone["blk.0.attn_q.weight"].type == "Q8_0" and backbone["blk.0.attn_norm.weight"].type == "F32"
    assert {t.type for n, t in decoder.items() if "norm" not in n} == {"F16"}
    same(csm_part(), read_part(paths[0]), within=0.01)


def test_a_backbone_without_its_decoder_names_what_is_missing(llama_files: Path) -> None:
    llama_files.with_name("sesame-csm-decoder.gguf").unlink()
    with pytest.raises(WeightsNotFound, match="decoder"):
        open_model(llama_files)


def test_older_files_have_one_page_of_zeros(llama_files: Path) -> None:
    decoder = llama_files.with_name("sesame-csm-decoder.gguf")
    file = gguf.GGUFReader(decoder)
    tensors = {tensor.name: np.array(tensor.data) for tensor in file.tensors}
    tensors["audio_head.weight"] = tensors["audio_head.weight"][:-1]
    keys = {k: f.contents() for k, f in file.fields.items() if k.startswith("llama-csm.")}
    write_file(decoder, "llama-csm", keys, tensors)
    same(read_part(llama_files), csm_part())


def test_models_that_depart_from_csm_1b_say_so_in_further_keys(tmp_path: Path) -> None:
    for scaling in (None, replace(CONFIG.depth.rope_scaling, factor=8.0)):  # type: ignore[type-var]
        config = replace(CONFIG, backbone=replace(CONFIG.backbone, rope_scaling=scaling), codec_entries=30)
        path = write_llama_csm(csm_part(config), tmp_path / "m-<component>.gguf", "F32", tokenizer=tokenizer_json())[0]
        assert read_part(path).config == config


def test_the_vocabulary_in_the_files_reads_text_like_the_tokenizer(llama_files: Path) -> None:
    raw = open_model(llama_files).tokenizer()
    assert raw is not None
    inside, original = LlamaTokenizer.from_json(raw, "inside"), LlamaTokenizer.from_json(tokenizer_json(), "original")
    for text in ("hello world", "Hello, hello!  hell", "1234 äöü"):
        assert inside.text(inside.tokenize(text, 3)) == f"[3]{text}"
    for text in ("hello", "hell no"):
        assert np.array_equal(inside.tokenize(text, 0), original.tokenize(text, 0))
    assert inside.vocabulary == original.vocabulary == 300


def test_crispasrs_file_holds_the_same_model_and_codec(tmp_path: Path) -> None:
    path = write_crispasr(tmp_path / "csm.gguf", csm_part(), codec_part())
    assert open_checkpoint(path).layout == "crispasr"
    same(read_part(path), csm_part())
    finished(read_codec(path))


def finished(back: CodecPart) -> None:
    """All arrays are the codec's; codebooks may be divided already."""
    whole = codec_part()
    assert back.config == whole.config and back.arrays.keys() == whole.arrays.keys()
    for name, array in whole.arrays.items():
        if "codebooks" not in name:
            assert np.array_equal(back.arrays[name], array), name
        elif name.endswith("embedding_sum"):
            usage, now = (part.arrays[name.replace("embedding_sum", "cluster_usage")] for part in (whole, back))
            assert np.allclose(back.arrays[name] / now[:, None], array / usage[:, None], atol=1e-6)


def test_csm_rs_file_is_sesames_layout_and_its_4_bit_form_is_refused(tmp_path: Path) -> None:
    part = csm_part(big_heads())
    path = write_file(tmp_path / "csm.gguf", "csm", {"csm.embedding_length": 64}, part.arrays)
    same(read_part(path), part)
    writer = gguf.GGUFWriter(path, "csm")
    writer.add_tensor("x", np.zeros((2, 144), np.uint8), raw_dtype=gguf.GGMLQuantizationType.Q4_K)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(LayoutMismatch, match="another way than ggml"):
        read_csm(path)


def big_heads():  # type: ignore[no-untyped-def]
    """Sizes that a file without any tells by its shapes: heads of 64 and 128 channels, 2048 positions."""
    backbone = replace(CONFIG.backbone, heads=4, head_width=64, max_positions=2048)
    depth = replace(CONFIG.depth, head_width=128)
    return replace(CONFIG, backbone=backbone, depth=depth, codec_entries=35)


def test_codec_cpps_pair_holds_the_same_model_from_either_file(tmp_path: Path) -> None:
    own, llama = write_codec_cpp(tmp_path, csm_part(), codec_part())
    for path in (own, llama):
        assert open_checkpoint(path).layout == "codec-cpp"
        same(read_part(path), csm_part())
        finished(read_codec(path))
    own.unlink()
    with pytest.raises(WeightsNotFound, match="codec"):
        open_model(llama)


def test_an_unknown_architecture_is_refused_by_name(tmp_path: Path) -> None:
    path = write_file(tmp_path / "x.gguf", "whisper", {}, {"a": np.zeros(4, np.float32)})
    with pytest.raises(LayoutMismatch, match="'whisper'"):
        open_checkpoint(path)


# --- our own file -------------------------------------------------------------------------------------------------


def test_our_file_gives_back_a_folder_voice_for_voice_bit_for_bit(tiny_folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "tiny.gguf"
    write_whole(read_whole(locate(tiny_folder)), path)
    folder, file = (duologue.load(source, device="cpu") for source in (tiny_folder, path))
    assert file.card == folder.card and file.voices.keys() == folder.voices.keys()
    assert file.codec.fingerprint == folder.codec.fingerprint
    said, again_said = (m.generate("Hello there.", seed=4, max_seconds=0.8, check=False) for m in (folder, file))
    assert len(said.samples) == len(again_said.samples)  # torch's last bit depends on where in memory an array begins
    assert np.abs(said.samples - again_said.samples).max() < 1e-6 < np.abs(said.samples).max()
    again = tmp_path / "again.gguf"
    write_whole(read_whole(locate(path)), again)
    assert again.read_bytes() == path.read_bytes()


def test_every_layout_to_ours_to_every_layout_changes_no_bit(llama_files: Path, tmp_path: Path) -> None:
    part = csm_part()
    crisp = write_crispasr(tmp_path / "crisp.gguf", part, codec_part())
    tensors = {name: torch.from_numpy(array) for name, array in part.arrays.items()}
    weights = CsmWeights(part.config, tensors)
    sources = [llama_files, crisp, write_codec_cpp(tmp_path, part, codec_part())[1]]
    sources += [write_csm(weights, tmp_path / layout, layout) for layout in ("sesame", "transformers-csm")]  # type: ignore[arg-type]
    sources += [write_csm(weights, tmp_path / "own.safetensors", "duologue")]
    for number, source in enumerate(sources):
        ours = tmp_path / "ours" / f"{number}.gguf"
        write_own(ours, read_part(source), None)
        same(read_part(ours), part)
        for layout in ("sesame", "transformers-csm", "duologue"):
            place = tmp_path / f"{number}-{layout}" / ("x.safetensors" if layout == "duologue" else "")
            place.parent.mkdir(exist_ok=True)
            same(read_part(write_csm(read_csm(ours), place, layout)), part)  # type: ignore[arg-type]
        target = tmp_path / f"{number}-<component>.gguf"
        same(read_part(write_llama_csm(read_part(ours), target, "F32", tokenizer=tokenizer_json())[0]), part)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_floats_keep_their_bits(dtype: str, tmp_path: Path) -> None:
    part = csm_part()
    tensors = {name: torch.from_numpy(array).to(getattr(torch, dtype)) for name, array in part.arrays.items()}
    file = write_csm(CsmWeights(part.config, tensors), tmp_path / "a.safetensors", "duologue")
    write_own(tmp_path / "a.gguf", read_part(file), None)
    back = read_csm(tmp_path / "a.gguf").tensors
    assert back.keys() == tensors.keys() and all(torch.equal(back[name], tensors[name]) for name in tensors)


def test_a_codec_goes_through_every_layout(tmp_path: Path) -> None:
    whole = codec_part()
    write_own(tmp_path / "a.gguf", None, whole)
    same(read_codec(tmp_path / "a.gguf"), whole)
    codec = load_mimi(tmp_path / "a.gguf")
    save_mimi(codec, tmp_path / "kyutai.safetensors")
    save_mimi(codec, tmp_path / "hf", "transformers")
    for path in (tmp_path / "kyutai.safetensors", tmp_path / "hf"):
        same(read_codec(path), whole)


def test_groups_get_their_types_and_vectors_stay(tmp_path: Path) -> None:
    policy = TypePolicy(backbone="q8_0", depth="F16", heads="Q4_0", embeddings="BF16", codec="keep")
    types = write_own(tmp_path / "a.gguf", csm_part(), codec_part(), policy=policy)
    assert types["backbone.layers.0.mlp.w1.weight"] == "Q8_0" and types["backbone.norm.scale"] == "F32"
    assert types["decoder.layers.1.attn.q_proj.weight"] == "F16"
    assert types["audio_head.weight"] == types["projection.weight"] == "Q4_0"
    assert types["text_embeddings.weight"] == types["audio_embeddings.weight"] == "BF16"
    assert {kind for name, kind in types.items() if name.startswith("codec.")} == {"F32"}
    same(csm_part(), read_part(tmp_path / "a.gguf"), within=0.15)
    assert named_policy("Q4_K").type_for("decoder.layers.0.mlp.w2.weight", (32, 64), "F32") == "Q5_0"
    assert named_policy("Q4_K").type_for("text_embeddings.weight", (9, 5), "F32") == "F16"
    mixed = named_policy("q4_k_m", embeddings="Q8_0")
    assert (mixed.backbone, mixed.depth, mixed.embeddings, mixed.codec) == ("Q4_K", "Q6_K", "Q8_0", "keep")
    with pytest.raises(InputError, match="IQ2_XS"):
        named_policy("IQ2_XS")


def test_a_rounded_model_runs_on_both_engines(tmp_path: Path) -> None:
    write_own(tmp_path / "a.gguf", csm_part(), codec_part(), policy=named_policy("Q8_0"))
    exact, rounded = csm_part(), read_part(tmp_path / "a.gguf")
    loaded = load_csm(tmp_path / "a.gguf", torch.float32)
    for name, tensor in loaded.state_dict().items():
        assert np.array_equal(tensor.numpy(), as_floats(rounded.arrays[name])), name
    from duologue.engine.packed import pack_model
    from duologue.engine.quantize import PLANS

    packed = pack_model(rounded.config, rounded.arrays, PLANS["float32"])
    whole = pack_model(exact.config, {n: as_floats(a) for n, a in rounded.arrays.items()}, PLANS["float32"])
    assert np.array_equal(packed.block, whole.block)


def test_ggufs_own_reader_and_dump_open_our_files(tiny_folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "tiny.gguf"
    write_whole(read_whole(locate(tiny_folder)), path, named_policy("F16"))
    reader = gguf.GGUFReader(path)
    assert reader.fields["general.architecture"].contents() == "duologue"
    assert reader.fields["duologue.csm.backbone.layers"].contents() == 2
    assert len(reader.tensors) == len(open_gguf(path).tensors)
    command = [sys.executable, "-m", "gguf.scripts.gguf_dump", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "duologue.csm.num_codebooks = 4" in done.stdout and "audio_head.weight" in done.stdout
