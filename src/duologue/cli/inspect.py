"""`duologue inspect`: what a file is and holds, without loading it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import options as given

if TYPE_CHECKING:
    from ..weights.checkpoint import Checkpoint
    from ..weights.model_parts import ModelParts

What = Annotated[str, typer.Argument(help="Weights, a voice, a conversation, a sound file, or a hub name.")]


def inspect(
    what: What,
    tensors: Annotated[bool, typer.Option("--tensors", help="List every tensor.")] = False,
    revision: given.Revision = None,
    token: given.Token = None,
    offline: given.Offline = False,
    as_json: given.Json = False,
) -> None:
    """Tell what a file is: layout, sizes, counts."""
    from ..weights.hub import HubAccess, fetch_model, is_repository
    from .console import print_json

    path = Path(what)
    if not path.exists() and is_repository(what):
        path = fetch_model(what, HubAccess(revision, token, None, offline))
    facts = _facts(path, tensors)
    if as_json:
        return print_json(facts)
    for key, value in facts.items():
        if isinstance(value, dict):
            typer.echo(f"{key}:")
            for name, each in value.items():
                typer.echo(f"  {name}: {each}")
        else:
            typer.echo(f"{key}: {value}")
    return None


def _facts(path: Path, tensors: bool) -> dict[str, Any]:
    from ..audio_files import CONTAINERS

    if path.suffix.lstrip(".").lower() in CONTAINERS:
        return _sound(path)
    if path.is_dir() and (path / "model.json").is_file():
        return _model(path, tensors)
    return _weights(path, tensors)


def _sound(path: Path) -> dict[str, Any]:
    from ..audio import clipped_share, is_silent, level_dbfs, to_audio

    audio = to_audio(path)
    return {
        "kind": "sound",
        "file": str(path),
        "seconds": round(audio.seconds, 3),
        "level_dbfs": None if is_silent(audio.samples) else round(level_dbfs(audio.samples), 1),
        "clipped": round(clipped_share(audio.samples), 5),
    }


def _model(path: Path, tensors: bool) -> dict[str, Any]:
    from ..weights.load import locate

    files = locate(path)
    facts: dict[str, Any] = {"kind": "model", "name": files.card.name, "text": files.card.text}
    facts["voices"] = ", ".join(voice.stem for voice in files.voices)
    facts["csm"] = _weights(files.csm, tensors)
    if files.codec is not None:
        facts["codec"] = _weights(files.codec, tensors)
    return facts


def _weights(path: Path, tensors: bool) -> dict[str, Any]:
    from ..weights.checkpoint import open_checkpoint

    checkpoint = open_checkpoint(path)
    own = checkpoint.metadata.get("format", "")
    if own.startswith(("duologue-voice", "duologue-conversation", "duologue-codes")):
        return {"kind": own, "file": str(path)} | _own(own, path)
    infos = checkpoint.tensors.values()
    types = Counter(info.dtype for info in infos)
    facts: dict[str, Any] = {
        "kind": "weights",
        "layout": checkpoint.layout,
        "files": ", ".join(f"{file.name} ({file.stat().st_size:,} bytes)" for file in checkpoint.files),
        "tensors": len(checkpoint.tensors),
        "parameters": _parameters(checkpoint),
        "types": ", ".join(f"{count} × {kind}" for kind, count in types.items()),
    }
    parts = checkpoint.parts
    if checkpoint.layout in ("duologue", "sesame", "transformers-csm") or (
        parts is not None and parts.holds_speech_model
    ):
        facts["config"] = _config(checkpoint)
    if parts is not None:
        facts |= _parts(parts)
    if tensors:
        facts["tensor_list"] = {name: f"{info.dtype} {list(info.shape)}" for name, info in checkpoint.tensors.items()}
    return facts


def _parts(parts: ModelParts) -> dict[str, Any]:
    """What else a GGUF file holds."""
    facts: dict[str, Any] = {"codec": "inside" if parts.codec is not None else "elsewhere"}
    if parts.packed is not None:
        facts["engine_form"] = parts.packed().name
    if parts.card:
        facts["card"] = dict(parts.card)
    if parts.voices:
        facts["voices"] = ", ".join(str(voice.card.get("name")) for voice in parts.voices)
    return facts


def _parameters(checkpoint: Checkpoint) -> int:
    """Numbers in a file; those in the CPU engine's form by the sizes that it has them in."""
    from ..weights.gguf_packed import BLOCK, SCALES, VECTORS
    from ..weights.sesame import csm_shapes

    packed = checkpoint.parts is not None and checkpoint.parts.packed is not None
    apart = (BLOCK, SCALES, VECTORS) if packed else ()
    count = sum(_count(info.shape) for name, info in checkpoint.tensors.items() if name not in apart)
    if checkpoint.parts is not None and packed:
        count += sum(map(_count, csm_shapes(checkpoint.parts.speech_config()).values()))
    return count


def _count(shape: tuple[int, ...]) -> int:
    import math

    return math.prod(shape)


def _config(checkpoint: Checkpoint) -> dict[str, Any]:
    from ..configuration import to_dict
    from ..weights.csm_files import csm_config

    return to_dict(csm_config(checkpoint))


def _own(kind: str, path: Path) -> dict[str, Any]:
    from ..voice import Voice

    if not kind.startswith("duologue-voice"):
        return {}
    voice = Voice.load(path)
    return {"name": voice.name, "speaker": voice.speaker, "seconds": voice.seconds, "transcript": voice.transcript}
