"""A local stand-in for the Hugging Face hub: the few answers that the real client asks for when it fetches a file."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "c" * 40


@dataclass
class Repository:
    files: dict[str, bytes] = field(default_factory=dict)
    gated: bool = False
    token: str | None = None  # a token that opens a gated repository
    truncated: frozenset[str] = frozenset()  # files that break off halfway
    failing: int = 0  # an HTTP status for every request


@dataclass
class Standin:
    url: str
    repositories: dict[str, Repository]
    requests: list[tuple[str, str]] = field(default_factory=list)


@contextmanager
def hub_standin(repositories: dict[str, Repository]) -> Iterator[Standin]:
    """Serve `repositories` on a free port of this machine."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    standin = Standin(f"http://127.0.0.1:{server.server_port}", repositories)
    server.standin = standin  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield standin
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def log_message(self, *args: object) -> None:
        """Stay quiet."""

    def _answer(self, body: bool) -> None:
        standin: Standin = self.server.standin  # type: ignore[attr-defined]
        standin.requests.append((self.command, self.path))
        if self.path.startswith("/api/models/"):
            return self._list(standin, body)
        owner, name, verb, revision, *rest = (*self.path.split("?")[0].strip("/").split("/"), "", "", "", "")
        file = "/".join(part for part in rest if part)
        repository = standin.repositories.get(f"{owner}/{name}")
        if verb != "resolve" or repository is None:
            return self._refuse(404 if verb != "resolve" else 401, "RepoNotFound", "Repository not found")
        if repository.failing:
            return self._refuse(repository.failing, "", "not now")
        allowed = repository.token and self.headers.get("Authorization") == f"Bearer {repository.token}"
        if repository.gated and not allowed:
            status = 403 if self.headers.get("Authorization") else 401
            return self._refuse(status, "GatedRepo", f"Access to model {owner}/{name} is restricted.")
        if revision not in ("main", COMMIT):
            return self._refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        if file not in repository.files:
            return self._refuse(404, "EntryNotFound", "Entry not found")
        return self._send(repository.files[file], body, file in repository.truncated)

    def _list(self, standin: Standin, body: bool) -> None:
        """The names of a repository's files, as /api/models/OWNER/NAME/tree/REVISION."""
        owner, name = self.path.split("/")[3:5]
        repository = standin.repositories.get(f"{owner}/{name}")
        if repository is None:
            return self._refuse(404, "RepoNotFound", "Repository not found")
        entries = [
            {"type": "file", "path": path, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
            for path, content in repository.files.items()
        ]
        return self._send(json.dumps(entries).encode(), body, False)

    def _send(self, content: bytes, body: bool, truncated: bool) -> None:
        start = 0
        if requested := self.headers.get("Range"):
            start = int(requested.removeprefix("bytes=").split("-")[0])
        self.send_response(206 if start else 200)
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("Content-Length", str(len(content) - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        if body and truncated:
            self.wfile.write(content[start : len(content) // 2])
            self.close_connection = True
        elif body:
            self.wfile.write(content[start:])

    def _refuse(self, status: int, code: str, message: str) -> None:
        self.send_response(status)
        if code:
            self.send_header("X-Error-Code", code)
        self.send_header("X-Error-Message", message)
        self.send_header("Content-Length", "0")
        self.end_headers()
