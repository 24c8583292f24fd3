"""The files that llama.cpp's CSM commands look for by themselves, and where they are fetched from. Opens none."""

from __future__ import annotations

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
    codec = None if mimi is None else Path(mimi).expanduser()
    if codec is not None and not codec.exists():
        raise WeightsNotFound(f"There is no codec {mimi}.", hint=f"-mv names a Mimi's file, such as {MIMI}.")
    if model == EMBEDDED:
        return locate(None, access, codec)
    if model is not None:
        return locate(model, access, codec)
    if Path(BACKBONE).is_file():
        return locate(BACKBONE, access, codec)
    return locate(_fetch_published(access), access, codec)


def _fetch_published(access: HubAccess) -> Path:
    for name in (DECODER, MIMI):
        fetch_file(REPOSITORY, name, access)
    return fetch_file(REPOSITORY, BACKBONE, access)
