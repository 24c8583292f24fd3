"""The door: request ids, API keys, allowed hosts and origins, body sizes, safe headers. Knows no route's meaning.

A server on 127.0.0.1 is still reachable from any web page the user opens, so without keys the Host header must name
this machine (against DNS rebinding) and an Origin must be our own or allowed (against cross-site requests).
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .errors import ApiError, overloaded, response_of
from .realtime.tickets import PATH as TICKETS_OPEN
from .realtime.tickets import Tickets
from .settings import ServerSettings

OPEN_PATHS = ("/health", "/ready")
LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
KEY_PROTOCOL = "openai-insecure-api-key."  # how browsers hand a key to a WebSocket; compatible with OpenAI's clients
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "media-src 'self' blob:; worker-src 'self'; font-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)


class Guard:
    """ASGI middleware around everything."""

    def __init__(self, app: ASGIApp, settings: ServerSettings, tickets: Tickets) -> None:
        self._app = app
        self._settings = settings
        self._tickets = tickets
        self._requests = 0
        self.bytes_under_way = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        request_id = headers.get("x-request-id", "")
        if not REQUEST_ID.fullmatch(request_id):
            request_id = f"req_{secrets.token_hex(12)}"
        scope.setdefault("state", {})["request_id"] = request_id
        sending = _with_headers(send, request_id, self._cors(headers))
        try:
            self._check(scope, headers)
        except ApiError as error:
            await _refuse(error, scope, receive, sending)
            return
        if scope.get("method") == "OPTIONS" and "access-control-request-method" in headers:
            await Response(status_code=204)(scope, receive, sending)
            return
        await self._pass(scope, receive, sending)

    async def _pass(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request in, count it and its bytes while it is under way, and answer what nobody else caught."""
        body = _Body(self, receive, self._settings)
        begun = _Begun(send)
        counted = scope["path"] not in OPEN_PATHS  # a probe takes nobody's place
        self._requests += counted
        try:
            await self._app(scope, body.receive if scope["type"] == "http" else receive, begun.send)
        except Exception as error:
            if begun.yes or scope["type"] != "http":
                raise
            await response_of(error)(scope, receive, send)
        finally:
            self._requests -= counted
            self.bytes_under_way -= body.taken

    def _check(self, scope: Scope, headers: Headers) -> None:
        length = headers.get("content-length", "0")
        if length.isdigit() and int(length) > self._settings.max_request_bytes:
            message = f"The request is larger than {self._settings.max_request_bytes} bytes."
            raise ApiError(413, message, code="request_too_large")
        if self._requests >= self._settings.max_requests and scope["path"] not in OPEN_PATHS:
            raise overloaded(f"{self._requests} requests are under way.", retry_after=self._settings.max_wait_seconds)
        self._check_host(headers)
        self._check_origin(headers)
        scope["state"]["client_key"] = self._check_key(scope, headers)

    def _check_host(self, headers: Headers) -> None:
        host = urlsplit(f"//{headers.get('host', '')}").hostname or ""
        if not self._settings.api_keys and not self._settings.is_public and host not in LOCAL_HOSTS:
            message = f"This server answers to localhost only, not to {host!r}."
            raise ApiError(403, message, code="host_not_allowed")

    def _check_origin(self, headers: Headers) -> None:
        origin = headers.get("origin")
        if origin is None or origin in self._settings.allowed_origins:
            return
        if urlsplit(origin).netloc != headers.get("host"):
            raise ApiError(403, f"Pages of {origin[:100]} may not use this server.", code="origin_not_allowed")

    def _check_key(self, scope: Scope, headers: Headers) -> str:
        """Who asks, as a name that is safe to keep: a hash of the key, or the address."""
        given = _given_key(headers)
        ticket = self._tickets.find(given) if scope["path"] == TICKETS_OPEN else None
        scope["state"]["client_secret"] = ticket.value if ticket else None
        if ticket is not None:
            return ticket.owner
        if not self._settings.api_keys:
            return str((scope.get("client") or ("unknown",))[0])
        path = scope["path"]
        if path in OPEN_PATHS or path == "/" or path.startswith("/page/") or scope.get("method") == "OPTIONS":
            return ""
        digest = _digest(given)  # of equal length whatever was given, so that comparing takes the same time
        known = [each for each in map(_digest, self._settings.api_keys) if hmac.compare_digest(digest, each)]
        if known:
            return known[0].hex()[:12]
        message = "The API key is wrong." if given else "An API key is needed: Authorization: Bearer KEY."
        raise ApiError(401, message, code="invalid_api_key", headers={"www-authenticate": "Bearer"})

    def _cors(self, headers: Headers) -> dict[str, str]:
        origin = headers.get("origin")
        if origin is None or origin not in self._settings.allowed_origins:
            return {}
        return {
            "access-control-allow-origin": origin,
            "access-control-allow-headers": "authorization, content-type, x-request-id",
            "access-control-allow-methods": "GET, POST, DELETE, OPTIONS",
            "access-control-expose-headers": "*",
            "vary": "Origin",
        }


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


def _given_key(headers: Headers) -> str:
    kind, _, key = headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer":
        return key.strip()
    for protocol in headers.get("sec-websocket-protocol", "").split(","):
        if protocol.strip().startswith(KEY_PROTOCOL):
            return protocol.strip().removeprefix(KEY_PROTOCOL)
    return ""


def _with_headers(send: Send, request_id: str, more: dict[str, str]) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers["x-request-id"] = request_id
            headers["x-content-type-options"] = "nosniff"
            headers["referrer-policy"] = "no-referrer"
            headers.setdefault("content-security-policy", CONTENT_SECURITY_POLICY)
            for name, value in more.items():
                headers[name] = value
        await send(message)

    return sending


class _Body:
    """Stops reading a body that grows past its limit, whatever its Content-Length said, or past everybody's."""

    def __init__(self, guard: Guard, receive: Receive, settings: ServerSettings) -> None:
        self._guard, self._receive, self._settings = guard, receive, settings
        self.taken = 0

    async def receive(self) -> Message:
        message = await self._receive()
        size = len(message.get("body", b""))
        self.taken += size
        self._guard.bytes_under_way += size
        if self.taken > self._settings.max_request_bytes:
            raise HTTPException(413, f"The request is larger than {self._settings.max_request_bytes} bytes")
        if self._guard.bytes_under_way > self._settings.max_bytes_under_way:
            retry = {"retry-after": str(max(1, round(self._settings.max_wait_seconds)))}
            raise HTTPException(503, "Too much is being uploaded at once", headers=retry)
        return message


class _Begun:
    """Whether an answer has begun, so that another one can't be given."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.yes = False

    async def send(self, message: Message) -> None:
        self.yes = True
        await self._send(message)


async def _refuse(error: ApiError, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket" and "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": 1008, "reason": error.message[:100]})
        return
    await response_of(error)(scope, receive, send)
