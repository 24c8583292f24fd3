"""Weight files from the Hugging Face hub, through huggingface_hub's own cache. Knows files, not tensors.

Every failure becomes a typed error that says what to do: which page to accept, how to log in, what is missing offline.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TypeVar

from ..errors import InputError, WeightsDamaged, WeightsNotFound
from .hub_gguf import chosen_files

REPOSITORY = re.compile(r"[A-Za-z0-9][\w.\-]*/[A-Za-z0-9][\w.\-]*")
GGUF_CHOICE = re.compile(r"(?P<repository>[^:\s]+):(?P<word>[\w.\-]+)")  # owner/name:q8_0, as llama.cpp has it
WEIGHT_NAMES = ("model.safetensors", "model.safetensors.index.json", "transformers.safetensors.index.json")
TOKENIZER_NAME = "tokenizer.json"
MAX_JSON_BYTES = 32 * 2**20
MAX_SHARDS = 1_000


@dataclass(frozen=True)
class HubAccess:
    """Which state of a repository, and how to reach it. None leaves huggingface_hub's settings in force
    (HF_HOME, HF_TOKEN, HF_HUB_OFFLINE, HF_ENDPOINT)."""

    revision: str | None = None
    token: str | None = None
    cache_dir: str | Path | None = None
    offline: bool = False


Answer = TypeVar("Answer")
ANYHOW = HubAccess()  # the newest state, by the environment's settings


def is_repository(source: str) -> bool:
    """Whether `source` reads as owner/name, or owner/name:word for one of several GGUF files, rather than as a path."""
    return REPOSITORY.fullmatch(_split(source)[0]) is not None


def _split(source: str) -> tuple[str, str]:
    """A repository, and the word that chooses among its GGUF files."""
    match = GGUF_CHOICE.fullmatch(source)
    return (match["repository"], match["word"]) if match else (source, "")


def fetch_file(repository: str, name: str, access: HubAccess = ANYHOW) -> Path:
    """Path of one file in the cache, downloaded if need be. Raises WeightsNotFound or WeightsDamaged."""
    if not is_repository(repository):
        raise InputError(f"{repository!r} is not a repository name.", hint="It reads owner/name.", field="model")
    from huggingface_hub import hf_hub_download

    def download() -> str:
        return hf_hub_download(
            repository,
            name,
            revision=access.revision,
            token=access.token,
            cache_dir=access.cache_dir,
            local_files_only=access.offline,
        )

    return Path(_asked(download, repository, name, access))


def _asked(ask: Callable[[], Answer], repository: str, name: str, access: HubAccess) -> Answer:
    """What the hub's client answers, its many errors turned into ours."""
    from huggingface_hub import errors as hub

    try:
        return ask()
    except hub.GatedRepoError as error:
        raise _gated(repository) from error
    except hub.RevisionNotFoundError as error:
        hint = "Leave the revision away for the newest."
        raise WeightsNotFound(f"{repository} has no revision {access.revision!r}.", hint=hint) from error
    except hub.RepositoryNotFoundError as error:
        raise _no_repository(repository) from error
    except hub.LocalEntryNotFoundError as error:
        raise _not_cached(repository, name, access) from error
    except hub.EntryNotFoundError as error:
        raise WeightsNotFound(f"{repository} has no file {name}.", hint="Is it a model of this family?") from error
    except hub.HfHubHTTPError as error:
        raise _http(repository, name, error) from error
    except (hub.HTTPError, OSError) as error:
        raise _broken_off(repository, name, error) from error


def _page(repository: str) -> str:
    from huggingface_hub import constants

    return f"{constants.ENDPOINT}/{repository}"


def _gated(repository: str) -> WeightsNotFound:
    hint = (
        f"Open {_page(repository)}, accept its terms while logged in, then run `hf auth login` "
        "(or set HF_TOKEN) and try again."
    )
    return WeightsNotFound(f"{repository} is gated: its owner asks everyone to accept terms first.", hint=hint)


def _no_repository(repository: str) -> WeightsNotFound:
    hint = f"Check the name at {_page(repository)}; a private one needs `hf auth login` or HF_TOKEN."
    return WeightsNotFound(f"There is no repository {repository}, or you may not see it.", hint=hint)


def _not_cached(repository: str, name: str, access: HubAccess) -> WeightsNotFound:
    from huggingface_hub import constants

    if access.offline or constants.HF_HUB_OFFLINE:
        hint = "Run once online (without --offline and HF_HUB_OFFLINE), or give a local folder."
        return WeightsNotFound(f"{name} of {repository} is not in the cache, and offline was asked for.", hint=hint)
    hint = "Check the connection, or give a local folder."
    return WeightsNotFound(f"{_page(repository)} can't be reached, and {name} is not in the cache.", hint=hint)


def _http(repository: str, name: str, error: Exception) -> WeightsNotFound:
    status = getattr(getattr(error, "response", None), "status_code", 0)
    if status in (401, 403):
        return _gated(repository)
    return WeightsNotFound(f"The hub answered {status} for {name} of {repository}.", hint="Try again later.")


def _broken_off(repository: str, name: str, error: Exception) -> WeightsDamaged | WeightsNotFound:
    if "onsistency check" in str(error) or type(error).__name__ in ("RemoteProtocolError", "ReadError"):
        hint = "What arrived so far is not used; run the command again."
        return WeightsDamaged(f"The download of {name} from {repository} broke off.", hint=hint)
    return WeightsNotFound(f"{name} of {repository} can't be fetched: {error}.", hint="Check disk and connection.")


def fetch_model(repository: str, access: HubAccess = ANYHOW) -> Path:
    """Folder in the cache with config.json, all weight files, whole or in shards, and the tokenizer if there is one;
    or, of a repository of GGUF files, the file that leads to all others (owner/name:word chooses among several)."""
    repository, word = _split(repository)
    config = None if word else _fetch_if_there(repository, "config.json", access)
    if config is None:
        return fetch_gguf(repository, word, access)
    folder = config.parent
    for name in WEIGHT_NAMES:
        found = _fetch_if_there(repository, name, access)
        if found is None:
            continue
        if name.endswith(".index.json"):
            for shard in shard_names(found):
                fetch_file(repository, shard, access)
        _fetch_if_there(repository, TOKENIZER_NAME, access)
        return folder
    hint = "A model of this family holds model.safetensors or an index of shards."
    raise WeightsNotFound(f"{repository} has no weight file that is known here.", hint=hint)


def fetch_gguf(repository: str, word: str = "", access: HubAccess = ANYHOW) -> Path:
    """The leading GGUF file of a repository, fetched with those that belong to it. Raises WeightsNotFound."""
    names = _names(repository, access)
    leading, *others = chosen_files(repository, names, word)
    for name in others:
        fetch_file(repository, name, access)
    if TOKENIZER_NAME in names:
        fetch_file(repository, TOKENIZER_NAME, access)
    return fetch_file(repository, leading, access)


def _names(repository: str, access: HubAccess) -> list[str]:
    """The files of a repository; offline, those in the cache."""
    from huggingface_hub import HfApi, constants, snapshot_download

    if access.offline or constants.HF_HUB_OFFLINE:

        def cached() -> list[str]:
            kept = snapshot_download(
                repository, revision=access.revision, cache_dir=access.cache_dir, local_files_only=True
            )
            return [path.name for path in Path(kept).iterdir()]

        return _asked(cached, repository, "GGUF", access)
    api = HfApi(constants.ENDPOINT, token=access.token)
    return _asked(lambda: api.list_repo_files(repository, revision=access.revision), repository, "GGUF", access)


def _fetch_if_there(repository: str, name: str, access: HubAccess) -> Path | None:
    """A file that a repository may lack, or, offline, the cache."""
    from huggingface_hub import constants

    try:
        return fetch_file(repository, name, access)
    except WeightsNotFound as error:
        if "has no file" in error.message or access.offline or constants.HF_HUB_OFFLINE:
            return None
        raise


def shard_names(index: Path) -> list[str]:
    """File names in a sharded checkpoint's index. Raises WeightsDamaged if it is none, or points outside its folder."""
    try:
        if index.stat().st_size > MAX_JSON_BYTES:
            raise WeightsDamaged(f"{index.name} is too large for an index.")
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise WeightsDamaged(f"{index.name} is not an index of shards.", hint="Fetch it again.") from error
    for name in names:
        if not isinstance(name, str) or PurePosixPath(name).name != name or not name.endswith(".safetensors"):
            raise WeightsDamaged(f"{index.name} names {name!r}, which is no shard beside it.")
    if len(names) > MAX_SHARDS:
        raise WeightsDamaged(f"{index.name} names {len(names)} shards.")
    return names
