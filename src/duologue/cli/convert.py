"""`duologue convert`: weights from one layout to another."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import options as given

if TYPE_CHECKING:
    import torch

    from ..weights.csm_files import CsmWeights
    from ..weights.gguf_file import Progress
    from ..weights.hub import HubAccess
    from ..weights.load import ModelFiles
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


def convert(
    source: Annotated[str, typer.Argument(help='A file, a folder, a hub name or "embedded"; CSM or Mimi.')],
    target: Annotated[
        str | None, typer.Argument(help="A file (duologue, gguf, llama, kyutai) or a folder.", show_default=False)
    ] = None,
    output: Annotated[str | None, typer.Option("--output", "-o", help="The same as TARGET.")] = None,
    to: Annotated[
        To | None, typer.Option(help="The layout to write: gguf for a TARGET *.gguf; kyutai writes the codec alone.")
    ] = None,
    dtype: Annotated[Number | None, typer.Option(help="Change the numbers' type (CSM only).")] = None,
    revision: given.Revision = None,
    token: given.Token = None,
    offline: given.Offline = False,
    as_json: given.Json = False,
    quiet: given.Quiet = False,
) -> None:
    """Write weights in another layout. Float values are not changed unless --dtype asks for it.

    gguf is one file with codec, voices, tokenizer and settings; llama the files of llama.cpp's pull request 12648
    (TARGET holds "<component>"). `duologue quantize` writes GGUF with fewer bits.
    """
    from ..weights.hub import HubAccess
    from .console import Console, print_json

    place = _target(target, output)
    chosen = to or (To.gguf if place.suffix == ".gguf" and "<component>" not in place.name else None)
    console = Console(quiet)
    access = HubAccess(revision, token, None, offline)
    written = written_as(source, place, chosen, dtype, access, console.share)
    if as_json:
        print_json({"output": str(written), "layout": _name(chosen)})
    console.note(f"{written}: {_name(chosen)} layout")


def _target(target: str | None, output: str | None) -> Path:
    from ..errors import InputError

    if (target is None) == (output is None):
        raise InputError("Name one file or folder to write.", hint="duologue convert SOURCE -o FILE", field="target")
    return Path(target or output or "")


def _name(to: To | None) -> str:
    from ..errors import InputError

    if to is None:
        raise InputError("Which layout?", hint=f"--to {', '.join(To)}; *.gguf means gguf.", field="to")
    return to.value


def written_as(
    source: str,
    target: Path,
    to: To | None,
    dtype: Number | None,
    access: HubAccess,
    progress: Progress | None = None,
) -> Path:
    """Convert a model or a codec. Returns what was written."""
    layout = _name(to)
    codec = _codec_alone(source)
    if codec is not None or layout == "kyutai":
        return _codec(codec or _codec_of(source, access), target, layout, dtype)
    if layout == "gguf":
        return _gguf(source, target, _gguf_type(dtype), access, progress)
    if layout == "llama":
        return _llama(source, target, _gguf_type(dtype) or "F16", access)
    return _csm(_csm_weights(source, access), target, layout, dtype)


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


def _codec_of(source: str, access: HubAccess) -> Path:
    from ..errors import InputError
    from ..weights.load import locate

    files = locate(None if source == EMBEDDED else source, access)
    if files.codec is None:
        raise InputError(f"{source} holds its codec inside.", hint="Write it with --to transformers.", field="to")
    return files.codec


def _codec(path: Path, target: Path, layout: str, dtype: Number | None) -> Path:
    from ..errors import InputError
    from ..weights.gguf_llama_mimi import write_llama_mimi
    from ..weights.gguf_own import write_own
    from ..weights.mimi import load_mimi, save_mimi
    from ..weights.type_policy import TypePolicy
    from ..weights.whole_model import read_codec

    kind = _gguf_type(dtype)
    if layout == "llama":
        return write_llama_mimi(read_codec(path), target, kind or "F16")
    if layout == "gguf":
        write_own(target, None, read_codec(path), policy=TypePolicy(codec=kind or "keep"))
        return target
    if layout not in ("kyutai", "transformers"):
        hint = "Use kyutai, transformers, gguf or llama."
        raise InputError(f"A codec has no layout {layout}.", hint=hint, field="to")
    if dtype is not None:
        raise InputError("--dtype changes a CSM's numbers; this codec is written as float32.", field="dtype")
    save_mimi(load_mimi(path), target, "kyutai" if layout == "kyutai" else "transformers")
    return target


def _gguf(source: str, target: Path, kind: str | None, access: HubAccess, progress: Progress | None) -> Path:
    from ..weights.load import locate
    from ..weights.type_policy import TypePolicy, named_policy
    from ..weights.whole_model import write_whole

    model = whole_of(locate(None if source == EMBEDDED else source, access))
    write_whole(model, target, named_policy(kind) if kind else TypePolicy(), progress=progress)
    return target


def whole_of(files: ModelFiles) -> WholeModel:
    """All parts of a model, also of one in the CPU engine's form."""
    from ..engine.assembly import named_weights
    from ..weights.whole_model import read_whole

    return read_whole(files, named_weights(files, as_arrays=True))


def _llama(source: str, target: Path, kind: str, access: HubAccess) -> Path:
    from ..weights.gguf_llama_csm import write_llama_csm
    from ..weights.load import locate

    model = whole_of(locate(None if source == EMBEDDED else source, access))
    return write_llama_csm(model.csm, target, kind, tokenizer=model.tokenizer)[0]


def _csm_path(source: str, access: HubAccess) -> Path:
    from ..weights.embedded import embedded_folder
    from ..weights.hub import fetch_model, is_repository

    path = embedded_folder() if source == EMBEDDED else Path(source).expanduser()
    if not path.exists() and is_repository(source):
        path = fetch_model(source, access)
    return path / "csm.safetensors" if path.is_dir() and (path / "model.json").is_file() else path


def _csm_weights(source: str, access: HubAccess) -> CsmWeights:
    """The speech model's tensors alone: no codec has to be there."""
    from ..engine.assembly import named_weights
    from ..weights.checkpoint import open_checkpoint
    from ..weights.csm_files import read_csm
    from ..weights.load import locate

    path = _csm_path(source, access)
    parts = open_checkpoint(path).parts
    if parts is not None and parts.packed is not None:
        return named_weights(locate(path, access))
    return read_csm(path)


def _csm(weights: CsmWeights, target: Path, layout: str, dtype: Number | None) -> Path:
    from ..weights.csm_files import write_csm

    named: Any = "transformers-csm" if layout == "transformers" else layout
    return write_csm(weights, target, named, _type(dtype))


def _type(dtype: Number | None) -> torch.dtype | None:
    import torch

    return None if dtype is None else getattr(torch, dtype.value)


def _gguf_type(dtype: Number | None) -> str | None:
    return None if dtype is None else {"float32": "F32", "bfloat16": "BF16", "float16": "F16"}[dtype.value]
