"""What whoever operates the service looks at: is it alive, can it record, what does it count, and the status page.

``/healthz`` and ``/readyz`` are for everybody, and say nothing of customers. All else shows what is earned: it needs an
operator's token, unless nobody needs any.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Final

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute
    from starlette.types import ASGIApp, Receive, Scope, Send

    from otel_polar.service.tokens import Tokens

_OPEN: Final = frozenset({"/healthz", "/readyz"})
_NO_STORE: Final = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


def create_operation(
    *,
    problem: Callable[[], str | None],
    metrics: Callable[[], tuple[bytes, str]],
    pages: Sequence[BaseRoute],
    operators: Tokens,
    is_open: bool,
) -> Starlette:
    """The application around the receiver.

    Args:
        problem: why nothing can be recorded now; ``None`` if it can.
        metrics: the exposition for Prometheus, and its content type.
        pages: the status page's routes.
        operators: who may look.
        is_open: whether nobody needs a token, because only this machine can connect.
    """

    async def healthz(_: Request) -> Response:
        return PlainTextResponse("alive\n", headers=_NO_STORE)

    async def readyz(_: Request) -> Response:
        found = problem()
        return PlainTextResponse(f"{found or 'ready'}\n", 200 if found is None else 503, headers=_NO_STORE)

    async def show_metrics(_: Request) -> Response:
        content, kind = metrics()
        return PlainTextResponse(content, headers={**_NO_STORE, "Content-Type": kind})

    routes = [Route("/healthz", healthz), Route("/readyz", readyz), Route("/metrics", show_metrics), *pages]
    guard = Middleware(_OperatorsOnly, operators=operators, is_open=is_open)
    return Starlette(routes=routes, middleware=[guard])


class _OperatorsOnly:
    """Lets in who may look."""

    def __init__(self, app: ASGIApp, *, operators: Tokens, is_open: bool) -> None:
        self._app = app
        self._operators = operators
        self._is_open = is_open

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self._app
        if scope["type"] == "http" and scope["path"] not in _OPEN:
            app = self._judge(dict(scope["headers"])) or app
        await app(scope, receive, send)

    def _judge(self, headers: dict[bytes, bytes]) -> Response | None:
        """A refusal, or ``None``."""
        if self._operators.is_required:
            if self._operators.accept(headers.get(b"authorization", b"").decode("latin-1")):
                return None
            return PlainTextResponse(
                "this needs a token of serve.operator_tokens, as a bearer token or as the password of any user\n",
                401,
                headers={**_NO_STORE, "WWW-Authenticate": 'Basic realm="otel-polar", charset="UTF-8"'},
            )
        if not self._is_open:
            return PlainTextResponse(
                "set serve.operator_tokens (OTEL_POLAR_SERVE_OPERATOR_TOKENS) to look at this\n",
                403,
                headers=_NO_STORE,
            )
        if not _names_this_machine(headers.get(b"host", b"").decode("latin-1")):
            # A page from elsewhere whose name was made to lead here would otherwise read all of it.
            return PlainTextResponse("to look at this, use 127.0.0.1 or localhost\n", 403, headers=_NO_STORE)
        return None


def _names_this_machine(host: str) -> bool:
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    try:
        return ipaddress.ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return name.lower() == "localhost"
