"""GGUF repositories by name, with the hub's real client against a local stand-in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants

import duologue
from duologue.errors import WeightsNotFound
from duologue.weights.gguf_llama_csm import write_llama_csm
from duologue.weights.gguf_llama_mimi import write_llama_mimi
from duologue.weights.hub import HubAccess, is_repository
from duologue.weights.hub_gguf import chosen_files
from duologue.weights.load import locate
from duologue.weights.whole_model import read_whole, write_whole

from .gguf_models import codec_part, csm_part, tokenizer_json
from .hub_standin import Repository, Standin, hub_standin

PULL_REQUEST = "ggml-org/sesame-csm-1b-GGUF"


@pytest.fixture
def hub(tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Standin]:
    made = tmp_path / "made"
    write_llama_csm(csm_part(), made / "sesame-csm-<component>.gguf", "F32", tokenizer=tokenizer_json())
    write_llama_mimi(codec_part(), made / "kyutai-mimi.gguf", "F32")
    write_whole(read_whole(locate(tiny_folder)), made / "tiny.gguf")
    files = {path.name: path.read_bytes() for path in made.iterdir()}
    one = files.pop("tiny.gguf")
    repositories = {
        PULL_REQUEST: Repository(files),
        "some/voice-GGUF": Repository({"voice-f16.gguf": one, "README.md": b"words"}),
        "some/voices-GGUF": Repository({"voice-f16.gguf": one, "voice-q8_0.gguf": one}),
        "some/empty-GGUF": Repository({"README.md": b"words"}),
    }
    with hub_standin(repositories) as standin:
        monkeypatch.setattr(constants, "ENDPOINT", standin.url)
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", standin.url + "/{repo_id}/resolve/{revision}/{filename}"
        )
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr("time.sleep", lambda seconds: None)
        yield standin


def test_the_pull_requests_repository_loads_and_speaks_by_its_name(hub: Standin, tmp_path: Path) -> None:
    model = duologue.load(PULL_REQUEST, device="cpu", engine="torch", cache_dir=tmp_path / "cache")
    assert model.config == csm_part().config
    assert len(model.generate("hello", seed=1, max_seconds=0.4, check=False).samples) > 0
    asked = len(hub.requests)
    files = locate(PULL_REQUEST, HubAccess(cache_dir=tmp_path / "cache", offline=True))
    assert len(hub.requests) == asked and files.codec is not None and files.codec.name == "kyutai-mimi.gguf"


def test_a_repository_of_one_file_is_that_file(hub: Standin, tmp_path: Path) -> None:
    model = duologue.load("some/voice-GGUF", device="cpu", cache_dir=tmp_path / "cache")
    assert set(model.voices) == {"one", "two"}


def test_among_several_files_a_word_chooses(hub: Standin, tmp_path: Path) -> None:
    access = HubAccess(cache_dir=tmp_path / "cache")
    with pytest.raises(WeightsNotFound, match="2 models") as caught:
        locate("some/voices-GGUF", access)
    assert "voice-f16.gguf, voice-q8_0.gguf" in caught.value.hint
    assert locate("some/voices-GGUF:q8_0", access).csm.name == "voice-q8_0.gguf"
    with pytest.raises(WeightsNotFound, match="'q2_k'"):
        locate("some/voices-GGUF:q2_k", access)
    with pytest.raises(WeightsNotFound, match="0 models"):
        locate("some/empty-GGUF", access)


def test_files_that_belong_together_are_chosen_together() -> None:
    names = [
        "csm-backbone-f16.gguf",
        "csm-backbone-q8_0.gguf",
        "csm-decoder.gguf",
        "csm-decoder-q8_0.gguf",
        "mimi.gguf",
    ]
    assert chosen_files("a/b", names, "q8_0") == ["csm-backbone-q8_0.gguf", "csm-decoder-q8_0.gguf", "mimi.gguf"]
    assert chosen_files("a/b", names, "f16") == ["csm-backbone-f16.gguf", "csm-decoder.gguf", "mimi.gguf"]
    pair = ["codec.gguf", "codec-q4_k_m.gguf", "csm-1b-q4_k_m.gguf", "csm-1b-f16.gguf"]
    assert chosen_files("a/b", pair, "f16") == ["csm-1b-f16.gguf", "codec.gguf"]
    assert chosen_files("a/b", pair, "q4_k_m") == ["csm-1b-q4_k_m.gguf", "codec-q4_k_m.gguf"]
    assert is_repository("a/b:q8_0") and not is_repository("C:/a/b")
