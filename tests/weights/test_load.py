"""One name, any home: the hub, a folder, a file; Sesame's layout, transformers' with the codec inside, and our own."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from huggingface_hub import constants
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

import duologue
from duologue.api import load_codec
from duologue.audio import Audio
from duologue.csm.config import RopeScaling
from duologue.errors import InputError, LayoutMismatch, WeightsError, WeightsNotFound
from duologue.text.tokenizer import BEGIN, END
from duologue.weights.load import KYUTAI_FILE, KYUTAI_REPOSITORY, locate
from tests.tiny import BOOKS, speech_like, tiny_codec_config, tiny_csm_config

from .hub_standin import Repository, Standin, hub_standin

VOCABULARY = 300


def write_tokenizer(path: Path) -> None:
    """A byte-level tokenizer of Llama's form."""
    alphabet = {symbol: i for i, symbol in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Tokenizer(models.BPE(alphabet, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([BEGIN, END])
    tokenizer.save(str(path))


@pytest.fixture(scope="module")
def homes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`sesame/` and `transformers/` hold the same Sesame-type CSM; `mimi/` the codec; each with random weights."""
    import torch

    from duologue.csm.model import Csm
    from duologue.mimi.codec import Mimi
    from duologue.weights.csm_files import CsmWeights, write_csm
    from duologue.weights.mimi import save_mimi
    from duologue.weights.mimi_transformers import to_file, write_config

    folder = tmp_path_factory.mktemp("homes")
    torch.manual_seed(5)
    config = tiny_csm_config(aligned=False)
    scaling = RopeScaling(factor=32.0)
    config = replace(
        config,
        text_vocab=VOCABULARY,
        backbone=replace(config.backbone, rope_scaling=scaling),
        depth=replace(config.depth, rope_scaling=scaling),
    )
    csm, mimi = Csm(config), Mimi(tiny_codec_config()).eval()
    weights = CsmWeights(config, dict(csm.state_dict()))
    write_csm(weights, folder / "sesame", "sesame")
    save_mimi(mimi, folder / "mimi" / "codec.safetensors")
    from duologue.weights.kyutai import fold_weight_norm

    weights.codec_tensors = to_file(fold_weight_norm(dict(mimi.state_dict())), mimi.config)
    weights.codec_config = write_config(mimi.config)
    write_csm(weights, folder / "transformers", "transformers-csm")
    for home in ("sesame", "transformers"):
        write_tokenizer(folder / home / "tokenizer.json")
    shutil.copy(folder / "mimi" / "codec.safetensors", folder / "sesame" / "codec.safetensors")
    return folder


@pytest.fixture
def hub(homes: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Standin]:
    """A hub with the model in Sesame's layout, and Kyutai's repository with the codec."""
    files = {path.name: path.read_bytes() for path in (homes / "sesame").iterdir() if path.name != "codec.safetensors"}
    codec = (homes / "mimi" / "codec.safetensors").read_bytes()
    repositories = {"some/csm": Repository(files), KYUTAI_REPOSITORY: Repository({KYUTAI_FILE: codec})}
    with hub_standin(repositories) as standin:
        template = standin.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "ENDPOINT", standin.url)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr("time.sleep", lambda seconds: None)
        yield standin


def said(model: duologue.Model) -> np.ndarray:
    context = [duologue.Turn(1, "How are you?", Audio(speech_like(1.0)))]
    return model.generate("Fine, thanks.", context=context, seed=3, max_seconds=0.8, check=False).samples


def test_the_same_model_speaks_the_same_from_every_home(homes: Path, hub: Standin, tmp_path: Path) -> None:
    sources: list[str | Path] = [
        homes / "sesame",
        homes / "sesame" / "model.safetensors",
        homes / "transformers",
        "some/csm",
    ]
    spoken = [said(duologue.load(source, device="cpu", engine="torch", cache_dir=tmp_path)) for source in sources]
    for other in spoken[1:]:
        assert len(other) == len(spoken[0]) and np.abs(other - spoken[0]).max() < 1e-3


@pytest.mark.parametrize("home", ["sesame", "transformers"])
def test_without_torch_every_home_says_the_same(home: str, homes: Path, tmp_path: Path) -> None:
    """Language model and codec both, also where the codec lies inside the model's own checkpoint."""
    script = f"""
import sys, numpy as np, duologue
from duologue.mimi.torchless.native import NativeMimi
model = duologue.load({str(homes / home)!r}, device="cpu")
assert isinstance(model.codec.mimi, NativeMimi)
audio = model.generate("Fine, thanks.", seed=3, max_seconds=0.8, check=False)
heard = model.encode(audio)
np.savez({str(tmp_path / "out.npz")!r}, samples=audio.samples, codes=heard)
assert not {{"torch", "transformers"}} & sys.modules.keys()
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=200)
    out = np.load(tmp_path / "out.npz")
    model = duologue.load(homes / home, device="cpu", engine="torch")
    audio = model.generate("Fine, thanks.", seed=3, max_seconds=0.8, check=False)
    np.testing.assert_allclose(out["samples"], audio.samples, atol=1e-4 * np.abs(audio.samples).max())
    assert (out["codes"] == model.encode(Audio(out["samples"]))).mean() > 0.99


def test_once_fetched_it_loads_offline(hub: Standin, tmp_path: Path) -> None:
    with pytest.raises(WeightsNotFound, match="offline"):
        duologue.load("some/csm", device="cpu", cache_dir=tmp_path, offline=True)
    duologue.load("some/csm", device="cpu", cache_dir=tmp_path)
    asked = len(hub.requests)
    duologue.load("some/csm", device="cpu", cache_dir=tmp_path, offline=True)
    assert len(hub.requests) == asked


def test_a_gated_tokenizer_has_an_ungated_stand_in(hub: Standin, homes: Path, tmp_path: Path) -> None:
    from duologue.text.tokenizer import SOURCES

    files = hub.repositories["some/csm"].files
    tokenizer = files.pop("tokenizer.json")
    (tmp_path / "model").mkdir()
    hub.repositories[SOURCES[0]] = Repository({"tokenizer.json": tokenizer}, gated=True)
    with pytest.raises(WeightsNotFound, match="gated"):
        duologue.load("some/csm", device="cpu", cache_dir=tmp_path)
    hub.repositories[SOURCES[1]] = Repository({"tokenizer.json": tokenizer})
    assert duologue.load("some/csm", device="cpu", cache_dir=tmp_path).config.text_vocab == VOCABULARY


def test_a_tokenizer_of_another_model_is_refused(homes: Path, tmp_path: Path) -> None:
    folder = tmp_path / "m"
    shutil.copytree(homes / "sesame", folder)
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["model"]["vocab"].update({f"w{n}": 300 + n for n in range(200)})
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(LayoutMismatch, match="tokens"):
        duologue.load(folder, device="cpu")


@pytest.mark.parametrize("source", ["absent", "./absent/folder", "a/b/c", ""])
def test_what_is_nowhere_is_refused(source: str) -> None:
    with pytest.raises(WeightsError):
        duologue.load(source, device="cpu", offline=True)


def test_an_unknown_entry_in_model_json_is_named(tiny_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "m"
    shutil.copytree(tiny_folder, folder)
    (folder / "model.json").write_text('{"name": "x", "text": "phones", "defaultvoice": "one"}')
    with pytest.raises(InputError, match="defaultvoice") as caught:
        locate(folder)
    assert "default_voice" in caught.value.hint


def test_engines_and_devices_that_are_not_here_are_refused(tiny_folder: Path) -> None:
    with pytest.raises(InputError, match="steam"):
        duologue.load(tiny_folder, engine="steam")
    for device in ("cuda:9", "abacus"):
        with pytest.raises(duologue.DuologueError):
            duologue.load(tiny_folder, device=device)


def test_a_codec_loads_without_its_model(homes: Path, tiny_folder: Path) -> None:
    for source in (homes / "mimi" / "codec.safetensors", homes / "transformers", tiny_folder):
        codec = load_codec(source, device="cpu")
        assert codec.encode(speech_like(1.0)).shape == (BOOKS, 13)
        assert load_codec(source, 2, "cpu").encode(speech_like(1.0)).shape == (2, 13)
    with pytest.raises(InputError, match="codebooks"):
        load_codec(tiny_folder, 9, "cpu")
