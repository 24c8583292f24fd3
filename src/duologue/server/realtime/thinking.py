"""From a conversation's items to what a language model is asked, in the shape of OpenAI's chat completions.

Knows no sound and no events.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .items import Item

Message = dict[str, Any]
NO_OUTPUT = "(no output)"  # a chat endpoint refuses a call that nothing answers


def messages_of(items: Iterable[Item], instructions: str) -> list[Message]:
    """Every item's part in the conversation. Outputs stand right behind their calls, wherever they came in."""
    items = list(items)
    outputs = {item.output[0]: item.output[1] for item in items if item.output is not None}
    messages: list[Message] = [{"role": "system", "content": instructions}] if instructions else []
    calls: list[Item] = []
    for item in items:
        if item.call is not None:
            calls.append(item)
            continue
        messages += _called(calls, outputs)
        calls = []
        if item.output is None and (item.text or item.pictures):
            messages.append({"role": item.role, "content": _content(item)})
    return messages + _called(calls, outputs)


def _called(items: list[Item], outputs: Mapping[str, str]) -> list[Message]:
    """Calls that were made in one breath, and what they gave."""
    calls = [item.call for item in items if item.call is not None]
    if not calls:
        return []
    told = [
        {"id": one.call_id, "type": "function", "function": {"name": one.name, "arguments": one.arguments}}
        for one in calls
    ]
    given = [
        {"role": "tool", "tool_call_id": one.call_id, "content": outputs.get(one.call_id, NO_OUTPUT)} for one in calls
    ]
    return [{"role": "assistant", "content": None, "tool_calls": told}, *given]


def _content(item: Item) -> str | list[Message]:
    """Plain text where there is nothing else: some endpoints know no parts."""
    if not item.pictures:
        return item.text
    words = [{"type": "text", "text": item.text}] if item.text else []
    pictures = [{"url": part["image_url"], "detail": part["detail"]} for part in item.pictures]
    return [*words, *({"type": "image_url", "image_url": picture} for picture in pictures)]


def chat_tools(tools: Iterable[Mapping[str, Any]]) -> list[Message]:
    """Functions in the shape of chat completions: one level deeper than in the Realtime API."""
    return [{"type": "function", "function": {k: v for k, v in tool.items() if k != "type"}} for tool in tools]


def chat_choice(choice: str | Mapping[str, Any]) -> str | Message:
    """Which function has to be called, in the shape of chat completions."""
    return choice if isinstance(choice, str) else {"type": "function", "function": {"name": choice["name"]}}
