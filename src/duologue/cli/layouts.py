"""Which writer makes which layout, and what has to be read for it: never more than the layout holds."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from ..weights.csm_files import CsmWeights
    from ..weights.gguf_file import Progress
    from ..weights.hub import HubAccess
    from ..weights.load import ModelFiles
    from ..weights.model_parts import CodecPart, ModelParts
    from ..weights.whole_model import WholeModel

EMBEDDED = "embedded"


class To(StrEnum):
    """Layouts that can be written."""

    duologue = "duologue"
    gguf = "gguf"
    llama = "llama"
    sesame = "sesame"
    transformers = "transformers"
    kyutai = "kyutai"


class Number(StrEnum):
    """Types that weights can be stored in."""

    float32 = "float32"
    bfloat16 = "bfloat16"
    float16 = "float16"
    q8_0 = "q8_0"
    q6_k = "q6_k"
    q5_k = "q5_k"
    q4_k = "q4_k"
    q4_0 = "q4_0"


ENDINGS = {
    To.duologue: ".safetensors",
    To.kyutai: ".safetensors",
    To.gguf: ".gguf",
    To.llama: ".gguf",
}  # others: folders


def written_as(
    source: str, target: Path, to: To, dtype: Number | None, access: HubAccess, progress: Progress | None = None
) -> list[Path]:
    """Convert a model or a codec. Returns what was written."""
    from ..weights.whole_model import read_codec

    alone = _codec_alone(source)
    _check_ending(target, to, alone is not None)
    if alone is not None:
        return [_codec(read_codec(alone), target, to, dtype)]
    if to is To.kyutai or (to is To.llama and _names_mimi(target)):
        return [_codec(_whole(source, access).codec, target, to, dtype)]
    if to is To.gguf:
        return [_gguf(_whole(source, access), target, _gguf_type(dtype), progress)]
    if to is To.llama:
        return _llama(source, target, _gguf_type(dtype) or "F16", access)
    return [_csm(source, target, to, dtype, access)]


def whole_of(files: ModelFiles) -> WholeModel:
    """All parts of a model, also of one in the CPU engine's form."""
    from ..engine.assembly import named_weights
    from ..weights.whole_model import read_whole

    return read_whole(files, named_weights(files, as_arrays=True))


def _whole(source: str, access: HubAccess) -> WholeModel:
    from ..weights.load import locate

    return whole_of(locate(None if source == EMBEDDED else source, access))


def _check_ending(target: Path, to: To, codec: bool) -> None:
    from ..errors import InputError

    wanted = ENDINGS.get(to, "")
    if wanted and target.suffix != wanted:
        raise InputError(f"{target} should end in {wanted}: {to} is one file.", field="target")
    if not wanted and target.suffix in (".safetensors", ".gguf"):
        what = "codec" if codec else "model"
        raise InputError(f"{target} looks like a file; a {what} in {to}'s layout is a folder.", field="target")


def _names_mimi(target: Path) -> bool:
    """Whether a file's name says that it is the codec's, of the pull request's three."""
    from ..weights.hub_gguf import MIMI_WORDS

    return "<component>" not in target.name and any(word in target.name.lower() for word in MIMI_WORDS)


def _codec_alone(source: str) -> Path | None:
    """The file or folder of a codec that is no part of a model."""
    from ..weights.checkpoint import open_checkpoint
    from ..weights.load import OWN_CARD

    path = Path(source).expanduser()
    if not path.exists() or (path / OWN_CARD).is_file():
        return None
    checkpoint = open_checkpoint(path)
    alone = checkpoint.layout in ("kyutai-mimi", "transformers-mimi")
    if checkpoint.parts is not None:
        alone = not checkpoint.parts.holds_speech_model and checkpoint.parts.codec is not None
    return path if alone else None


def _codec(part: CodecPart, target: Path, to: To, dtype: Number | None) -> Path:
    from ..errors import InputError
    from ..weights.gguf_llama_mimi import write_llama_mimi
    from ..weights.gguf_own import write_own
    from ..weights.mimi import from_ours, save_mimi
    from ..weights.type_policy import TypePolicy

    kind = _gguf_type(dtype)
    if to is To.llama:
        return write_llama_mimi(part, target, kind or "F16")
    if to is To.gguf:
        write_own(target, None, part, policy=TypePolicy(codec=kind or "keep"))
        return target
    if to not in (To.kyutai, To.transformers):
        hint = "Use kyutai, transformers, gguf or llama."
        raise InputError(f"A codec has no layout {to}.", hint=hint, field="to")
    if dtype is not None:
        raise InputError("--dtype changes a CSM's numbers; this codec is written as float32.", field="dtype")
    save_mimi(from_ours(part.arrays, part.config), target, "kyutai" if to is To.kyutai else "transformers")
    return target


def _gguf(model: WholeModel, target: Path, kind: str | None, progress: Progress | None) -> Path:
    from ..weights.type_policy import TypePolicy, named_policy
    from ..weights.whole_model import write_whole

    write_whole(model, target, named_policy(kind) if kind else TypePolicy(), progress=progress)
    return target


def _llama(source: str, target: Path, kind: str, access: HubAccess) -> list[Path]:
    """Backbone and decoder; the codec is a file of its own, and need not be there."""
    from ..errors import InputError
    from ..weights.gguf_llama_csm import COMPONENT, write_llama_csm
    from ..weights.model_parts import CsmPart

    if COMPONENT not in target.name:
        hint = f"'model-{COMPONENT}.gguf' for backbone and decoder, kyutai-mimi.gguf for the codec."
        raise InputError(f"{target.name!r} says neither {COMPONENT} nor mimi.", hint=hint, field="target")
    path = _csm_path(source, access)
    weights = _speech_model(path, access, as_arrays=True)
    part = CsmPart(weights.config, weights.tensors)
    return write_llama_csm(part, target, kind, tokenizer=_tokenizer(path))


def _csm_path(source: str, access: HubAccess) -> Path:
    from ..weights.embedded import embedded_folder
    from ..weights.hub import fetch_model, is_repository

    path = embedded_folder() if source == EMBEDDED else Path(source).expanduser()
    if not path.exists() and is_repository(source):
        path = fetch_model(source, access)
    return path / "csm.safetensors" if path.is_dir() and (path / "model.json").is_file() else path


def _speech_model(path: Path, access: HubAccess, *, as_arrays: bool = False) -> CsmWeights:
    """The speech model's tensors alone: no codec has to be there."""
    from ..engine.assembly import named_weights
    from ..weights.csm_files import read_csm
    from ..weights.load import locate

    parts = _parts(path)
    if parts is not None and parts.packed is not None:
        return named_weights(locate(path, access), as_arrays=as_arrays)
    return read_csm(path, as_arrays=as_arrays)


def _parts(path: Path) -> ModelParts | None:
    from ..weights.checkpoint import open_checkpoint

    return open_checkpoint(path).parts


def _tokenizer(path: Path) -> bytes | None:
    """A tokenizer.json: inside the file, or beside it."""
    parts = _parts(path)
    inside = parts.tokenizer() if parts is not None else None
    beside = (path if path.is_dir() else path.parent) / "tokenizer.json"
    return beside.read_bytes() if inside is None and beside.is_file() else inside


def _csm(source: str, target: Path, to: To, dtype: Number | None, access: HubAccess) -> Path:
    """The speech model; with it, what the folder has a place for: tokenizer and, for transformers, the codec."""
    from ..weights.csm_files import write_csm

    path = _csm_path(source, access)
    weights = _speech_model(path, access)
    named: Any = "transformers-csm" if to is To.transformers else to.value
    if to is To.transformers and not weights.codec_tensors:
        _add_codec(weights, path)
    written = write_csm(weights, target, named, _torch_type(dtype))
    tokenizer = None if to is To.duologue else _tokenizer(path)
    if tokenizer is not None:
        (target / "tokenizer.json").write_bytes(tokenizer)
    return written


def _add_codec(weights: CsmWeights, path: Path) -> None:
    """The codec inside the model's file or beside it, if it is there, under transformers' names."""
    from ..weights.load import local_codec
    from ..weights.mimi_transformers import to_file, write_config
    from ..weights.stored_array import as_tensor
    from ..weights.transformers_csm_config import refuse_departures
    from ..weights.whole_model import read_codec

    refuse_departures(weights.config, "transformers")
    parts = _parts(path)
    beside = local_codec(path if path.is_dir() else path.parent, path)
    if parts is not None and parts.codec is not None:
        part = parts.sound_codec()
    elif beside is not None:
        part = read_codec(beside)
    else:
        return
    weights.codec_config = write_config(part.config)
    weights.codec_tensors = to_file({name: as_tensor(array) for name, array in part.arrays.items()}, part.config)


def _torch_type(dtype: Number | None) -> torch.dtype | None:
    import torch

    from ..errors import InputError

    if dtype is not None and dtype.value.startswith("q"):
        hint = "gguf and llama have it; `duologue quantize` has more types."
        raise InputError("This layout holds floating point alone.", hint=hint, field="dtype")
    return None if dtype is None else getattr(torch, dtype.value)


def _gguf_type(dtype: Number | None) -> str | None:
    names = {Number.float32: "F32", Number.bfloat16: "BF16", Number.float16: "F16"}
    return None if dtype is None else names.get(dtype, dtype.value.upper())
