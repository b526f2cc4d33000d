"""Connections of HTTP as uvicorn has them, but of which there are not too many, and none is held open by doing nothing.

Uvicorn takes any number of them, and waits for a request for ever: whoever can connect, without a token, could use up
the process's files. And what is over its own limit costs those that were there before.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from uvicorn.protocols.http.h11_impl import H11Protocol

from otel_polar.delivery.notices import logger

if TYPE_CHECKING:
    from uvicorn.protocols.http.h11_impl import RequestResponseCycle

KEEP_ALIVE_S: Final = 75
"""Longer than what is between two requests of those who have them often."""

_SAY_AGAIN_S: Final = 600.0
_say_again_at = 0.0


class BoundedProtocol(H11Protocol):
    """One connection. What is over the limit is closed: a sender tries again."""

    def __init__(self, *arguments: Any, max_connections: int, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._max_connections = max_connections
        self._looked_at: RequestResponseCycle | None = None
        self._looking: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn declares it
        """Take it, or not."""
        super().connection_made(transport)
        if len(self.connections) > self._max_connections:
            _say(self._max_connections)
            transport.close()
        else:
            self._look_later()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        if self._looking is not None:
            self._looking.cancel()
        super().connection_lost(exc)

    def _look_later(self) -> None:
        self._looking = self.loop.call_later(KEEP_ALIVE_S, self._look)

    def _look(self) -> None:
        """Close it if no request has begun since it was looked at last, and none is being answered."""
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is self._looked_at and (cycle is None or cycle.response_complete):
            self.transport.close()
        else:
            self._looked_at = cycle
            self._look_later()


def _say(max_connections: int) -> None:
    global _say_again_at  # noqa: PLW0603 - of the process
    now = asyncio.get_running_loop().time()
    if now >= _say_again_at:
        _say_again_at = now + _SAY_AGAIN_S
        logger.warning("a connection was refused: there are %d of HTTP (max_connections)", max_connections)
