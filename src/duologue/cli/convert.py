"""`duologue convert`: weights from one layout to another."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import options as given

if TYPE_CHECKING:
    import torch


class To(StrEnum):
    """Layouts that can be written."""

    duologue = "duologue"
    sesame = "sesame"
    transformers = "transformers"
    kyutai = "kyutai"


class Number(StrEnum):
    """Types that weights can be stored in."""

    float32 = "float32"
    bfloat16 = "bfloat16"
    float16 = "float16"


def convert(
    source: Annotated[str, typer.Argument(help="A file, a folder or a hub name; CSM or Mimi.")],
    target: Annotated[str, typer.Argument(help="A .safetensors file (duologue, kyutai) or a folder.")],
    to: Annotated[To, typer.Option(help="The layout to write; kyutai is for a Mimi.")],
    dtype: Annotated[Number | None, typer.Option(help="Change the numbers' type (CSM only).")] = None,
    revision: given.Revision = None,
    token: given.Token = None,
    offline: given.Offline = False,
    as_json: given.Json = False,
    quiet: given.Quiet = False,
) -> None:
    """Write weights in another layout. Float values are not changed unless --dtype asks for it."""
    from ..weights.checkpoint import open_checkpoint
    from ..weights.hub import HubAccess, fetch_model, is_repository
    from .console import Console, print_json

    path = Path(source)
    if not path.exists() and is_repository(source):
        path = fetch_model(source, HubAccess(revision, token, None, offline))
    if path.is_dir() and (path / "model.json").is_file():
        path = path / "csm.safetensors"
    is_codec = open_checkpoint(path).layout in ("kyutai-mimi", "transformers-mimi")
    written = _codec(path, Path(target), to) if is_codec else _csm(path, Path(target), to, dtype)
    if as_json:
        print_json({"output": str(written), "layout": to.value})
    Console(quiet).note(f"{written}: {to.value} layout")


def _csm(path: Path, target: Path, to: To, dtype: Number | None) -> Path:
    from ..errors import InputError
    from ..weights.csm_files import read_csm, write_csm

    if to is To.kyutai:
        raise InputError("kyutai is a layout of codecs; this is a CSM.", hint="Use duologue, sesame or transformers.")
    layout: Any = "transformers-csm" if to is To.transformers else to.value
    return write_csm(read_csm(path), target, layout, _type(dtype))


def _codec(path: Path, target: Path, to: To) -> Path:
    from ..errors import InputError
    from ..weights.mimi import load_mimi, save_mimi

    if to not in (To.kyutai, To.transformers):
        raise InputError(f"A codec has no layout {to.value}.", hint="Use kyutai or transformers.", field="to")
    save_mimi(load_mimi(path), target, "kyutai" if to is To.kyutai else "transformers")
    return target


def _type(dtype: Number | None) -> torch.dtype | None:
    import torch

    return None if dtype is None else getattr(torch, dtype.value)
