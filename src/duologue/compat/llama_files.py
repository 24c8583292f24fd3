"""The files that llama.cpp's CSM commands look for by themselves, and where they are fetched from. Opens none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ..errors import WeightsNotFound
from ..weights.hub import ANYHOW, HubAccess, fetch_file
from ..weights.load import ModelFiles, locate

REPOSITORY = "ggml-org/sesame-csm-1b-GGUF"
BACKBONE, DECODER, MIMI = "sesame-csm-backbone.gguf", "sesame-csm-decoder.gguf", "kyutai-mimi.gguf"
EMBEDDED = "embedded"


def find_files(model: str | None, mimi: str | None, access: HubAccess = ANYHOW) -> ModelFiles:
    """A model's files: the backbone's GGUF file (its decoder lies beside it), or anything that duologue.load takes.

    Without a name it is the backbone in this folder, else the published three files from the hub. "embedded" is the
    voice inside the package. `mimi` names another codec than the one that belongs to the model.
    """
    if model == EMBEDDED:
        files = locate(None, access)
    elif model is not None:
        files = locate(model, access)
    elif Path(BACKBONE).is_file():
        files = locate(BACKBONE, access)
    else:
        files = locate(_fetch_published(access), access)
    if mimi is None:
        return files
    path = Path(mimi).expanduser()
    if not path.exists():
        raise WeightsNotFound(f"There is no codec {mimi}.", hint=f"-mv names a Mimi's file, such as {MIMI}.")
    return replace(files, codec=path)


def _fetch_published(access: HubAccess) -> Path:
    for name in (DECODER, MIMI):
        fetch_file(REPOSITORY, name, access)
    return fetch_file(REPOSITORY, BACKBONE, access)
