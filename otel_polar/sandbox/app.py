"""The ASGI application: Polar's routes below ``/v1``, the page at ``/``, its numbers below ``/sandbox``.

Every call of the API passes the same gates in the same order: version, rate limit, size, token. The page needs no
token; a sandbox listens on the loopback interface unless told otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from otel_polar.sandbox import overview, security
from otel_polar.sandbox.faults import FaultQueue
from otel_polar.sandbox.gates import Faulty, Gate
from otel_polar.sandbox.routes import api_routes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.requests import Request

    from otel_polar.sandbox.gates import Endpoint
    from otel_polar.sandbox.security import Tokens
    from otel_polar.sandbox.store import SandboxStore

_PAGE: Final = {
    "/": ("index.html", "text/html"),
    "/style.css": ("style.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}
_PAGE_HEADERS: Final = {
    "content-security-policy": "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}


@dataclass(slots=True)
class Page:
    """The live view of one store."""

    store: SandboxStore
    _cached: tuple[tuple[int, int], dict[str, Any]] | None = field(default=None, init=False)

    async def overview(self, request: Request) -> Response:
        """Answer with all numbers of the page; computed anew only after a write or a full minute."""
        del request
        now_us = round(self.store.now() * 1_000_000)
        version = (self.store.revision, now_us // 60_000_000)
        if self._cached is None or self._cached[0] != version:
            self._cached = version, overview.build_overview(self.store.events(), self.store.customers(), now_us)
        return JSONResponse(self._cached[1], headers=_PAGE_HEADERS)

    async def events(self, request: Request) -> Response:
        """Answer with the newest events of the customer named by ``customer``."""
        key = request.query_params.get("customer", "")
        rows = overview.newest_events(self.store.events(), self.store.customers(), key)
        return JSONResponse({"events": rows}, headers=_PAGE_HEADERS)

    def routes(self) -> list[BaseRoute]:
        """Return the page's routes; its files are read once."""
        folder = files("otel_polar.sandbox") / "page"
        shown = [
            Route(path, _static((folder / name).read_bytes(), media_type)) for path, (name, media_type) in _PAGE.items()
        ]
        return [*shown, Route("/sandbox/overview", self.overview), Route("/sandbox/events", self.events)]


def _static(content: bytes, media_type: str) -> Endpoint:
    async def answer(request: Request, /) -> Response:
        del request
        return Response(content, media_type=media_type, headers=_PAGE_HEADERS)

    return answer


def create_app(
    store: SandboxStore,
    *,
    tokens: Tokens | None = None,
    requests_per_minute: int | None = None,
    faults: FaultQueue | None = None,
    routes: Sequence[BaseRoute] = (),
) -> Starlette:
    """Build a local Polar on top of *store*.

    Args:
        store: where events, customers and meters live; also the clock.
        tokens: each access token with its scopes; None lets every token that starts with ``polar_oat_`` do everything.
        requests_per_minute: answer 429 above this; None means no limit.
        faults: answers to order; cutting a connection takes a `SandboxServer`.
        routes: more routes to serve from the same address; they come before ours.
    """
    limiter = security.RateLimiter(requests_per_minute, store.now)
    ordered = FaultQueue() if faults is None else faults
    api: list[BaseRoute] = []
    for method, path, endpoint, scopes in api_routes(store):
        gated = Faulty(Gate(endpoint, scopes, tokens, limiter), ordered)
        api.append(Route(path, gated.__call__, methods=[method]))
    return Starlette(routes=[*routes, *api, *Page(store).routes()])
