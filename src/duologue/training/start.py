"""Weights to start from: any model by name, as a speech model to fine-tune and as a codec. Trains nothing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..csm.config import CsmConfig
from ..errors import LayoutMismatch
from ..mimi.codec import Mimi
from ..text.tokenizer import LlamaTokenizer, find_tokenizer
from ..weights.checkpoint import open_checkpoint
from ..weights.csm_files import CsmWeights, read_csm
from ..weights.hub import ANYHOW, HubAccess, fetch_file
from ..weights.load import OWN_CARD, ModelCard, ModelFiles, locate, locate_codec
from ..weights.mimi import from_transformers, load_mimi
from ..weights.mimi_transformers import read_config

EMBEDDED = "embedded"


@dataclass(frozen=True)
class Start:
    """A model that a run starts from: where its files are, its weights, and its tokenizer if it reads Llama's."""

    name: str
    files: ModelFiles
    weights: CsmWeights
    tokenizer: LlamaTokenizer | None

    @property
    def config(self) -> CsmConfig:
        return self.weights.config


def start_from(source: str, access: HubAccess = ANYHOW) -> Start:
    """Find and read a model: "embedded", a folder, a file, a hub name. Raises what `weights.load.locate` raises."""
    files = _own_file(Path(source)) or locate(None if source == EMBEDDED else source, access)
    return Start(source, files, read_csm(files.csm), _tokenizer(files, access))


def _own_file(path: Path) -> ModelFiles | None:
    """A speech model's single file of ours, without a codec beside it: a training's export."""
    if not path.is_file() or (path.parent / OWN_CARD).is_file() or open_checkpoint(path).layout != "duologue":
        return None
    return ModelFiles(ModelCard(path.stem, "phones"), path, None, None, ())


def _tokenizer(files: ModelFiles, access: HubAccess) -> LlamaTokenizer | None:
    if files.card.text != "llama":
        return None
    if files.tokenizer is not None:
        return LlamaTokenizer.load(files.tokenizer)
    return find_tokenizer(lambda repository, name: fetch_file(repository, name, access))


def codec_of(source: str | Path, access: HubAccess = ANYHOW) -> Mimi:
    """The codec of that name: a codec's own file or folder, or the codec of a model."""
    found = locate_codec(None if source == EMBEDDED else source, access)
    if isinstance(found, Path):
        return load_mimi(found).eval()
    return codec_of_files(found)


def codec_of_files(files: ModelFiles) -> Mimi:
    """The codec beside or inside a model's checkpoint. Raises LayoutMismatch if there is none."""
    if files.codec is not None:
        return load_mimi(files.codec).eval()
    weights = read_csm(open_checkpoint(files.csm).path)
    if not weights.codec_tensors or weights.codec_config is None:
        raise LayoutMismatch(f"{files.csm} holds no codec.", hint="Put a Mimi checkpoint beside it.")
    return from_transformers(weights.codec_tensors, read_config(dict(weights.codec_config))).eval()
