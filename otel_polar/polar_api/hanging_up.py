"""An end for a request as a whole: its connection is cut when it has taken its time.

httpx has a limit for each read, and an answer that comes byte by byte never meets it.
"""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_CONNECTED: Final = frozenset({"connection.connect_tcp.complete", "connection.start_tls.complete"})


class HangingUp:
    """For the requests of one client, one at a time. Source: https://www.encode.io/httpcore/extensions/."""

    def __init__(self) -> None:
        self._stream: Any = None
        self.has_hung_up = False
        """The last block took too long: what it says of the connection then is our own doing."""

    def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """What httpx is doing, as its request extension ``trace`` tells it: by which connection."""
        if event in _CONNECTED:
            self._stream = info.get("return_value")

    @contextmanager
    def after(self, timeout_s: float) -> Iterator[None]:
        """Cut the connection if the block takes longer."""
        self.has_hung_up = False
        watch = threading.Timer(timeout_s, self._hang_up)
        watch.daemon = True
        # An interpreter that ends starts no more threads, and has no time left for this.
        with suppress(RuntimeError):
            watch.start()
        try:
            yield
        finally:
            watch.cancel()

    def _hang_up(self) -> None:
        connection = None if self._stream is None else self._stream.get_extra_info("socket")
        if connection is not None:
            self.has_hung_up = True
            with suppress(OSError):
                # Whoever waits for the next byte is told that there is none.
                connection.shutdown(socket.SHUT_RDWR)
