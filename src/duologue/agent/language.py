"""What to say next: any language model behind an OpenAI-compatible chat endpoint. Knows no sound."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from ..errors import BackendUnavailable
from .parts import FunctionCall

PROMPT = (
    "You are talking with somebody, by voice. Answer in one to three short spoken sentences, the first one very short. "
    "Plain words only: no lists, no markdown, no emoji, no stage directions. If what you heard makes no sense, ask."
)
MAX_TOKENS = 200
MAX_TOKENS_WITH_TOOLS = 1_000  # arguments may be long
MAX_ARGUMENTS = 100_000  # characters; a model that writes without end is stopped
TIMEOUT_SECONDS = 30.0


class ChatEndpoint:
    """A model at a base URL such as http://localhost:11434/v1 (Ollama), llama.cpp, vLLM or a hosted one."""

    def __init__(self, url: str, model: str, key: str = "none", prompt: str = PROMPT) -> None:
        try:
            from openai import AsyncOpenAI
        except ImportError as error:
            raise BackendUnavailable(
                "Language models need the openai package.", hint='pip install "duologue[talk]"'
            ) from error
        self.name = model
        self._prompt = prompt
        self._client = AsyncOpenAI(base_url=url, api_key=key, timeout=TIMEOUT_SECONDS, max_retries=1)

    async def reply(self, turns: Sequence[tuple[str, str]]) -> AsyncIterator[str]:
        """The answer to these (role, text) turns, bit by bit. Raises BackendUnavailable if the endpoint fails."""
        async for thought in self.respond([{"role": role, "content": text} for role, text in turns]):
            if isinstance(thought, str):
                yield thought

    async def respond(
        self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]] = (), choice: Any = "auto"
    ) -> AsyncIterator[str | FunctionCall]:
        """The answer to messages as chat completions take them: text bit by bit, then the functions that it wants
        called. `tools` and `choice` are passed on as they are. Raises BackendUnavailable if the endpoint fails.
        """
        from openai import OpenAIError

        asked: dict[str, Any] = {"messages": [{"role": "system", "content": self._prompt}, *messages]}
        asked |= {"max_tokens": MAX_TOKENS_WITH_TOOLS if tools else MAX_TOKENS}
        asked |= {"tools": list(tools), "tool_choice": choice} if tools else {}
        calls: dict[int, list[str]] = {}  # id, name and arguments, as far as they have come
        try:
            stream = await self._client.chat.completions.create(model=self.name, stream=True, **asked)
            async with stream:  # who stops listening ends the request
                async for chunk in stream:
                    delta = chunk.choices[0].delta if chunk.choices else None
                    if delta is not None and delta.content:
                        yield delta.content
                    for bit in (delta.tool_calls if delta is not None else None) or ():
                        _add(bit, calls)
        except OpenAIError as error:
            hint = "Check --llm and --llm-model, and that the endpoint runs."
            raise BackendUnavailable(f"The language model didn't answer: {error}", hint=hint) from error
        for number, (call_id, name, arguments) in sorted(calls.items()):
            yield FunctionCall(call_id or f"call_{secrets.token_hex(8)}_{number}", name, arguments or "{}")


def _add(bit: Any, calls: dict[int, list[str]]) -> None:
    """Join one piece of a call to those before it."""
    call = calls.setdefault(bit.index, ["", "", ""])
    call[0] = bit.id or call[0]
    if bit.function is not None:
        call[1] += bit.function.name or ""
        call[2] += bit.function.arguments or ""
    if len(call[2]) > MAX_ARGUMENTS:
        raise BackendUnavailable("The language model wrote arguments without end.", hint="Ask again.")
