"""An item as a client gives it, checked: messages with text, sound or pictures, function calls and their outputs.

Knows the shapes of OpenAI's Realtime API, and no conversation.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any, cast

from ...agent.parts import FunctionCall
from ..errors import ApiError
from .items import Item, Role
from .wire import Hearing, new_id

PARTS = {  # the kinds of content that each role may have, and where their words are
    "user": {"input_text": "text", "input_audio": "transcript", "input_image": "image_url"},
    "assistant": {"output_text": "text", "output_audio": "transcript", "text": "text"},
    "system": {"input_text": "text"},
}
MAX_CHARACTERS = 50_000  # of a function's arguments or output
DATA_ADDRESS = re.compile(r"data:image/(png|jpeg|webp);base64,")


def parse_item(given: object, hearing: Hearing) -> Item:
    """An item as a client gives it. Raises ApiError 400 that names what can't be used."""
    if not isinstance(given, Mapping):
        raise ApiError(400, "item should be an object.", code="missing_required_parameter", param="item")
    item = _of_kind(given, hearing)
    if given.get("id") is not None:
        item.id = _checked_id(given["id"])
    return item


def _of_kind(given: Mapping[str, Any], hearing: Hearing) -> Item:
    kind = given.get("type", "message")
    if kind == "function_call":
        name, arguments = _string(given, "name", 64), _string(given, "arguments", MAX_CHARACTERS)
        call_id = _string(given, "call_id", 64) if given.get("call_id") is not None else new_id("call")
        return Item(None, call=FunctionCall(call_id, name, arguments))
    if kind == "function_call_output":
        return Item(None, output=(_string(given, "call_id", 64), _string(given, "output", MAX_CHARACTERS)))
    if kind != "message":
        shown = str(kind)[:64]
        raise ApiError(400, f"Items of type {shown!r} can't be used here.", code="unsupported", param="item.type")
    return _message(given, hearing)


def _string(given: Mapping[str, Any], name: str, most: int) -> str:
    value = given.get(name)
    if not isinstance(value, str) or len(value) > most:
        message = f"item.{name} should be text of at most {most} characters."
        raise ApiError(400, message, code="invalid_value", param=f"item.{name}")
    return value


def _message(given: Mapping[str, Any], hearing: Hearing) -> Item:
    role = given.get("role")
    if not isinstance(role, str) or role not in PARTS:
        raise ApiError(400, "item.role should be user, assistant or system.", code="invalid_value", param="item.role")
    parts = given.get("content")
    if not isinstance(parts, list) or not 0 < len(parts) <= 20:
        raise ApiError(400, "item.content should be a list of parts.", code="invalid_value", param="item.content")
    item = Item(cast(Role, role))
    for number, part in enumerate(parts):
        _add_part(item, part, f"item.content[{number}]", hearing)
    return item


def _checked_id(given: object) -> str:
    if not isinstance(given, str) or not 0 < len(given) <= 64 or not given.isprintable():
        raise ApiError(400, "item.id should be 1 to 64 characters.", code="invalid_value", param="item.id")
    return given


def _add_part(item: Item, part: object, place: str, hearing: Hearing) -> None:
    assert item.role is not None  # only messages have parts
    kinds = PARTS[item.role]
    if not isinstance(part, Mapping) or part.get("type") not in [*kinds]:
        message = f"{place}.type should be one of {', '.join(kinds)} for role {item.role}."
        raise ApiError(400, message, code="invalid_value", param=f"{place}.type")
    kind = "output_text" if part["type"] == "text" else str(part["type"])
    if kind == "input_image":
        item.content.append(_picture(part, place))
        return
    where = kinds[str(part["type"])]
    words, audio = part.get(where), part.get("audio")
    if (words is not None and not isinstance(words, str)) or (audio is not None and not isinstance(audio, str)):
        raise ApiError(400, f"{place} should hold text.", code="invalid_value", param=place)
    if words is None and (audio is None or not kind.endswith("audio")):
        raise ApiError(400, f"{place}.{where} is missing.", code="missing_required_parameter", param=f"{place}.{where}")
    if audio and kind.endswith("audio"):
        if item.sound is not None:
            raise ApiError(400, "An item has at most one part with audio.", code="invalid_value", param=place)
        item.sound = hearing.decode(audio)
    item.content.append({"type": kind, where: words})


def _picture(part: Mapping[str, Any], place: str) -> dict[str, Any]:
    """A picture, which goes to the language model as it came. Its bytes are in the message: no address is followed."""
    address, detail = part.get("image_url"), part.get("detail", "auto")
    if not isinstance(address, str) or not (found := DATA_ADDRESS.match(address)):
        message = f"{place}.image_url should be a data: address of a PNG, JPEG or WebP in base64; no other is followed."
        raise ApiError(400, message, code="invalid_value", param=f"{place}.image_url")
    if detail not in ("auto", "low", "high"):
        raise ApiError(400, f"{place}.detail: auto, low or high.", code="invalid_value", param=f"{place}.detail")
    try:
        base64.b64decode(address[found.end() :], validate=True)
    except (binascii.Error, ValueError):
        raise ApiError(400, "The picture isn't base64.", code="invalid_value", param=f"{place}.image_url") from None
    return {"type": "input_image", "image_url": address, "detail": detail}
