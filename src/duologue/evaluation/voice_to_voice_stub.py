"""A stub, not a language model: an OpenAI-compatible chat endpoint on this machine that streams canned answers.

It gives a reply of its list for each request, in order, a few letters at a time, and remembers what it was asked.
"""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import cycle
from typing import Any

ANSWERS = (
    "Of course, I can see that. Tell me a little more about it.",
    "That is good to hear. I was thinking of the same thing this morning.",
    "Really? I would not have thought so. But then, people are often kinder than they seem.",
    "Well, let me think. There may be another way to look at it, and I would like to try.",
)
PIECE = 6  # letters a chunk


class StubLanguageModel:
    """Serves on a free port of 127.0.0.1 until `close`. `first_seconds` is how long it "thinks"."""

    def __init__(
        self, answers: tuple[str, ...] = ANSWERS, first_seconds: float = 0.0, piece_seconds: float = 0.0
    ) -> None:
        self.asked: list[dict[str, Any]] = []
        stub, replies = self, cycle(answers)

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                stub.asked.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
                time.sleep(first_seconds)
                self.send_response(200)
                self.send_header("content-type", "text/event-stream")
                self.end_headers()
                answer = next(replies)
                for start in range(0, len(answer), PIECE):
                    self._chunk({"content": answer[start : start + PIECE]})
                    time.sleep(piece_seconds)
                self.wfile.write(b"data: [DONE]\n\n")

            def _chunk(self, delta: dict[str, str]) -> None:
                choice = {"index": 0, "delta": delta, "finish_reason": None}
                head = {"id": "stub", "object": "chat.completion.chunk", "created": 0, "model": "stub"}
                self.wfile.write(f"data: {json.dumps({**head, 'choices': [choice]})}\n\n".encode())
                self.wfile.flush()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
