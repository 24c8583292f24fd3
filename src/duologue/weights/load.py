"""From a name to files: the embedded voice, a hub repository, a folder or a file. Knows paths, builds nothing.

A model of ours is a folder: csm.safetensors, codec.safetensors, voices/, and model.json that tells how it reads text;
or one GGUF file that holds all of that. Other makers' models come as they are published; Mimi is then inside, beside,
or fetched from Kyutai.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..configuration import from_dict
from ..errors import InputError, WeightsNotFound
from .checkpoint import Checkpoint, open_checkpoint, read_json
from .embedded import embedded_folder
from .hub import ANYHOW, HubAccess, fetch_file, fetch_model, is_repository
from .model_parts import ModelParts, StoredVoice

if TYPE_CHECKING:
    from .gguf_packed import PackedPart

TextKind = Literal["phones", "llama"]
OWN_CARD = "model.json"
CODEC_NAMES = ("codec.safetensors", "tokenizer-e351c8d8-checkpoint125.safetensors", "kyutai-mimi.gguf")
KYUTAI_REPOSITORY = "kyutai/moshiko-pytorch-bf16"
KYUTAI_FILE = "tokenizer-e351c8d8-checkpoint125.safetensors"


@dataclass(frozen=True)
class ModelCard:
    """What model.json says: a name, how text becomes ids, the voice that speaks if none is named, usual sampling."""

    name: str
    text: TextKind
    default_voice: str = ""
    fixed_voices: bool = False  # trained on these speaker numbers: a voice keeps its own number wherever it speaks
    pin_voices: bool = True  # its own voices need their prompts in front; others are always pinned
    licence: str = ""
    temperature: float | None = None  # the sampling that suits it, where it departs from 0.9 and 50
    top_k: int | None = None
    depth_temperature: float | None = None
    depth_top_k: int | None = None
    advance_temperature: float | None = None
    guidance: float | None = None
    noise: bool = False  # random weights for trying things out: noise, not speech


@dataclass(frozen=True)
class ModelFiles:
    """Where everything of one model is. `codec` None: inside the checkpoint. `tokenizer` None: from its usual place."""

    card: ModelCard
    csm: Path
    codec: Path | None
    tokenizer: Path | None
    voices: tuple[Path, ...]
    inside: ModelParts | None = None  # a GGUF model: it may hold voices and a tokenizer

    @property
    def packed(self) -> PackedPart | None:
        """The speech model, if its file holds it as the CPU engine reads it."""
        return None if self.inside is None or self.inside.packed is None else self.inside.packed()

    @property
    def stored_voices(self) -> tuple[StoredVoice, ...]:
        """Voices inside the model's own file."""
        return () if self.inside is None else self.inside.voices


def locate(source: str | Path | None = None, access: HubAccess = ANYHOW, codec: Path | None = None) -> ModelFiles:
    """Find a model's files, fetching what is missing; `codec` stands in for the one that belongs to the model.

    Raises WeightsNotFound, WeightsDamaged or InputError.
    """
    if source is None:
        return _of_folder(embedded_folder(), access, codec)
    path = Path(source).expanduser()
    if path.is_dir():
        return _of_folder(path, access, codec)
    if path.is_file():
        return _of_file(path, access, codec)
    if isinstance(source, str) and is_repository(source):
        return _foreign(fetch_model(source, access), source, access, codec)
    raise WeightsNotFound(
        f"There is no model {str(source)!r}.",
        hint="Give a folder, a .safetensors or .gguf file, or a hub name: owner/name.",
    )


def locate_codec(source: str | Path | None = None, access: HubAccess = ANYHOW) -> Path | ModelFiles:
    """Find a codec: a Mimi checkpoint itself, or the model whose codec is meant."""
    path = Path(source).expanduser() if source is not None else None
    if path is not None and path.exists() and not (path / OWN_CARD).is_file():
        checkpoint = open_checkpoint(path)
        if checkpoint.layout in ("kyutai-mimi", "transformers-mimi"):
            return path if path.is_dir() or checkpoint.layout == "kyutai-mimi" else path.parent
        if checkpoint.parts is not None and not checkpoint.parts.holds_speech_model:
            return checkpoint.files[0]
    return locate(source, access)


def _of_folder(folder: Path, access: HubAccess, codec: Path | None = None) -> ModelFiles:
    if not (folder / OWN_CARD).is_file():
        return _foreign(folder, folder.name, access, codec)
    card = _card(read_json(folder / OWN_CARD), str(folder / OWN_CARD))
    csm = folder / "csm.safetensors"
    if not csm.is_file():
        raise WeightsNotFound(f"{folder} has {OWN_CARD} but no csm.safetensors.", hint="Copy the whole folder.")
    voices = tuple(sorted((folder / "voices").glob("*.safetensors")))
    return ModelFiles(card, csm, codec or _codec_beside(folder, csm, access), _tokenizer_in(folder), voices)


def _card(values: Mapping[str, Any], where: str) -> ModelCard:
    try:
        return from_dict(ModelCard, values, OWN_CARD)
    except InputError as error:
        raise InputError(f"{where}: {error.message}", hint=error.hint, field=error.field) from error


def _of_file(path: Path, access: HubAccess, codec: Path | None = None) -> ModelFiles:
    folder = path.parent
    if (folder / OWN_CARD).is_file() and path.name == "csm.safetensors":
        return _of_folder(folder, access, codec)
    return _foreign(path, path.stem, access, codec)


def _foreign(path: Path, name: str, access: HubAccess, codec: Path | None = None) -> ModelFiles:
    """A model in somebody else's layout, or a file of ours without its folder."""
    folder = path if path.is_dir() else path.parent
    checkpoint = open_checkpoint(path)
    if checkpoint.parts is not None:
        return _of_parts(checkpoint, checkpoint.parts, access, codec)
    inside = any(key.startswith("codec_model.") for key in checkpoint.tensors)
    codec = codec or (None if inside else _codec_beside(folder, path, access))
    text: TextKind = "phones" if checkpoint.layout == "duologue" else "llama"
    return ModelFiles(ModelCard(name, text), path, codec, _tokenizer_in(folder), ())


def _of_parts(checkpoint: Checkpoint, parts: ModelParts, access: HubAccess, codec: Path | None = None) -> ModelFiles:
    """A model in GGUF: everything is in its file, but perhaps for the codec and the tokenizer."""
    file = parts.files[0]
    codec = codec or (file if parts.codec is not None else _codec_beside(file.parent, file, access))
    card = {"name": file.stem, "text": "llama"} | dict(parts.card)
    return ModelFiles(_card(card, file.name), checkpoint.path, codec, _tokenizer_in(file.parent), (), parts)


def local_codec(folder: Path, csm: Path) -> Path | None:
    """The codec that lies beside a model under a usual name."""
    found = (folder / name for name in CODEC_NAMES)
    return next((path for path in found if path.is_file() and path != csm), None)


def _codec_beside(folder: Path, csm: Path, access: HubAccess) -> Path:
    found = local_codec(folder, csm)
    if found is not None:
        return found
    return fetch_file(KYUTAI_REPOSITORY, KYUTAI_FILE, HubAccess(None, access.token, access.cache_dir, access.offline))


def _tokenizer_in(folder: Path) -> Path | None:
    path = folder / "tokenizer.json"
    return path if path.is_file() else None
