"""Every failure as the body that OpenAI's clients parse: {"error": {message, type, param, code}}. Knows no route."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from ..errors import BackendUnavailable, ContextTooLong, DuologueError, InputError, SpeechError, VoiceError

log = logging.getLogger("duologue.server")

INVALID = "invalid_request_error"
STATUS_CODES = {
    400: "bad_request",
    401: "invalid_api_key",
    404: "not_found",
    405: "method_not_allowed",
    413: "request_too_large",
    503: "server_overloaded",
}


class ApiError(Exception):
    """A failure with everything that an OpenAI client shows: status, message, type, param, code."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        type: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.param = param
        self.type = type or (INVALID if status < 500 else "server_error")
        self.headers = dict(headers or {})

    def body(self) -> dict[str, Any]:
        return {"error": {"message": self.message, "type": self.type, "param": self.param, "code": self.code}}


def overloaded(message: str, *, retry_after: float, status: int = 503, code: str = "server_overloaded") -> ApiError:
    """No room now, with the seconds after which trying again makes sense."""
    kind = "rate_limit_error" if status == 429 else "server_error"
    return ApiError(status, message, code=code, type=kind, headers={"retry-after": str(max(1, round(retry_after)))})


def of_duologue(error: DuologueError) -> ApiError:
    """Say a library error over HTTP. Faults of the request are 4xx, faults of this side 5xx."""
    if isinstance(error, VoiceError):
        status, code = 400, "voice_unusable"
    elif isinstance(error, ContextTooLong):
        status, code = 400, "context_length_exceeded"
    elif isinstance(error, InputError):
        status, code = 400, "invalid_value"
    elif isinstance(error, SpeechError):
        status, code = 500, "speech_failed"
    elif isinstance(error, BackendUnavailable):
        status, code = 503, "backend_unavailable"
    else:
        status, code = 500, "internal_error"
    return ApiError(status, str(error), code=code, param=error.field or None)


def of_validation(error: RequestValidationError) -> ApiError:
    """The first thing wrong with a request, named by its field."""
    first = error.errors()[0]
    place = [str(part) for part in first["loc"] if part not in ("body", "query", "path", "header")]
    if first["type"] == "json_invalid":
        return ApiError(400, "The request body isn't valid JSON.", code="invalid_json")
    code = "missing_required_parameter" if first["type"] == "missing" else "invalid_value"
    field = ".".join(place) or None
    return ApiError(400, f"{field or 'request body'}: {first['msg']}.", code=code, param=field)


def of_http(error: HTTPException) -> ApiError:
    code = STATUS_CODES.get(error.status_code)
    return ApiError(error.status_code, f"{error.detail}.", code=code, headers=error.headers)


def known(error: BaseException) -> ApiError:
    """Any exception as an answer. What nobody foresaw is logged here and told without its details."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, RequestValidationError):
        return of_validation(error)
    if isinstance(error, HTTPException):
        return of_http(error)
    if isinstance(error, DuologueError):
        return of_duologue(error)
    log.error("unexpected failure", exc_info=error)
    return ApiError(500, "The server failed in a way it didn't foresee; its log has more.", code="internal_error")


def response_of(error: Exception) -> Response:
    """The answer to an exception."""
    answer = known(error)
    return JSONResponse(answer.body(), status_code=answer.status, headers=answer.headers)


def install(app: FastAPI) -> None:
    """Answer every kind of failure in the one shape."""

    async def answer(_: Request, error: Exception) -> Response:
        return response_of(error)

    for kind in (RequestValidationError, HTTPException, DuologueError, ApiError, Exception):
        app.add_exception_handler(kind, answer)
