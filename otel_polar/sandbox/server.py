"""The sandbox as a running server: uvicorn in a thread, started and stopped by a ``with`` statement."""

from __future__ import annotations

import asyncio
import dataclasses
import signal
import socket
import threading
import time
from typing import TYPE_CHECKING, Any, Final, Self

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from otel_polar.sandbox.app import create_app
from otel_polar.sandbox.faults import ApiRequest, CannedAnswer, Fault, FaultQueue, IngestRequest
from otel_polar.sandbox.store import SandboxStore

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    from starlette.routing import BaseRoute

    from otel_polar.sandbox.security import Tokens

_BACKLOG: Final = 128
_GRACE_S: Final = 1


class _Protocol(H11Protocol):
    """HTTP/1.1 that lets an endpoint reach its own connection, so that a test can have it cut."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn declares it
        self.app_state = {**self.app_state, "transport": transport}
        super().connection_made(transport)


class _Server(uvicorn.Server):
    """A uvicorn that says when it is ready, and stops at once when told; uvicorn itself looks ten times a second."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = threading.Event()
        self._told_to_stop = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        self.ready.set()

    async def main_loop(self) -> None:
        await self._told_to_stop.wait()

    def stop(self) -> None:
        """Tell the server to stop, from any thread."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._told_to_stop.set)


class SandboxServer:
    """A local Polar on a loopback port, for as long as the ``with`` block lasts.

    Args:
        host: the interface to listen on.
        port: the port to listen on; 0 lets the system choose.
        db: where to keep the data: a file that outlives the server, or ``":memory:"``.
        tokens: each access token with its scopes (``events:write`` ingests); None lets every token that starts with
            ``polar_oat_`` do everything.
        requests_per_minute: answer 429 above this, as Polar does at 500 (its sandbox at 100); None means no limit.
        now: the clock, in seconds since 1970. Events must not be later than it.
        routes: more routes to serve from the same address.
        state_lag_s: how long after its arrival an event stays out of customers' balances; Polar takes seconds to hours.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        db: str | Path = ":memory:",
        tokens: Tokens | None = None,
        requests_per_minute: int | None = None,
        now: Callable[[], float] = time.time,
        routes: Sequence[BaseRoute] = (),
        state_lag_s: float = 0.0,
    ) -> None:
        self.store = SandboxStore(db, now=now, state_lag_s=state_lag_s)
        self._faults = FaultQueue()
        self._address = (host, port)
        self._app = create_app(
            self.store, tokens=tokens, requests_per_minute=requests_per_minute, faults=self._faults, routes=routes
        )
        self._running: tuple[_Server, threading.Thread, socket.socket] | None = None
        self._ended = threading.Event()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Listen, and return once requests are answered.

        Raises:
            OSError: if the port is taken.
            RuntimeError: if it is running already.
        """
        if self._running is not None:
            raise RuntimeError("The sandbox is already running.")
        try:
            listener = socket.create_server(self._address, backlog=_BACKLOG)
        except OSError:
            self.store.close()
            raise
        # asyncio only does this for sockets it made itself; without it small answers wait 40 ms for an acknowledgement.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        server = _Server(
            uvicorn.Config(
                self._app,
                http=_Protocol,
                ws="none",
                loop="asyncio",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                date_header=False,
                timeout_graceful_shutdown=_GRACE_S,
            )
        )
        # Daemonic, so that a test which forgets to stop the server does not keep its process alive.
        thread = threading.Thread(target=self._serve, args=(server, listener), name="otel-polar-sandbox", daemon=True)
        self._running = server, thread, listener
        thread.start()
        server.ready.wait()

    def _serve(self, server: _Server, listener: socket.socket) -> None:
        try:
            server.run(sockets=[listener])
        finally:
            server.ready.set()
            self._ended.set()

    def stop(self) -> None:
        """Finish the requests in hand, close every connection and the store; a second call does nothing.

        The store does not open again: a server is started once.
        """
        if self._running is not None:
            server, thread, listener = self._running
            self._running = None
            server.stop()
            thread.join()
            listener.close()
        self.store.close()

    def wait(self, on_ready: Callable[[], None] = lambda: None) -> None:
        """Block until Ctrl-C, SIGTERM or the end of the server. To be called from the main thread.

        *on_ready* is called when a signal would already end it well.
        """
        # SIGTERM raises KeyboardInterrupt too: setting an event inside a signal handler could find its lock held.
        before = signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            on_ready()
            self._ended.wait()
        except KeyboardInterrupt:
            return
        finally:
            signal.signal(signal.SIGTERM, before)

    @property
    def url(self) -> str:
        """The address to give to ``Polar(base_url=...)``, without a trailing slash."""
        if self._running is None:
            raise RuntimeError("The sandbox is not running; use it in a with statement or call start().")
        host, port = self._running[2].getsockname()[:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def answer_next(
        self,
        status: int,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        *,
        after_commit: bool = False,
    ) -> None:
        """Queue a canned answer for the next ingest request; with *after_commit* its events are stored all the same."""
        self._faults.add(CannedAnswer(status, body, dict(headers or {}), after_commit))

    def hang_up_next(self, *, after_commit: bool = False) -> None:
        """Have the connection of the next ingest request closed without an answer."""
        self._faults.add(CannedAnswer(None, after_commit=after_commit))

    def answer_on(
        self,
        path: str,
        status: int,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        *,
        method: str | None = None,
        times: int | None = 1,
        after_commit: bool = False,
    ) -> None:
        """Answer the next *times* requests to *path*, of *method* if named, with this; None means all of them.

        In *path* a ``*`` stands for anything: ``/v1/meters/*``. With *after_commit* the request is obeyed all the same.
        """
        canned = CannedAnswer(status, body, dict(headers or {}), after_commit)
        self._faults.order(Fault(path, method, canned), times)

    def hang_up_on(
        self, path: str, *, method: str | None = None, times: int | None = 1, after_commit: bool = False
    ) -> None:
        """Close the connection of the next *times* requests to *path* without an answer."""
        self._faults.order(Fault(path, method, CannedAnswer(None, after_commit=after_commit)), times)

    def delay_on(self, path: str, delay_s: float, *, method: str | None = None, times: int | None = 1) -> None:
        """Wait before the next *times* requests to *path* are obeyed and answered truly."""
        self._faults.order(Fault(path, method, delay_s=delay_s), times)

    def clear_faults(self) -> None:
        """Answer truly from now on."""
        self._faults.clear()

    def freeze_customer_states(self) -> None:
        """Leave events that arrive from now on out of customers' balances; a credit still counts those before it."""
        self.store.balances.freeze()

    def thaw_customer_states(self) -> None:
        """Bring customers' balances up to date again."""
        self.store.balances.thaw()

    @property
    def requests(self) -> list[ApiRequest]:
        """The last ten thousand requests to the API, also those that were refused, oldest first."""
        return self._faults.requests()

    @property
    def ingest_requests(self) -> list[IngestRequest]:
        """Every request to the ingest endpoint, also those that were refused, oldest first."""
        return self._faults.ingest_requests()

    def events(self) -> list[dict[str, Any]]:
        """Return every stored event as a plain dict, in the order of arrival."""
        return [
            {**dataclasses.asdict(event), "timestamp": event.timestamp_given, "parent_id": event.parent_reference}
            for event in self.store.events()
        ]

    def wait_for_events(self, count: int, timeout_s: float = 10.0) -> list[dict[str, Any]]:
        """Return all events as soon as at least *count* have arrived.

        Raises:
            AssertionError: if *timeout_s* runs out first; it says how many arrived.
        """
        if not self.store.wait_for_events(count, timeout_s=timeout_s):
            arrived = self.store.count_events()
            raise AssertionError(f"{arrived} of {count} events arrived at the sandbox within {timeout_s} s")
        return self.events()


def run(
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    db: str | Path = ":memory:",
    on_ready: Callable[[SandboxServer], None] = lambda _: None,
) -> None:
    """Serve until Ctrl-C or SIGTERM; *on_ready* is called once requests are answered.

    Raises:
        OSError: if the port is taken.
    """
    with SandboxServer(host=host, port=port, db=db) as server:
        server.wait(lambda: on_ready(server))
