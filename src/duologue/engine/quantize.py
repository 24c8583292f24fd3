"""How many bits each weight gets, and what that costs in truth. Knows matrices and formats, no network and no kernels.

int8 and int4 weights share one float16 scale per group of a row's columns. The 16 or 8 levels of uneven4 and uneven3
stand closer near zero, where most weights are, and their groups' scales are int8 (relative to one of the row).
Activations are rounded to int8, group by group, when they meet any of these; everything between the products stays
float32. float16 weights are relative to a power of two for each matrix: a file's float16 stays what it was.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Literal

import numpy as np
import numpy.typing as npt

from ..errors import InputError
from ..native import binding

Kind = Literal["float32", "bfloat16", "int8", "int4", "uneven4", "uneven3", "float16"]
Floats = npt.NDArray[np.float32]
KINDS: tuple[Kind, ...] = ("float32", "bfloat16", "int8", "int4", "uneven4", "uneven3", "float16")
_BITS = {"float32": 32, "bfloat16": 16, "int8": 8, "int4": 4, "uneven4": 4, "uneven3": 3, "float16": 16}
GROUPED = ("int8", "int4", "uneven4", "uneven3")
GROUPS = (32, 64, 128)
PARTS = ("backbone", "depth", "heads", "embeddings")


@dataclass(frozen=True)
class Format:
    """How one matrix is stored; `group` columns of a row share a scale (GROUPED kinds only)."""

    kind: Kind
    group: int = 0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise InputError(f"{self.kind!r} is no weight format; there are {', '.join(KINDS)}.", field="kind")
        if (self.group in GROUPS) != (self.kind in GROUPED):
            raise InputError(
                f"{self.kind} can't have groups of {self.group}; {', '.join(GROUPED)} take {GROUPS}.", field="group"
            )

    @property
    def number(self) -> int:
        """The C side's name for the kind."""
        return KINDS.index(self.kind)

    @property
    def bits(self) -> float:
        """Bits per weight, scales included."""
        scale_bits = 8 if self.kind.startswith("uneven") else 16
        return _BITS[self.kind] + (scale_bits / self.group if self.group else 0)


FLOAT32, FLOAT16, BFLOAT16 = Format("float32"), Format("float16"), Format("bfloat16")


@dataclass(frozen=True)
class FormatPlan:
    """Formats of a whole network. Matrices are named `backbone.3.down`, `depth.0.qkv`, `head.5`, `first_head`, ….

    `exceptions` are (pattern, format) pairs, the first that matches wins: ("backbone.*.down", Format("int8", 32)).
    """

    name: str
    backbone: Format
    depth: Format
    heads: Format
    tables: Kind  # embeddings: float32, bfloat16, or int8 with one scale per row
    bfloat16_cache: bool  # keys and values
    exceptions: tuple[tuple[str, Format], ...] = ()

    def format_of(self, name: str) -> Format:
        """The format of the matrix called `name`."""
        for pattern, chosen in self.exceptions:
            if fnmatchcase(name, pattern):
                return chosen
        found: Format = getattr(self, part_of(name))
        return found

    def with_part(self, part: str, other: FormatPlan) -> FormatPlan:
        """This plan with one part (backbone, depth, heads, embeddings) as in the other, exceptions included."""
        if part not in PARTS:
            raise InputError(f"There is no part {part!r}.", hint=f"There are {', '.join(PARTS)}.", field="part")
        if part == "embeddings":
            return replace(self, tables=other.tables)
        mine = [pair for pair in self.exceptions if part_of(pair[0]) != part]
        theirs = [pair for pair in other.exceptions if part_of(pair[0]) == part]
        return replace(self, exceptions=(*mine, *theirs), **{part: getattr(other, part)})  # type: ignore[arg-type]

    def with_exceptions(self, *exceptions: tuple[str, Format]) -> FormatPlan:
        """The same plan with further exceptions in front."""
        return replace(self, name=f"{self.name}-mixed", exceptions=(*exceptions, *self.exceptions))


def part_of(name: str) -> str:
    """The part that a matrix, or a pattern of an exception, belongs to."""
    return next((part for part in ("backbone", "depth") if name.startswith(f"{part}.")), "heads")


def _same(name: str, format: Format, tables: Kind, bfloat16_cache: bool = True) -> FormatPlan:
    return FormatPlan(name, format, format, format, tables, bfloat16_cache)


# The fewest bytes at int4's own agreement with float32, by measured sensitivity (docs/log.md, 2026-11-24): the heads,
# small and read once a frame, hurt most per byte; least hurts the depth decoder's feed-forward, three quarters of all
# that a frame reads.
COMPACT = FormatPlan(
    "compact",
    backbone=Format("uneven4", 64),
    depth=Format("uneven3", 32),
    heads=Format("int8", 64),
    tables="int8",
    bfloat16_cache=True,
    exceptions=(("depth.*.qkv", Format("uneven4", 32)), ("depth.*.out", Format("uneven4", 32))),
)

PLANS: dict[str, FormatPlan] = {
    plan.name: plan
    for plan in (
        _same("float32", FLOAT32, "float32", bfloat16_cache=False),
        _same("float16", FLOAT16, "float32", bfloat16_cache=False),
        _same("bfloat16", BFLOAT16, "bfloat16"),
        _same("int8", Format("int8", 32), "bfloat16"),
        _same("int4", Format("int4", 32), "int8"),
        _same("int4-g64", Format("int4", 64), "int8"),
        _same("int4-g128", Format("int4", 128), "int8"),
        COMPACT,
    )
}


@dataclass
class PackedMatrix:
    """A matrix in the kernels' form: its bytes, and what is needed to read them."""

    format: Format
    rows: int
    cols: int
    scale: float
    data: npt.NDArray[np.uint8]

    def c(self) -> binding.CMatrix:
        """For the C side; valid while `data` lives."""
        place = binding.address(self.data)
        format = self.format
        return binding.CMatrix(format.number, format.group, self.rows, self.cols, self.scale, place, self.data.nbytes)


def packed_bytes(format: Format, rows: int, cols: int) -> int:
    """Bytes of a packed matrix. Raises InputError for a size that no kernel takes."""
    size = int(binding.library().dl_packed_bytes(format.number, format.group, rows, cols))
    if size < 0:
        raise InputError(f"A {format.kind} matrix of {rows} x {cols} can't be packed.", field="rows")
    return size


def pack(weights: Floats, format: Format, out: npt.NDArray[np.uint8] | None = None) -> PackedMatrix:
    """Round weights (rows, cols) into the kernels' form, into `out` if given."""
    rows, cols = weights.shape
    data = np.empty(packed_bytes(format, rows, cols), np.uint8) if out is None else out
    values = np.ascontiguousarray(weights, np.float32)
    scale = ctypes.c_float()
    place = binding.address(data)
    arguments = (format.number, format.group, rows, cols, binding.address(values), place, ctypes.byref(scale))
    binding.check(binding.library().dl_pack(*arguments))
    return PackedMatrix(format, rows, cols, scale.value, data)


def unpack(matrix: PackedMatrix) -> Floats:
    """The weights (rows, cols) as the kernels see them."""
    weights = np.empty((matrix.rows, matrix.cols), np.float32)
    binding.check(binding.library().dl_unpack(ctypes.byref(matrix.c()), binding.address(weights)))
    return weights


def multiply(matrix: PackedMatrix, x: Floats, path: str = "auto") -> Floats:
    """x (columns, cols) times the matrix, (columns, rows), by the kernels of one instruction set."""
    values = np.ascontiguousarray(x, np.float32)
    y = np.empty((len(values), matrix.rows), np.float32)
    arguments = (path.encode(), ctypes.byref(matrix.c()), binding.address(values), len(values), binding.address(y))
    binding.check(binding.library().dl_multiply(*arguments))
    return y


def signal_to_noise_db(exact: Floats, rounded: Floats) -> float:
    """How far rounding noise lies below the signal."""
    noise = float(np.square(exact.astype(np.float64) - rounded).sum())
    signal = float(np.square(exact.astype(np.float64)).sum())
    return float("inf") if noise == 0 else 10 * float(np.log10(max(signal, 1e-300) / noise))
