"""Which engine and codec a model's files become, and that it makes no difference to what is heard."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import duologue
from duologue.engine import assembly
from duologue.engine.assembly import assemble, assemble_codec, usual_engine, usual_plan
from duologue.engine.native_engine import NativeEngine
from duologue.engine.torch_engine import TorchEngine
from duologue.errors import BackendUnavailable, InputError
from duologue.mimi.sounding import SoundCodec
from duologue.mimi.torchless.sounding import TorchlessSoundCodec
from duologue.native import binding
from duologue.weights.load import locate


@pytest.fixture
def no_library(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """An installation whose kernels were not compiled."""
    monkeypatch.setenv("DUOLOGUE_NATIVE_LIBRARY", str(tmp_path / "none.so"))
    binding.library.cache_clear()
    yield
    binding.library.cache_clear()


def test_a_small_model_speaks_natively_and_without_torch(tiny_folder: Path) -> None:
    network, codec = assemble(locate(tiny_folder), device="cpu")
    assert isinstance(network, NativeEngine)
    assert isinstance(codec, TorchlessSoundCodec)
    assert network.name.endswith("float32")


def test_a_finished_voice_speaks_in_int8_and_what_training_left_stays_exact(tiny_folder: Path) -> None:
    names = [
        duologue.load(source, device="cpu", engine=engine).engine.name.rpartition("-")[2]
        for source, engine in ((None, "auto"), (None, "native"), (None, "native-float16"), (tiny_folder, "auto"))
    ]
    assert names == ["int8", "int8", "float16", "float32"]


def test_both_engines_say_the_same(tiny_folder: Path) -> None:
    spoken = [
        duologue.load(tiny_folder, device="cpu", engine=engine).generate("Hello there.", seed=3).samples
        for engine in ("native", "torch")
    ]
    assert len(spoken[0]) == len(spoken[1]) > 0
    assert np.square(spoken[0] - spoken[1]).sum() < 1e-4 * np.square(spoken[1]).sum()


def test_a_weight_format_can_be_asked_for(tiny_folder: Path) -> None:
    network, _ = assemble(locate(tiny_folder), engine="native-int8")
    assert network.name.endswith("int8")
    with pytest.raises(InputError, match="int8"):
        assemble(locate(tiny_folder), engine="native-int7")


def test_without_kernels_torch_speaks_and_the_user_is_told(
    tiny_folder: Path, no_library: None, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        network, codec = assemble(locate(tiny_folder))
    assert isinstance(network, TorchEngine)
    assert isinstance(codec, SoundCodec)
    assert "not compiled" in caplog.text
    with pytest.raises(BackendUnavailable, match="not compiled"):
        assemble(locate(tiny_folder), engine="native")


def test_a_large_model_without_kernels_speaks_by_torchs_int4(
    tiny_folder: Path, no_library: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(assembly, "SMALL_PARAMETERS", 10)
    network, _ = assemble(locate(tiny_folder), device="cpu")
    assert network.name == usual_engine(large=True) == "torch-cpu-int4"
    assert assemble(locate(tiny_folder), device="cpu", engine="torch")[0].name == "torch-cpu-float32"


def test_torchs_int4_can_be_asked_for(tiny_folder: Path) -> None:
    assert duologue.load(tiny_folder, engine="torch-int4", device="cpu").engine.name == "torch-cpu-int4"


def test_without_either_the_error_says_what_to_install(
    tiny_folder: Path, no_library: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(assembly, "has_torch", lambda: False)
    with pytest.raises(BackendUnavailable, match="not compiled"):
        assemble(locate(tiny_folder))


def test_the_native_engine_refuses_a_gpu(tiny_folder: Path) -> None:
    with pytest.raises(BackendUnavailable, match="cuda"):
        assemble(locate(tiny_folder), device="cuda", engine="native")


def test_a_large_models_rounded_weights_are_kept(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(assembly, "SMALL_PARAMETERS", 10)
    monkeypatch.setenv("DUOLOGUE_HOME", str(tmp_path))
    first, _ = assemble(locate(tiny_folder), device="cpu")
    kept = list((tmp_path / "packed").iterdir())
    assert len(kept) == 1
    written = kept[0].stat().st_mtime_ns
    again, _ = assemble(locate(tiny_folder), device="cpu")
    assert first.name == again.name
    assert first.name.endswith("int8")
    assert kept[0].stat().st_mtime_ns == written
    assert isinstance(first, NativeEngine)
    assert isinstance(again, NativeEngine)
    np.testing.assert_array_equal(first.packed.block, again.packed.block)


def test_a_codec_alone_needs_no_torch(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_torch = assemble_codec(tiny_folder / "codec.safetensors", device="cpu")
    monkeypatch.setattr(assembly, "has_torch", lambda: False)
    without = assemble_codec(tiny_folder / "codec.safetensors")
    assert isinstance(without, TorchlessSoundCodec)
    assert without.fingerprint == with_torch.fingerprint


def test_what_is_chosen_is_what_doctor_says() -> None:
    small, large = usual_engine(large=False), usual_engine(large=True)
    assert small == f"{duologue.load(device='cpu').engine.name}, 1 thread"
    assert large.split(",")[0].endswith(usual_plan(large=True)) or large.startswith("torch-")


def test_without_kernels_torch_is_chosen(no_library: None) -> None:
    assert usual_engine(large=False).startswith("torch-")
