"""`duologue quantize`: a model in fewer bits, as one GGUF file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import options as given
from .layouts import EMBEDDED, whole_of

if TYPE_CHECKING:
    from ..engine.quantize import FormatPlan
    from ..weights.gguf_own import Importance
    from ..weights.gguf_packed import NewPacked
    from ..weights.load import ModelFiles
    from ..weights.whole_model import WholeModel
    from .console import Console

SENTENCES = 40

GroupType = Annotated[str | None, typer.Option(show_default=False, help="A type for this group alone.")]
TYPES = (
    "GGUF's F32, F16, BF16, Q8_0, Q6_K, Q5_K, Q4_K, Q5_1, Q5_0, Q4_1, Q4_0, or a mixture: Q5_K_M, Q4_K_M; or a form of "
    "the CPU engine, which maps the file and converts nothing: float32, float16, bfloat16, int8, int4, compact, "
    "int4-g64, int4-g128."
)


def quantize(
    source: Annotated[str, typer.Argument(help='A file, a folder, a hub name or "embedded".')],
    output: Annotated[Path, typer.Option("--output", "-o", help="The .gguf file to write.")],
    type: Annotated[str, typer.Option("--type", help=TYPES)],
    backbone: GroupType = None,
    depth: GroupType = None,
    heads: GroupType = None,
    embeddings: GroupType = None,
    codec: Annotated[str | None, typer.Option(show_default=False, help="A GGUF type for the codec.")] = None,
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
    and told of. docs/quantization.md has the cost of each type, docs/weights.md says which form is for what.
    """
    from ..errors import InputError
    from ..weights.hub import HubAccess
    from ..weights.load import locate
    from ..weights.type_policy import TypePolicy, named_policy
    from ..weights.whole_model import write_whole
    from .console import Console, print_json

    if output.suffix != ".gguf":
        raise InputError(f"{output} should end in .gguf.", hint="That is the form of the file.", field="output")
    groups = {"backbone": backbone, "depth": depth, "heads": heads, "embeddings": embeddings}
    own = _is_engines(type)
    policy = TypePolicy(codec=codec or "keep") if own else named_policy(type, **groups, codec=codec)
    if own and importance is not None:
        raise InputError(f"{type} heeds no importance.", hint="Q4_0, Q5_0, Q4_K, Q5_K, Q6_K do.", field="importance")
    plan = mixed_plan(type, groups) if own else None
    console = Console(quiet)
    files = locate(None if source == EMBEDDED else source, HubAccess(revision, token, None, offline))
    heeded = None if importance is None else _importance(importance, files, console)
    model = whole_of(files)
    packed = None if plan is None else _packed(model, plan, console)
    types = write_whole(model, output, policy, heeded, packed=packed, progress=console.share)
    counts = dict(Counter(types.values()).most_common())
    size = output.stat().st_size
    if as_json:
        facts = {"output": str(output), "bytes": size, "tensors_by_type": counts}
        print_json(facts | ({"engine_form": plan.name} if plan else {}))
    told = ", ".join(f"{count} × {kind}" for kind, count in counts.items())
    told = told if plan is None else f"the CPU engine's {plan.name}, {len(model.csm.arrays)} tensors"
    console.note(f"{output}: {size / 1e6:.1f} MB; {told}")


def _is_engines(type: str) -> bool:
    """Whether a type is a form of the CPU engine, not one of GGUF's. Raises InputError if it is neither."""
    from ..engine.quantize import PLANS
    from ..errors import InputError
    from ..weights.quantized_types import WRITABLE
    from ..weights.type_policy import MIXTURES

    if type not in PLANS and type.upper() not in (*WRITABLE, *MIXTURES):
        hint = f"GGUF has {', '.join((*WRITABLE, *MIXTURES))}; the CPU engine {', '.join(PLANS)}."
        raise InputError(f"There is no type {type!r} that can be written.", hint=hint, field="type")
    return type in PLANS


def mixed_plan(name: str, groups: Mapping[str, str | None]) -> FormatPlan:
    """The engine's format `name` with another for the groups that name one. Raises InputError for an unknown one."""
    from ..engine.quantize import PLANS
    from ..errors import InputError

    plan = PLANS[name]
    chosen = {group: other for group, other in groups.items() if other is not None}
    for group, other in chosen.items():
        if other not in PLANS:
            hint = f"Beside {name} there can be {', '.join(PLANS)}: one file has GGUF's types or the CPU engine's."
            raise InputError(f"--{group} can't be {other}.", hint=hint, field=group)
        plan = plan.with_part(group, PLANS[other])
    return replace(plan, name=f"{name}-mixed") if chosen else plan


def _packed(model: WholeModel, plan: FormatPlan, console: Console) -> NewPacked:
    from ..engine.packed_file import packed_for_file

    console.step(f"Packing {len(model.csm.arrays)} tensors as {plan.name}")
    return packed_for_file(model.csm.config, model.csm.arrays, plan)


def _importance(wanted: str, files: ModelFiles, console: Console) -> Importance:
    from ..weights.whole_model import importance_of, read_importance

    if wanted != "spoken":
        return read_importance(Path(wanted))
    from ..api import build
    from ..engine.assembly import named_weights
    from ..evaluation.logit_agreement import record
    from ..evaluation.quantization_importance import activation_squares
    from ..evaluation.sentences import held_out

    compared = held_out("heldout40")  # the sentences on which types are compared stay out of it
    sentences = [text for text in held_out("heldout120") if text not in compared][:SENTENCES]
    console.step(f"Speaking {len(sentences)} sentences to weigh the columns")
    turns = record(build(files, "cpu", "native-float32"), sentences)
    weights = named_weights(files, as_arrays=True)
    return importance_of(activation_squares(weights.config, weights.tensors, turns))
