"""`duologue quantize`: a model in fewer bits, as one GGUF file."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import options as given
from .convert import EMBEDDED

if TYPE_CHECKING:
    from ..weights.gguf_own import Importance
    from ..weights.load import ModelFiles

SENTENCES = 40

GroupType = Annotated[str | None, typer.Option(show_default=False, help="A type for this group alone.")]


def quantize(
    source: Annotated[str, typer.Argument(help='A file, a folder, a hub name or "embedded".')],
    output: Annotated[Path, typer.Option("--output", "-o", help="The .gguf file to write.")],
    type: Annotated[
        str, typer.Option("--type", help="F32, F16, BF16, Q8_0, Q6_K, Q5_K, Q4_K, Q5_1, Q5_0, Q4_1, Q4_0.")
    ],
    backbone: GroupType = None,
    depth: GroupType = None,
    heads: GroupType = None,
    embeddings: GroupType = None,
    codec: GroupType = None,
    importance: Annotated[
        str | None,
        typer.Option(
            show_default=False,
            help='Weigh errors by how strongly each column is used: "spoken" lets the model speak 40 sentences to find '
            "out; or a .safetensors file of such vectors by tensor.",
        ),
    ] = None,
    revision: given.Revision = None,
    token: given.Token = None,
    offline: given.Offline = False,
    as_json: given.Json = False,
    quiet: given.Quiet = False,
) -> None:
    """Write a model with rounded weights, all in one file; the codec stays as it is unless --codec names a type.

    Vectors stay in floating point. Where a type's blocks don't divide a tensor's rows, the next larger one is taken
    and told of. docs/quantization.md has the cost of each type.
    """
    from ..weights.hub import HubAccess
    from ..weights.load import locate
    from ..weights.type_policy import named_policy
    from ..weights.whole_model import read_whole, write_whole
    from .console import Console, print_json

    groups = {"backbone": backbone, "depth": depth, "heads": heads, "embeddings": embeddings, "codec": codec}
    policy = named_policy(type, **groups)
    files = locate(None if source == EMBEDDED else source, HubAccess(revision, token, None, offline))
    heeded = None if importance is None else _importance(importance, files)
    types = write_whole(read_whole(files), output, policy, heeded)
    counts = dict(Counter(types.values()).most_common())
    size = output.stat().st_size
    if as_json:
        print_json({"output": str(output), "bytes": size, "tensors_by_type": counts})
    told = ", ".join(f"{count} × {kind}" for kind, count in counts.items())
    Console(quiet).note(f"{output}: {size / 1e6:.1f} MB; {told}")


def _importance(wanted: str, files: ModelFiles) -> Importance:
    from ..weights.whole_model import importance_of, read_importance

    if wanted != "spoken":
        return read_importance(Path(wanted))
    from ..api import build
    from ..evaluation.logit_agreement import record
    from ..evaluation.quantization_importance import activation_squares
    from ..evaluation.sentences import held_out
    from ..weights.csm_files import read_csm

    compared = held_out("heldout40")  # the sentences on which types are compared stay out of it
    sentences = [text for text in held_out("heldout120") if text not in compared][:SENTENCES]
    turns = record(build(files, "cpu", "native-float32"), sentences)
    weights = read_csm(files.csm, as_arrays=True)
    return importance_of(activation_squares(weights.config, weights.tensors, turns))
