"""Errors as they stand on the wire: `{"error": {"code", "message", "hint"}}`."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from orchestrator.errors import InvalidRequest, NotFound, OrchestratorError, ServerFailed, Unauthenticated

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.requests import Request

logger = logging.getLogger(__name__)

_SHOWN = 5
_NOT_FOUND = 404
_METHOD_NOT_ALLOWED = 405


def error_response(error: OrchestratorError, *, status: int | None = None, challenge: str = "Bearer") -> JSONResponse:
    """Return the answer that carries an error.

    Args:
        error: what went wrong.
        status: another HTTP status than the error's own.
        challenge: what a 401 asks for (RFC 9110, section 11.6.1).
    """
    headers = {"WWW-Authenticate": challenge} if isinstance(error, Unauthenticated) else None
    body = {"error": {"code": error.code, "message": error.message, "hint": error.hint}}
    return JSONResponse(body, status_code=status or error.status, headers=headers)


def add_error_handlers(app: FastAPI) -> None:
    """Make every error of an application look alike; input never leads to a 500."""

    async def ours(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, OrchestratorError)  # noqa: S101  for the type checker
        if error.status >= 500:  # noqa: PLR2004  the server's fault
            logger.error("request failed", exc_info=error)
        return error_response(error)

    async def invalid(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)  # noqa: S101  for the type checker
        return error_response(InvalidRequest(_explain(error.errors())))

    async def http(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)  # noqa: S101  for the type checker
        if isinstance(error.__cause__, OrchestratorError):  # raised by the gate while a body was read
            return error_response(error.__cause__)
        if error.status_code == _NOT_FOUND:
            return error_response(NotFound(f"There is nothing at {request.url.path}.", hint="See /api/docs."))
        if error.status_code == _METHOD_NOT_ALLOWED:
            wrong = InvalidRequest(f"{request.method} cannot be sent to {request.url.path}.", hint="See /api/docs.")
            return error_response(wrong, status=_METHOD_NOT_ALLOWED)
        return error_response(InvalidRequest(str(error.detail)), status=error.status_code)

    async def out_of_range(_: Request, error: Exception) -> JSONResponse:
        return error_response(InvalidRequest(f"A value cannot be stored: {error}."))

    async def unexpected(_: Request, error: Exception) -> JSONResponse:
        failed = ServerFailed(f"The server failed: {type(error).__name__}.", hint="Its log says more.")
        return error_response(failed, status=500)

    app.add_exception_handler(OrchestratorError, ours)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(OverflowError, out_of_range)  # an integer beyond the 64 bits of a column
    app.add_exception_handler(UnicodeEncodeError, out_of_range)  # half a surrogate pair
    app.add_exception_handler(Exception, unexpected)


def _explain(problems: Any) -> str:  # noqa: ANN401  pydantic's list of dicts
    """Return which fields are wrong and how, in a line."""
    named = [f"{'.'.join(str(part) for part in problem['loc'])}: {problem['msg']}" for problem in problems]
    more = f" (and {len(named) - _SHOWN} more)" if len(named) > _SHOWN else ""
    return "; ".join(named[:_SHOWN]) + more
