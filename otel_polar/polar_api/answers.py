"""What an answer that is no success means, and what a person can do about it.

Sources: polarsource/polar, server/polar/exception_handlers.py (bodies), server/polar/auth (401, 403 and the scope in
``WWW-Authenticate``), server/polar/rate_limit.py.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from otel_polar.errors import (
    PolarDeniedError,
    PolarError,
    PolarNotFoundError,
    PolarRateLimitedError,
    PolarRefusedError,
    PolarUnreachableError,
)
from otel_polar.polar_api.retry_after import read_retry_after

if TYPE_CHECKING:
    import httpx

_UNAUTHORIZED: Final = 401
_FORBIDDEN: Final = 403
_NOT_FOUND: Final = 404
_RATE_LIMITED: Final = 429
_SERVER_ERRORS: Final = 500
_CLIENT_ERRORS: Final = 400
_SCOPE: Final = re.compile(r'scope="([^"]+)"')
_MAX_REASON_CHARACTERS: Final = 300


def error_of(asked: str, answer: httpx.Response) -> PolarError:
    """The error for an answer that is no success; *asked* is the request in words, such as ``GET /v1/meters/``."""
    status = answer.status_code
    content = read_json(answer.content)
    if status == _UNAUTHORIZED:
        return PolarDeniedError(
            f"Polar does not know the access token ({asked}: 401): POLAR_ACCESS_TOKEN must be an organization access"
            " token of the server in POLAR_SERVER; sandbox and production have tokens of their own",
            status=status,
        )
    if status == _FORBIDDEN and _is_polars(content):
        return _forbidden(asked, answer, content)
    if status == _NOT_FOUND and _is_polars(content):
        return PolarNotFoundError(f"Polar has no such thing ({asked}: 404)")
    if status == _RATE_LIMITED:
        wait_s = read_retry_after(answer.headers.get("retry-after"), datetime.now(UTC))
        return PolarRateLimitedError(
            f"Polar's rate limit is reached ({asked}: 429): again in {wait_s:.0f} s", retry_after_s=wait_s
        )
    if _CLIENT_ERRORS <= status < _SERVER_ERRORS and _is_polars(content):
        return _refused(asked, status, content)
    return PolarUnreachableError(
        f"Polar, or a proxy on the way, answered HTTP {status} with nothing that makes sense ({asked}): try again; if"
        " it never works, see POLAR_BASE_URL",
        may_have_happened=status >= _SERVER_ERRORS,
    )


def read_json(content: bytes) -> Any:
    """What it says as JSON; ``None`` where it is none, such as ``NaN``, with which nothing can be added or compared."""
    try:
        return json.loads(content, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None


def _refuse(constant: str) -> Any:
    raise ValueError(constant)


def _forbidden(asked: str, answer: httpx.Response, content: Any) -> PolarDeniedError:
    found = _SCOPE.search(answer.headers.get("www-authenticate", ""))
    # Polar names all that would do.
    scope = None if found is None else " or ".join(found[1].split())
    if scope is not None or content.get("error") == "insufficient_scope":
        lacking = f"the scope {scope}" if scope else "a scope"
        return PolarDeniedError(
            f"the access token lacks {lacking} ({asked}: 403): add it to the token in Polar's settings, or make another"
            " one and set POLAR_ACCESS_TOKEN",
            status=_FORBIDDEN,
            scope=scope,
        )
    return PolarDeniedError(f"Polar does not permit it ({asked}: 403): {_words(content)}", status=_FORBIDDEN)


def _refused(asked: str, status: int, content: Any) -> PolarRefusedError:
    detail = content.get("detail")
    problems = [each for each in detail if isinstance(each, dict)] if isinstance(detail, list) else []
    fields = tuple(_field(problem.get("loc")) for problem in problems)
    reasons = tuple(str(problem.get("msg", ""))[:_MAX_REASON_CHARACTERS] for problem in problems)
    told = "; ".join(f"{field}: {reason}" for field, reason in zip(fields, reasons, strict=True)) or _words(content)
    message = f"Polar refuses it ({asked}: {status}): {told[:_MAX_REASON_CHARACTERS]}"
    return PolarRefusedError(message, status=status, fields=fields, reasons=reasons)


def _field(location: object) -> str:
    parts = [str(part) for part in location] if isinstance(location, list) else []
    return ".".join(parts[1:] if parts[:1] in (["body"], ["query"], ["path"]) else parts) or "the request"


def _words(content: Any) -> str:
    words = content.get("detail") or content.get("error_description") or content.get("error") or "it does not say why"
    return str(words)[:_MAX_REASON_CHARACTERS]


def _is_polars(content: Any) -> bool:
    """Whether it has Polar's own form: a firewall on the way may answer 403 or 404, too."""
    return isinstance(content, dict) and (isinstance(content.get("error"), str) or "detail" in content)
