"""The service as one process: what listens, what records, what delivers, and how all of it comes to an end.

::

    gRPC  ──┐
    HTTP  ──┼─▶ Receiver ─▶ SpanReader ─▶ Commits ─▶ Pipeline ─▶ Polar
    Kafka ──┘   bounds      calls          on disk    (delivery thread)
"""

from __future__ import annotations

import asyncio
import signal
import socket
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

import uvicorn

from otel_polar.delivery.notices import logger
from otel_polar.delivery.pipeline import Pipeline
from otel_polar.service import otlp_grpc, otlp_http
from otel_polar.service.connections import KEEP_ALIVE_S, BoundedProtocol
from otel_polar.service.guards import check_service
from otel_polar.service.kafka.source import KafkaSource
from otel_polar.service.metrics import Metrics
from otel_polar.service.operation import create_operation
from otel_polar.service.page import Source, create_page
from otel_polar.service.reading import SpanReader
from otel_polar.service.receiver import Receiver
from otel_polar.settings.serve import MIB

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from starlette.types import ASGIApp, Receive, Scope, Send

    from otel_polar.settings.file import ServiceConfig

BACKLOG: Final = 1_024
LOOK_EVERY_S: Final = 5.0
"""How often the files of TLS are looked at."""

GRACE_S: Final = 10.0
"""How long requests that have begun may take when the service is told to end."""


class Addresses(NamedTuple):
    """Where it listens, with the ports that the system chose."""

    grpc: str
    http: str


class CannotListenError(Exception):
    """A port is taken, or the address is not this machine's. The message names it."""


class Service:
    """One for a process: it sets the process's provider of metrics and answers its signals."""

    def __init__(self, config: ServiceConfig) -> None:
        """Open the outbox and begin to deliver; nothing is listened to yet.

        Raises:
            ConfigError: if a setting cannot be used.
        """
        settings, self._serve = config
        serve = self._serve
        self._guards = check_service(config)
        self._pipeline = Pipeline(settings, durability="FULL")
        notices = self._pipeline.notices
        self._reader = SpanReader(self._pipeline, settings)
        self._receiver = Receiver(
            self._pipeline.commit,
            notices,
            max_request_bytes=serve.max_request_mib * MIB,
            max_in_flight_bytes=serve.max_in_flight_mib * MIB,
        )
        self._kafka: KafkaSource | None = None
        if serve.kafka.brokers is not None:
            self._kafka = KafkaSource(
                serve.kafka, read=self._reader.read_protobuf, commit=self._pipeline.commit, notices=notices
            )
        self._is_draining = False
        self._page = create_page(
            Source(
                settings=settings,
                outboxes=lambda: self._pipeline.outboxes,
                telemetry=self._pipeline.telemetry,
                counters=self._counters,
                why_not_ready=self.problem,
            )
        )
        self._metrics = Metrics(self._receiver, self._kafka, ready=lambda: self.problem() is None)

    def problem(self) -> str | None:
        """Why nothing can be recorded now; ``None`` if it can."""
        if self._is_draining:
            return "the service is ending"
        return self._pipeline.problem or (None if self._kafka is None else self._kafka.problem)

    async def run(self, on_ready: Callable[[Addresses], None]) -> None:
        """Serve until SIGTERM or SIGINT; *on_ready* is told where, once requests are answered.

        Raises:
            CannotListenError: if it cannot listen there.
        """
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        listener = self._listen()
        server = _HttpServer(self._http_config())
        grpc_server, grpc_port = self._grpc_server()
        await grpc_server.start()
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        ready = asyncio.create_task(server.ready.wait())
        ending = asyncio.create_task(stop.wait())
        looking = asyncio.create_task(self._look_after_certificates())
        try:
            await asyncio.wait({ready, serving}, return_when=asyncio.FIRST_COMPLETED)
            if serving.done():
                # It has raised.
                ready.cancel()
                await serving
            if self._kafka is not None:
                self._kafka.start()
            on_ready(self._addresses(grpc_port, listener))
            await asyncio.wait({ending, serving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._is_draining = True
            looking.cancel()
            logger.info("ending: no more requests are taken")
            server.told_to_stop.set()
            leaving = [] if self._kafka is None else [asyncio.to_thread(self._kafka.stop, GRACE_S)]
            await asyncio.gather(grpc_server.stop(GRACE_S), serving, *leaving)
            listener.close()

    def close(self) -> None:
        """Commit what was taken, send what can be sent within ``shutdown_timeout_s``; the rest stays on disk."""
        self._receiver.stop()
        self._page.close()
        self._pipeline.shutdown()

    def _counters(self) -> dict[str, int]:
        """What came in at each door, for people."""
        requests = {f"requests {result}": count for result, count in sorted(self._receiver.requests.items())}
        unreadable = {"spans without ids or times": self._receiver.unreadable_spans}
        if self._kafka is None:
            return {**requests, **unreadable}
        return {**requests, **unreadable, **{f"Kafka: {name}": n for name, n in sorted(self._kafka.counts.items())}}

    def _listen(self) -> socket.socket:
        host, port = self._serve.host, self._serve.http_port
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            # `::` is for both, as it is for gRPC.
            is_dual = host == "::" and socket.has_dualstack_ipv6()
            listener = socket.create_server((host, port), family=family, backlog=BACKLOG, dualstack_ipv6=is_dual)
        except (OSError, OverflowError) as error:
            raise CannotListenError(f"cannot listen on {host} port {port} for OTLP/HTTP: {error}") from error
        # asyncio only does this for sockets it made itself; without it small answers wait 40 ms for an acknowledgement.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listener

    def _grpc_server(self) -> tuple[otlp_grpc.Server, int]:
        serve = self._serve
        service = otlp_grpc.TraceService(self._receiver, self._reader, self._guards.senders)
        server = otlp_grpc.create_server(
            service, max_request_bytes=serve.max_request_mib * MIB, max_connections=serve.max_connections
        )
        address = _address(serve.host, serve.grpc_port)
        try:
            if self._guards.certificates is None:
                port = server.add_insecure_port(address)
            else:
                port = server.add_secure_port(address, self._guards.certificates.credentials())
        except RuntimeError as error:
            raise CannotListenError(f"cannot listen on {address} for OTLP/gRPC: {error}") from error
        return server, port

    def _http_config(self) -> uvicorn.Config:
        serve = self._serve
        config = uvicorn.Config(
            self._app(),
            # Its limits of headers are strict, and it needs no compiler.
            http=partial(BoundedProtocol, max_connections=serve.max_connections),  # type: ignore[arg-type]  # uvicorn calls it
            ws="none",
            loop="asyncio",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            proxy_headers=False,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=round(GRACE_S),
        )
        config.load()
        if self._guards.certificates is not None:
            config.ssl = self._guards.certificates.context
        return config

    def _app(self) -> ASGIApp:
        traces = otlp_http.TracesEndpoint(self._receiver, self._reader, self._guards.senders)
        serve = self._serve
        operation = create_operation(
            problem=self.problem,
            metrics=self._metrics.exposition,
            pages=self._page.routes,
            operators=self._guards.operators,
            is_open=serve.is_loopback and not serve.is_guarded,
        )

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            # Whatever is posted is meant to be recorded; if it cannot be, that is to be counted and said.
            if scope["type"] == "http" and (scope["method"] == "POST" or otlp_http.is_for_traces(scope["path"])):
                await traces(scope, receive, send)
            else:
                await operation(scope, receive, send)

        return app

    def _addresses(self, grpc_port: int, listener: socket.socket) -> Addresses:
        scheme = "http" if self._guards.certificates is None else "https"
        http_port = listener.getsockname()[1]
        host = self._serve.host
        return Addresses(_address(host, grpc_port), f"{scheme}://{_address(host, http_port)}")

    async def _look_after_certificates(self) -> None:
        while self._guards.certificates is not None:
            await asyncio.sleep(LOOK_EVERY_S)
            self._guards.certificates.look_again()


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class _HttpServer(uvicorn.Server):
    """A uvicorn that says when it is ready, stops at once when told, and leaves the signals to the service."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()
        self.told_to_stop = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()

    async def main_loop(self) -> None:
        await self.told_to_stop.wait()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Nothing."""
        yield
