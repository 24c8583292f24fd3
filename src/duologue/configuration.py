"""Strict reading and writing of frozen config dataclasses. Knows no particular config."""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from .errors import InputError

C = TypeVar("C")


def to_dict(config: Any) -> dict[str, Any]:
    """Return plain JSON-ready values, nested configs as nested dicts."""
    return {field.name: _plain(getattr(config, field.name)) for field in dataclasses.fields(config)}


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return to_dict(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value


def from_dict(cls: type[C], values: Mapping[str, Any], where: str = "config") -> C:
    """Build `cls` from plain values. Raises InputError on an unknown, missing or mistyped key, naming it."""
    if not isinstance(values, Mapping):
        raise InputError(f"{where} should be a mapping, not {type(values).__name__}.", field=where)
    hints = typing.get_type_hints(cls)
    known = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    for key in values:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1)
            hint = f"Did you mean {near[0]!r}?" if near else f"Known keys: {', '.join(known)}."
            raise InputError(f"Unknown key {key!r} in {where}.", hint=hint, field=f"{where}.{key}")
    arguments = {}
    for name, field in known.items():
        if name in values:
            arguments[name] = _convert(hints[name], values[name], f"{where}.{name}")
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise InputError(f"{where} lacks {name!r}.", field=f"{where}.{name}")
    return cls(**arguments)


def _convert(hint: Any, value: Any, where: str) -> Any:
    origin, options = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in options:
            return None
        return _convert(next(option for option in options if option is not type(None)), value, where)
    if dataclasses.is_dataclass(hint):
        return from_dict(typing.cast(type, hint), value, where)
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise InputError(f"{where} should be a list, not {value!r}.", field=where)
        return tuple(_convert(options[0], item, f"{where}[{i}]") for i, item in enumerate(value))
    if origin is typing.Literal:
        if value not in options:
            raise InputError(f"{where} is {value!r}; it should be one of {list(options)}.", field=where)
        return value
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if hint in (int, float, str, bool) and type(value) is not hint:
        raise InputError(f"{where} should be {hint.__name__}, not {value!r}.", field=where)
    return value
