"""OTLP over gRPC: ``TraceService/Export``.

A message is taken as it is, and unzipped here: so that one limit holds for both transports, whatever a version of gRPC
does with a message of a few kilobytes that holds gigabytes. And the method is declared as one of a stream of requests,
which on the wire is the same as of one: that way a stranger is turned away before his message is read.

Sources: OpenTelemetry's specification of OTLP 1.9, "OTLP/gRPC"; gRPC's channel arguments (grpc_types.h).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, TypeAlias

import grpc

from otel_polar.delivery.notices import describe, logger
from otel_polar.service.receiver import Refusal, RefusedError
from otel_polar.service.unzipping import GZIP_MAGIC

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from otel_polar.service.reading import SpanReader
    from otel_polar.service.receiver import Receiver
    from otel_polar.service.tokens import Tokens

Server: TypeAlias = grpc.aio.Server

SERVICE: Final = "opentelemetry.proto.collector.trace.v1.TraceService"

MAX_STREAMS: Final = 64
"""Requests at the same time on one connection; further ones wait for their turn."""

MAX_ARRIVING: Final = 8
"""Messages that are read from the network at the same time, from all connections. Until somebody reads one, gRPC takes
little of it; what has come of one nobody can count, and it may be as large as a request may be."""

MAX_MESSAGE_S: Final = 60.0
"""gRPC keeps what has come of a message, which takes as long as its sender likes."""

MAX_IDLE_S: Final = 300.0
"""A connection without any request; its sender makes another one when it has something to send."""

_ZLIB_MAGIC: Final = (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda")
"""No request begins like this, nor like gzip: its first field has another tag."""

# What gRPC itself answers to a message over its limit is final, too.
_CODE: Final = {
    Refusal.MALFORMED: grpc.StatusCode.INVALID_ARGUMENT,
    Refusal.UNAUTHENTICATED: grpc.StatusCode.UNAUTHENTICATED,
    Refusal.TOO_LARGE: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Refusal.UNAVAILABLE: grpc.StatusCode.UNAVAILABLE,
}


class TraceService:
    """Answers export requests."""

    def __init__(self, receiver: Receiver, reader: SpanReader, tokens: Tokens) -> None:
        self._receiver = receiver
        self._read = reader.read_protobuf
        self._tokens = tokens
        self._arriving = asyncio.Semaphore(MAX_ARRIVING)

    async def export(self, requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        """Answer one request. What it raises by itself would be UNKNOWN, after which a sender drops its spans."""
        try:
            await self._export(requests, context)
        except RefusedError as error:
            await context.abort(_CODE[error.refusal], error.message)
        except Exception as error:  # noqa: BLE001 - see above
            logger.error("a request could not be answered (%s); its sender was told to try again", describe(error))
            await context.abort(grpc.StatusCode.UNAVAILABLE, "the request could not be looked at")
        return b""

    async def _export(self, requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext[bytes, bytes]) -> None:
        if self._tokens.is_required:
            metadata = dict(context.invocation_metadata() or ())
            if not self._tokens.accept(str(metadata.get("authorization", ""))):
                raise self._receiver.refused(
                    Refusal.UNAUTHENTICATED, "no bearer token, or one that is not good (serve.tokens)"
                )
        try:
            async with asyncio.timeout(MAX_MESSAGE_S), self._arriving:
                request = await anext(requests, None)
        except TimeoutError as error:
            late = f"the request did not come within {MAX_MESSAGE_S:.0f} s"
            raise self._receiver.refused(Refusal.UNAVAILABLE, late) from error
        if request is None:
            # gRPC has answered by itself where there was one over its limit.
            raise self._receiver.refused(Refusal.MALFORMED, "a call without a request, or with one that is too large")
        with self._receiver.room(len(request)):
            is_zipped = request.startswith((GZIP_MAGIC, *_ZLIB_MAGIC))
            await self._receiver.receive(request, is_zipped=is_zipped, read=self._read)


def create_server(service: TraceService, *, max_request_bytes: int, max_connections: int) -> Server:
    """A server with that service, to which a port is to be added."""
    server = grpc.aio.server(
        options=[
            ("grpc.max_receive_message_length", max_request_bytes),
            ("grpc.per_message_decompression", 0),
            ("grpc.max_concurrent_streams", MAX_STREAMS),
            ("grpc.max_allowed_incoming_connections", max_connections),
            ("grpc.max_connection_idle_ms", round(MAX_IDLE_S * 1_000)),
            # Otherwise two processes could listen on one port, and each get half of the calls.
            ("grpc.so_reuseport", 0),
        ]
    )
    handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.stream_unary_rpc_method_handler(service.export)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {"Export": handler}),))
    return server
