"""Polar's error answers, and reading a JSON body as its framework does.

Sources: polarsource/polar, server/polar/exception_handlers.py, server/polar/exceptions.py.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse, PlainTextResponse, Response

from otel_polar.sandbox.scalars import Problem, RefusedError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.requests import Request


class UnreadableBodyError(Exception):
    """The body breaks the JSON parser in a way its framework answers with 400."""


def schema_error(problems: Iterable[Problem]) -> Response:
    """Answer that the body breaks the schema."""
    return _validation_error("RequestValidationError", problems)


def semantic_error(problems: Iterable[Problem]) -> Response:
    """Answer that the body is well-formed but names something that is not there."""
    return _validation_error("PolarRequestValidationError", problems)


def _validation_error(error: str, problems: Iterable[Problem]) -> Response:
    try:
        return JSONResponse({"error": error, "detail": [problem.as_json() for problem in problems]}, 422)
    except (ValueError, RecursionError):
        # The refused input is echoed; NaN, Infinity and lone surrogates cannot be, and Polar's answer breaks on them.
        return server_error()


def server_error() -> Response:
    """Answer as a crashed request does; the connection is closed after it."""
    return PlainTextResponse("Internal Server Error", 500, {"connection": "close"})


def not_found() -> Response:
    """Answer that there is no such resource."""
    return JSONResponse({"error": "ResourceNotFound", "detail": "Not found"}, 404)


def unreadable_body() -> Response:
    """Answer that the body could not be parsed at all."""
    return JSONResponse({"detail": "There was an error parsing the body"}, 400)


async def read_json(request: Request) -> Any:
    """Return the parsed body.

    Raises:
        RefusedError: if it is absent or no JSON.
        UnreadableBodyError: if it is no text, nested too deeply, or holds a number too long for Python.
    """
    body = await request.body()
    if not body:
        raise RefusedError(Problem("missing", "Field required", None, ("body",)))
    try:
        return json.loads(body)
    except json.JSONDecodeError as error:
        place = ("body", error.pos)
        raise RefusedError(Problem("json_invalid", "JSON decode error", {}, place, {"error": error.msg})) from None
    except (ValueError, RecursionError) as error:
        raise UnreadableBodyError(str(error)) from None
