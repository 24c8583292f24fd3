"""What to say next: any language model behind an OpenAI-compatible chat endpoint. Knows no sound."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from ..errors import BackendUnavailable

PROMPT = (
    "You are talking with somebody, by voice. Answer in one to three short spoken sentences, the first one very short. "
    "Plain words only: no lists, no markdown, no emoji, no stage directions. If what you heard makes no sense, ask."
)
MAX_TOKENS = 200
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
        from openai import OpenAIError

        messages = [{"role": "system", "content": self._prompt}, *({"role": r, "content": t} for r, t in turns)]
        try:
            stream = await self._client.chat.completions.create(
                model=self.name, messages=messages, stream=True, max_tokens=MAX_TOKENS  # type: ignore[arg-type]
            )  # fmt: skip
            async with stream:  # type: ignore[union-attr]  # who stops listening ends the request
                async for chunk in stream:  # type: ignore[union-attr]
                    if chunk.choices and chunk.choices[0].delta.content:
                        yield chunk.choices[0].delta.content
        except OpenAIError as error:
            hint = "Check --llm and --llm-model, and that the endpoint runs."
            raise BackendUnavailable(f"The language model didn't answer: {error}", hint=hint) from error
