"""What all weight layouts share: strict checks of names and shapes, and the two orders of rotary rows.

Works on torch tensors and numpy arrays alike and knows no particular model.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ..errors import LayoutMismatch

Shape = tuple[int, ...]


def check_names(present: Iterable[str], wanted: Iterable[str], where: str) -> None:
    """Raise LayoutMismatch naming tensors that are missing or unexpected."""
    present, wanted = set(present), set(wanted)
    if present != wanted:
        raise LayoutMismatch.of_keys(where, wanted - present, present - wanted)


def check_shapes(shapes: Mapping[str, Shape], wanted: Mapping[str, Shape], where: str) -> None:
    """Raise LayoutMismatch naming the first five tensors whose shape isn't the wanted one."""
    wrong = [name for name, shape in wanted.items() if tuple(shapes[name]) != tuple(shape)]
    if wrong:
        listed = "; ".join(f"{name} is {tuple(shapes[name])}, not {tuple(wanted[name])}" for name in wrong[:5])
        more = f"; and {len(wrong) - 5} more" if len(wrong) > 5 else ""
        raise LayoutMismatch(
            f"Tensors in {where} have other shapes than the config says: {listed}{more}.",
            hint="Check that weights and config.json belong to the same model.",
        )


def halves(rows: Any, heads: int) -> Any:
    """Rows (heads · 2n, …) whose pairs lie side by side inside each head -> all firsts, then all seconds.

    Weights in the first order suit rotation of pairs (2i, 2i + 1), in the second of (i, i + n); scores are equal.
    """
    grouped = rows.reshape((heads, -1, 2, *rows.shape[1:]))
    return grouped.swapaxes(1, 2).reshape(rows.shape)


def neighbours(rows: Any, heads: int) -> Any:
    """The way back from `halves`."""
    grouped = rows.reshape((heads, 2, -1, *rows.shape[1:]))
    return grouped.swapaxes(1, 2).reshape(rows.shape)
