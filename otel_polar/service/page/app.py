"""The routes of the page: five files, and the numbers. Who may see them is for whoever mounts them to decide."""

from __future__ import annotations

import threading
from importlib.resources import files
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final, Self

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from otel_polar.delivery.notices import logger
from otel_polar.service.page.log_lines import LogLines
from otel_polar.service.page.status import build_status
from otel_polar.service.page.watcher import Watcher

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import TracebackType

    from starlette.requests import Request

    from otel_polar.service.page.source import Source

CACHED_S: Final = 0.5
"""However many look at the page, its numbers are put together so often at most."""

SHARE: Final = 20
"""... and for no more than this part of the time: adding up thousands of names takes long."""

HEADERS: Final = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:;"
        " frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
    "cross-origin-resource-policy": "same-origin",
}
_FILES: Final = {
    "/": ("index.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
    "/chart.js": ("chart.js", "text/javascript"),
    "/elements.js": ("elements.js", "text/javascript"),
}


class StatusPage:
    """The routes, and a thread that sees to the numbers until it is closed."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._started_at = source.clock()
        self._watcher = Watcher(source)
        self._lines = LogLines()
        self._building = threading.Lock()
        self._built: tuple[float, dict[str, Any]] | None = None
        folder = files("otel_polar.service.page") / "static"
        self.routes = [
            *(Route(path, _file((folder / name).read_bytes(), kind)) for path, (name, kind) in _FILES.items()),
            Route("/status.json", self._status),
        ]
        logger.addHandler(self._lines)
        self._watcher.start()

    def close(self) -> None:
        """End the thread, and remember no more of the log."""
        logger.removeHandler(self._lines)
        self._watcher.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self.close()

    def _status(self, request: Request) -> Response:
        # Not `async`: Starlette calls it in a thread, because adding up thousands of names takes a moment.
        del request
        self._watcher.ask()
        with self._building:
            begin = perf_counter()
            if self._built is None or begin > self._built[0]:
                status = build_status(self._source, self._watcher, self._lines, started_at=self._started_at)
                end = perf_counter()
                self._built = end + max(CACHED_S, SHARE * (end - begin)), status
            status = self._built[1]
        return JSONResponse(status, headers=HEADERS)


def create_page(source: Source) -> StatusPage:
    """The page of one pipeline; its ``routes`` are to be mounted, and it is to be closed with the service."""
    return StatusPage(source)


def _file(content: bytes, media_type: str) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request, /) -> Response:
        del request
        return Response(content, media_type=media_type, headers=HEADERS)

    return answer
