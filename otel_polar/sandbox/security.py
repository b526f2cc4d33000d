"""Who may call, which version of the API, how large, and how often: what Polar checks before it reads a body.

Sources: polarsource/polar, server/polar/middlewares.py (sizes), server/polar/kit/versioning.py, server/polar/auth,
server/polar/event/auth.py (scopes), server/polar/rate_limit.py (limits: one budget for a whole organization).
"""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, TypeAlias

from starlette.responses import JSONResponse, Response

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request

Tokens: TypeAlias = Mapping[str, frozenset[str]]
"""Each access token with its scopes."""

ORGANIZATION_ID: Final = "5a4db0c5-0000-4000-8000-0000706f6c72"
"""The id of the one organization that all tokens of a sandbox belong to."""

DEFAULT_VERSION: Final = "2026-04"
VERSIONS: Final = ("2026-04", "2026-10", "2027-01")
MAX_BODY_BYTES: Final = 10 * 1024 * 1024
TOKEN_PREFIX: Final = "polar_oat_"  # noqa: S105 - the public prefix of every token, not a token
_WINDOW_S: Final = 60.0
_STRANGERS_PER_MINUTE: Final = 60


def api_version(request: Request) -> str | None:
    """Return the version the caller asked for, the default without a header, or None if there is no such version."""
    asked = request.headers.get("polar-version", DEFAULT_VERSION)
    return asked if asked in VERSIONS else None


def unknown_version() -> Response:
    """Answer as if nothing lived at this address, which is how Polar routes unknown versions."""
    return JSONResponse({"detail": "Not Found"}, 404)


async def refuse_body_size(request: Request) -> Response | None:
    """Refuse a body of unknown or excessive length.

    The body is read to its end and thrown away, so that a client which is still sending hears the answer.
    """
    length = request.headers.get("content-length", "")
    if not length.isdecimal():
        await _drain(request)
        detail = "A Content-Length header is required for this request."
        return JSONResponse({"error": "LengthRequired", "detail": detail}, 411)
    if int(length) > MAX_BODY_BYTES:
        await _drain(request)
        detail = f"The request body is larger than {MAX_BODY_BYTES} bytes."
        return JSONResponse({"error": "RequestBodyTooLarge", "detail": detail}, 413)
    return None


async def _drain(request: Request) -> None:
    async for _ in request.stream():
        pass


def bearer_token(request: Request) -> str | None:
    """Return the token of the Authorization header, if there is one."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token.strip() else None


def is_known(token: str | None, tokens: Tokens | None) -> bool:
    """Say whether the token belongs to the organization; with no table every organization token does."""
    if token is None:
        return False
    return token.startswith(TOKEN_PREFIX) if tokens is None else token in tokens


def refuse_token(token: str | None, tokens: Tokens | None, scopes: frozenset[str]) -> Response | None:
    """Refuse a caller without a token, with a wrong one, or with one that has none of *scopes*."""
    if token is None:
        return JSONResponse({"error": "Unauthorized", "detail": "Not authenticated"}, 401)
    if not is_known(token, tokens):
        description = "The access token provided is expired, revoked, malformed, or invalid for other reasons."
        return _oauth_error(401, "invalid_token", description)
    if tokens is not None and not scopes & tokens[token]:
        description = "The request requires higher privileges than provided by the access token."
        return _oauth_error(403, "insufficient_scope", description, scopes)
    return None


def _oauth_error(status: int, error: str, description: str, scopes: frozenset[str] = frozenset()) -> Response:
    challenge = f'Bearer realm="polar", error="{error}", error_description="{description}"'
    if scopes:
        challenge += f', scope="{" ".join(sorted(scopes))}"'
    body = {"error": error, "error_description": description}
    return JSONResponse(body, status, {"www-authenticate": challenge})


class RateLimiter:
    """Counts requests per minute; all tokens of the organization and all endpoints share one budget."""

    __slots__ = ("_lock", "_now", "_per_minute", "_windows")

    def __init__(self, per_minute: int | None, now: Callable[[], float]) -> None:
        self._per_minute = per_minute
        self._now = now
        self._lock = threading.Lock()
        self._windows: dict[str, tuple[float, int]] = {}

    def refuse(self, zone: str) -> Response | None:
        """Count one request of *zone*; answer 429 with an empty body while its minute is used up."""
        if self._per_minute is None:
            return None
        limit = self._per_minute if zone == ORGANIZATION_ID else _STRANGERS_PER_MINUTE
        with self._lock:
            started, count = self._window(zone)
            self._windows[zone] = (started, count + 1)
        if count < limit:
            return None
        wait_s = max(1, math.ceil(started + _WINDOW_S - self._now()))
        return Response(status_code=429, headers={"retry-after": str(wait_s)})

    def _window(self, zone: str) -> tuple[float, int]:
        now = self._now()
        started, count = self._windows.get(zone, (now, 0))
        return (started, count) if now < started + _WINDOW_S else (now, 0)
