"""A Polar that goes away for a while and comes back at the same address, knowing what it knew."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

from otel_polar.sandbox import SandboxServer
from tests.servers.child import HOST, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import TracebackType


class Polar:
    """The sandbox on one port, with its data in *directory*."""

    def __init__(self, directory: Path) -> None:
        self._port = free_port()
        self._db = directory / "polar.db"
        self.url = f"http://{HOST}:{self._port}"
        self.server = self._started()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.server.stop()

    @contextmanager
    def outage(self) -> Iterator[None]:
        """Nobody listens at its address."""
        self.server.stop()
        try:
            yield
        finally:
            self.server = self._started()

    def events(self) -> list[dict[str, Any]]:
        """Every event it has, in the order of arrival."""
        return self.server.events()

    def _started(self) -> SandboxServer:
        server = SandboxServer(port=self._port, db=self._db)
        server.start()
        return server
