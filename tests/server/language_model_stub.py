"""A stub: an OpenAI-compatible chat endpoint that streams canned text and remembers what it was asked.

Given functions, it asks for the first one, and says what that gave.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ANSWER = ["Of co", "urse. I", " am listen", "ing to you."]
ARGUMENTS = ['{"ci', 'ty": "Oslo"}']


def thoughts(asked: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The deltas of one answer."""
    last = asked["messages"][-1]
    if last["role"] == "tool":
        yield {"content": f"It says {last['content']}."}
    elif not asked.get("tools") or asked["tool_choice"] == "none":
        yield from ({"content": piece} for piece in ANSWER)
    else:
        yield {"content": "Let me see."}
        call = {"index": 0, "id": "call_7", "type": "function"}
        name = asked["tools"][0]["function"]["name"]
        yield {"tool_calls": [{**call, "function": {"name": name, "arguments": ""}}]}
        for piece in ARGUMENTS:
            yield {"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}


class StubLanguageModel:
    """Canned text over the chat-completions protocol."""

    def __init__(self) -> None:
        asked = self.asked = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                asked.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
                self.send_response(200)
                self.send_header("content-type", "text/event-stream")
                self.end_headers()
                for delta in thoughts(asked[-1]):
                    choice = {"index": 0, "delta": delta, "finish_reason": None}
                    chunk = {"id": "1", "object": "chat.completion.chunk", "created": 0, "model": "stub"}
                    self.wfile.write(f"data: {json.dumps({**chunk, 'choices': [choice]})}\n\n".encode())
                self.wfile.write(b"data: [DONE]\n\n")

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
