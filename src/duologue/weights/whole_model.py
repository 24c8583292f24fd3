"""Everything of a model, from whichever layout, as the parts that one GGUF file of ours holds; and into other layouts.

Nothing is loaded: arrays lie in the mapped files until they are written.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from ..errors import WeightsDamaged
from . import kyutai
from .arrays import file_arrays
from .checkpoint import Checkpoint, open_checkpoint, read_header
from .csm_files import CsmWeights, read_csm
from .gguf_file import Progress
from .gguf_own import AS_IT_IS, STORED_HEADS, Importance, write_own
from .gguf_packed import NewPacked
from .load import ModelFiles
from .mimi import own_config
from .mimi_names import to_ours
from .mimi_transformers import read_config
from .model_parts import CodecPart, CsmPart, StoredVoice
from .stored_array import as_floats
from .type_policy import TypePolicy


@dataclass(frozen=True)
class WholeModel:
    """A speech model, its codec, its card, its tokenizer.json, its voices, and a text that describes it."""

    csm: CsmPart
    codec: CodecPart
    card: Mapping[str, Any]
    tokenizer: bytes | None
    voices: tuple[StoredVoice, ...]
    description: str = ""


def read_whole(files: ModelFiles, weights: CsmWeights | None = None) -> WholeModel:
    """All parts of a model whose files are known; `weights` are the speech model's, if they were read already.

    Raises WeightsError for any part that can't be read.
    """
    weights = weights or read_csm(files.csm, as_arrays=True)
    if files.codec is not None:
        codec = read_codec(files.codec)
    else:
        codec = _from_transformers(weights.codec_tensors, weights.codec_config or {}, str(files.csm))
    text = files.tokenizer.read_bytes() if files.tokenizer else files.inside.tokenizer() if files.inside else None
    voices = (*map(read_voice, files.voices), *files.stored_voices)
    card = {name: value for name, value in asdict(files.card).items() if value is not None}
    return WholeModel(CsmPart(weights.config, weights.tensors), codec, card, text, voices, _description(files))


def _description(files: ModelFiles) -> str:
    if files.inside is not None:
        return files.inside.description
    beside = files.csm.parent / "MODEL_CARD.md"
    return beside.read_text(encoding="utf-8") if beside.is_file() else ""


def read_codec(path: Path) -> CodecPart:
    """A codec's arrays under our names, from any layout, without torch."""
    checkpoint = open_checkpoint(path)
    if checkpoint.parts is not None:
        return checkpoint.parts.sound_codec()
    arrays = {name: array for file in checkpoint.files for name, array in file_arrays(file).items()}
    if checkpoint.layout == "transformers-mimi":
        return _from_transformers(arrays, checkpoint.config or {}, str(path))
    return _from_kyutai(checkpoint, arrays)


def _from_transformers(arrays: Mapping[str, Any], config: Mapping[str, Any], where: str) -> CodecPart:
    if not arrays:
        raise WeightsDamaged(f"{where} holds no codec.", hint="Put a Mimi checkpoint beside it.")
    sizes = read_config(dict(config))
    return CodecPart(sizes, to_ours(arrays, sizes.transformer.heads, where, halves=True))


def _from_kyutai(checkpoint: Checkpoint, arrays: dict[str, Any]) -> CodecPart:
    named: dict[str, Any] = kyutai.canonical(cast("Any", arrays))
    shapes = {name: tuple(array.shape) for name, array in named.items()}
    config = own_config(dict(checkpoint.metadata)) or kyutai.infer_config(shapes)
    return CodecPart(config, {kyutai.our_name(name, config): array for name, array in named.items()})


def read_voice(path: Path) -> StoredVoice:
    """A voice's file as it is, unchecked: voice.py checks it when it is used."""
    _, notes = read_header(path)
    try:
        card = json.loads(notes["voice"])
    except (KeyError, ValueError, RecursionError) as error:
        raise WeightsDamaged(f"{path.name} is not a voice file.", hint="`duologue voices add` makes one.") from error
    return StoredVoice(card, {name: np.asarray(array) for name, array in file_arrays(path).items()})


def read_importance(path: Path) -> Importance:
    """Vectors by our tensors' names: the mean square of what each column is multiplied by, (n,) or (pages, n)."""
    return importance_of(file_arrays(path))


def importance_of(arrays: Mapping[str, Any]) -> Importance:
    """The same from arrays in memory."""

    def of(name: str) -> np.ndarray | None:
        found = arrays.get("audio_head" if name == STORED_HEADS else name)
        return None if found is None else as_floats(found)

    return of


def write_whole(
    model: WholeModel,
    path: Path,
    policy: TypePolicy = AS_IT_IS,
    importance: Importance | None = None,
    *,
    packed: NewPacked | None = None,
    progress: Progress | None = None,
) -> dict[str, str]:
    """Write one GGUF file with all of a model; `packed` stands in for the speech model's tensors.

    Returns each weight's type by its name in the file.
    """
    return write_own(
        path,
        packed or model.csm,
        model.codec,
        card=model.card,
        tokenizer=model.tokenizer,
        voices=model.voices,
        description=model.description,
        policy=policy,
        importance=importance,
        progress=progress,
    )
