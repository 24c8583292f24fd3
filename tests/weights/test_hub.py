"""Fetching from the hub with the real client, against a local stand-in: every failure says what to do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants

from duologue.errors import InputError, WeightsDamaged, WeightsNotFound
from duologue.weights.hub import HubAccess, fetch_file, fetch_model, is_repository, shard_names

from .hub_standin import COMMIT, Repository, Standin, hub_standin

INDEX = json.dumps({"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}).encode()


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Standin]:
    repositories = {
        "small/whole": Repository({"config.json": b"{}", "model.safetensors": b"w" * 5_000}),
        "small/sharded": Repository(
            {
                "config.json": b"{}",
                "model.safetensors.index.json": INDEX,
                "model-1.safetensors": b"1",
                "model-2.safetensors": b"2",
            }
        ),
        "small/gated": Repository({"config.json": b"{}", "model.safetensors": b"w"}, gated=True, token="hf_open"),
        "small/cut": Repository(
            {"config.json": b"{}", "model.safetensors": b"w" * 200_000}, truncated=frozenset({"model.safetensors"})
        ),
        "small/configless": Repository({"model.safetensors": b"w"}),
        "small/weightless": Repository({"config.json": b"{}"}),
        "small/broken": Repository({"config.json": b"{}"}, failing=404 + 6),
    }
    with hub_standin(repositories) as standin:
        template = standin.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "ENDPOINT", standin.url)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr("time.sleep", lambda seconds: None)
        monkeypatch.delenv("HF_TOKEN", raising=False)
        yield standin


@pytest.fixture
def access(tmp_path: Path) -> HubAccess:
    return HubAccess(cache_dir=tmp_path / "cache")


def test_a_whole_model_arrives_and_is_cached(hub: Standin, access: HubAccess) -> None:
    folder = fetch_model("small/whole", access)
    assert (folder / "model.safetensors").read_bytes() == b"w" * 5_000
    assert folder.name == COMMIT
    downloads = [path for verb, path in hub.requests if verb == "GET" and "safetensors" in path]
    fetch_model("small/whole", access)
    assert [path for verb, path in hub.requests if verb == "GET" and "safetensors" in path] == downloads


def test_all_shards_arrive(hub: Standin, access: HubAccess) -> None:
    folder = fetch_model("small/sharded", access)
    assert {"model-1.safetensors", "model-2.safetensors"} <= {path.name for path in folder.iterdir()}


def test_a_cached_model_needs_no_network(hub: Standin, access: HubAccess) -> None:
    for name in ("small/whole", "small/sharded"):
        fetch_model(name, access)
        asked = len(hub.requests)
        folder = fetch_model(name, HubAccess(cache_dir=access.cache_dir, offline=True))
        assert (folder / "config.json").exists() and len(hub.requests) == asked


@pytest.mark.parametrize("token", [None, "hf_other"])  # the hub answers 401 and 403
def test_a_gated_model_names_the_page_and_the_login(hub: Standin, access: HubAccess, token: str | None) -> None:
    with pytest.raises(WeightsNotFound) as caught:
        fetch_model("small/gated", HubAccess(cache_dir=access.cache_dir, token=token))
    assert f"{hub.url}/small/gated" in caught.value.hint
    assert "hf auth login" in caught.value.hint and "HF_TOKEN" in caught.value.hint


def test_the_right_token_opens_a_gated_model(hub: Standin, access: HubAccess) -> None:
    folder = fetch_model("small/gated", HubAccess(cache_dir=access.cache_dir, token="hf_open"))
    assert (folder / "model.safetensors").exists()


def test_a_truncated_download_is_never_taken_for_weights(hub: Standin, access: HubAccess) -> None:
    with pytest.raises(WeightsDamaged, match=r"model\.safetensors from small/cut broke off"):
        fetch_model("small/cut", access)
    snapshots = Path(str(access.cache_dir)) / "models--small--cut" / "snapshots" / COMMIT
    assert not (snapshots / "model.safetensors").exists()
    hub.repositories["small/cut"].truncated = frozenset()
    assert (fetch_model("small/cut", access) / "model.safetensors").stat().st_size == 200_000


@pytest.mark.parametrize(
    ("repository", "revision", "offline", "named"),
    [
        ("small/absent", None, False, "no repository small/absent"),
        ("small/configless", None, False, "no config.json"),
        ("small/weightless", None, False, "no weight file"),
        ("small/whole", "v9", False, "no revision 'v9'"),
        ("small/whole", None, True, "offline was asked for"),
        ("small/broken", None, False, "can't be reached"),
    ],
)
def test_what_is_missing_is_named(
    hub: Standin, access: HubAccess, repository: str, revision: str | None, offline: bool, named: str
) -> None:
    with pytest.raises(WeightsNotFound, match=named) as caught:
        fetch_model(repository, HubAccess(revision, cache_dir=access.cache_dir, offline=offline))
    assert caught.value.hint


def test_an_unreachable_hub_is_an_error_with_a_hint(
    hub: Standin, access: HubAccess, monkeypatch: pytest.MonkeyPatch
) -> None:
    template = "http://127.0.0.1:9/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    with pytest.raises(WeightsNotFound, match="can't be reached") as caught:
        fetch_file("small/whole", "config.json", access)
    assert "connection" in caught.value.hint


def test_a_revision_can_be_named(hub: Standin, access: HubAccess) -> None:
    assert fetch_model("small/whole", HubAccess(COMMIT, cache_dir=access.cache_dir)).name == COMMIT


def test_only_owner_and_name_are_a_repository() -> None:
    assert is_repository("sesame/csm-1b")
    for other in ("./sesame/csm-1b", "/a/b", "a", "a/b/c", "../b", "a/..", "C:\\a"):
        assert not is_repository(other)
    with pytest.raises(InputError):
        fetch_file("../etc", "passwd")


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"weight_map": 3}', '{"weight_map": {"a": "../x.safetensors"}}', '{"weight_map": {"a": "x.bin"}}',
     '{"weight_map": {"a": 1}}', '{"weight_map": {"a": ["x"]}}', "[" * 100_000],
)  # fmt: skip
def test_an_index_that_is_none_or_leaves_its_folder_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors.index.json"
    path.write_text(text)
    with pytest.raises(WeightsDamaged):
        shard_names(path)
