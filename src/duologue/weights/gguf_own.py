"""Our own GGUF: one file that is all of a model. Sizes, reading, licence, sampling and voices are in its metadata.

Tensors have the house's names; the codec's begin with "codec.", a voice's with "voice.N.". The depth decoder's heads
lie with their rows along the last axis, (K-1, V, D), so that they can be rounded in blocks like every other matrix.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..configuration import from_dict, to_dict
from ..csm.config import CsmConfig
from ..errors import LayoutMismatch, WeightsDamaged
from ..mimi.config import MimiConfig
from .gguf_file import GgufFile, NewTensor, Progress, write_gguf
from .gguf_keys import from_keys, to_keys
from .gguf_packed import ALIGNMENT, NewPacked, is_packed, read_packed
from .model_parts import CodecPart, CsmPart, ModelParts, StoredVoice
from .stored_array import in_type, swap_axes, type_of
from .type_policy import TypePolicy

ARCHITECTURE = LAYOUT = "duologue"
VERSION = 1
HEADS, STORED_HEADS = "audio_head", "audio_head.weight"
CODEC = "codec."
TOKENIZER_KEY = "tokenizer.huggingface.json"  # the GGUF specification's key for a whole tokenizer.json
DESCRIPTION_KEY = "general.description"
VOICE_TYPES = {"I8", "I16", "I32"}
AS_IT_IS = TypePolicy()
Importance = Callable[[str], "np.ndarray | None"]


def read_own(file: GgufFile) -> ModelParts:
    """The parts of a file of ours. Raises WeightsDamaged, or InputError naming a key of its metadata."""
    version = file.metadata.get("duologue.version")
    if version != VERSION:
        raise LayoutMismatch(f"{file.path.name} is of version {version!r}; this duologue reads {VERSION}.")
    codec, packed = any(name.startswith(CODEC) for name in file.tensors), is_packed(file)
    return ModelParts(
        layout="duologue-gguf",
        files=(file.path,),
        csm=(lambda: _csm(file)) if STORED_HEADS in file.tensors and not packed else None,
        packed=(lambda: read_packed(file)) if packed else None,
        codec=(lambda: _codec(file)) if codec else None,
        tokenizer=lambda: _tokenizer(file),
        card=from_keys(file.metadata, "duologue.card"),
        voices=tuple(_voices(file)),
        description=str(file.metadata.get(DESCRIPTION_KEY, "")),
        codec_elsewhere=not codec,
    )


def _csm(file: GgufFile) -> CsmPart:
    config = from_dict(CsmConfig, from_keys(file.metadata, "duologue.csm"), "duologue.csm")
    own = {name: t for name, t in file.tensors.items() if not name.startswith((CODEC, "voice."))}
    arrays = {name: tensor.array() for name, tensor in own.items()}
    heads = arrays.pop(STORED_HEADS)
    if heads.ndim != 3:
        raise WeightsDamaged(f"{STORED_HEADS} in {file.path.name} has {heads.ndim} axes.")
    arrays[HEADS] = swap_axes(heads)
    return CsmPart(config, arrays)


def _codec(file: GgufFile) -> CodecPart:
    config = from_dict(MimiConfig, from_keys(file.metadata, "duologue.codec"), "duologue.codec")
    arrays = {name.removeprefix(CODEC): t.array() for name, t in file.tensors.items() if name.startswith(CODEC)}
    return CodecPart(config, arrays)


def _tokenizer(file: GgufFile) -> bytes | None:
    text = file.metadata.get(TOKENIZER_KEY)
    if text is not None and not isinstance(text, str):
        raise WeightsDamaged(f"{TOKENIZER_KEY} in {file.path.name} is no text.")
    return None if text is None else text.encode()


def _voices(file: GgufFile) -> list[StoredVoice]:
    voices = []
    for number, card in sorted(from_keys(file.metadata, "duologue.voice").items()):
        prefix = f"voice.{number}."
        held = {name.removeprefix(prefix): t for name, t in file.tensors.items() if name.startswith(prefix)}
        if not isinstance(card, dict) or any(tensor.type not in VOICE_TYPES for tensor in held.values()):
            raise WeightsDamaged(f"Voice {number} in {file.path.name} can't be read.", hint="Fetch the file again.")
        voices.append(StoredVoice(card, {name: tensor.data for name, tensor in held.items()}))
    return voices


def write_own(
    path: Path,
    csm: CsmPart | NewPacked | None,
    codec: CodecPart | None,
    *,
    card: Mapping[str, Any] | None = None,
    tokenizer: bytes | None = None,
    voices: Sequence[StoredVoice] = (),
    description: str = "",
    policy: TypePolicy = AS_IT_IS,
    importance: Importance | None = None,
    progress: Progress | None = None,
) -> dict[str, str]:
    """Write a file, the speech model by name or in the engine's form. Returns each tensor's type by its name there.

    `importance` gives, for a tensor's name, the mean square of what each of its columns is multiplied by, or None.
    """
    packed = csm if isinstance(csm, NewPacked) else None
    metadata = _metadata(csm, codec, card or {}, tokenizer, voices, description)
    metadata |= packed.keys() if packed else {}
    tensors: dict[str, NewTensor] = packed.tensors() if packed else {}
    for name, array in _weights(csm if isinstance(csm, CsmPart) else None, codec).items():
        chosen = policy.type_for(name, array.shape, type_of(array))
        tensors[name] = NewTensor(chosen, tuple(array.shape), _maker(array, chosen, name, importance))
    for number, voice in enumerate(voices):
        tensors |= {f"voice.{number}.{name}": _whole_numbers(array) for name, array in voice.arrays.items()}
    write_gguf(path, ARCHITECTURE, metadata, tensors, alignment=ALIGNMENT if packed else None, progress=progress)
    return {name: new.type for name, new in tensors.items() if not name.startswith("voice.")}


def _whole_numbers(array: np.ndarray) -> NewTensor:
    return NewTensor(f"I{8 * array.dtype.itemsize}", array.shape, lambda: array)


def _weights(csm: CsmPart | None, codec: CodecPart | None) -> dict[str, Any]:
    weights: dict[str, Any] = {}
    for name, array in (csm.arrays if csm else {}).items():
        weights[STORED_HEADS if name == HEADS else name] = swap_axes(array) if name == HEADS else array
    weights.update({CODEC + name: array for name, array in (codec.arrays if codec else {}).items()})
    return dict(sorted(weights.items()))  # the same model is the same file, whichever layout it came from


def _maker(array: Any, chosen: str, name: str, importance: Importance | None) -> Callable[[], np.ndarray]:
    def make() -> np.ndarray:
        from .k_quants import WEIGHTED

        heeded = importance(name) if importance is not None and chosen in WEIGHTED else None
        return in_type(array, chosen, heeded)

    return make


def _metadata(
    csm: CsmPart | NewPacked | None,
    codec: CodecPart | None,
    card: Mapping[str, Any],
    tokenizer: bytes | None,
    voices: Sequence[StoredVoice],
    description: str,
) -> dict[str, Any]:
    keys: dict[str, Any] = {"general.type": "model", "general.quantization_version": 2, "duologue.version": VERSION}
    named = {"general.name": "name", "general.license": "licence"}
    keys |= {key: card[entry] for key, entry in named.items() if card.get(entry)}
    if description:
        keys[DESCRIPTION_KEY] = description
    keys |= to_keys(card, "duologue.card")
    if csm is not None:
        keys |= to_keys(to_dict(csm.config), "duologue.csm")
    if codec is not None:
        keys |= to_keys(to_dict(codec.config), "duologue.codec")
    if tokenizer is not None:
        keys[TOKENIZER_KEY] = tokenizer.decode()
    for number, voice in enumerate(voices):
        keys |= to_keys(voice.card, f"duologue.voice.{number}")
    return keys
