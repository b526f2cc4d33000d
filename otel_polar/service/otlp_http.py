"""OTLP over HTTP: ``POST /v1/traces``, as an ASGI application without anything around it, for it is asked the most.

Source: OpenTelemetry's specification of OTLP 1.9, "OTLP/HTTP".
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Final

from otel_polar.delivery.notices import describe, logger
from otel_polar.service.receiver import RETRY_AFTER_S, Refusal, RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import Receive, Scope, Send

    from otel_polar.service.reading import CallsRead, SpanReader
    from otel_polar.service.receiver import Receiver
    from otel_polar.service.tokens import Tokens

PATH: Final = "/v1/traces"

MAX_BODY_S: Final = 60.0
"""A body that takes longer to come holds memory for somebody else."""

_PROTOBUF: Final = b"application/x-protobuf"
_JSON: Final = b"application/json"
# `zlib` is what a Collector calls it that was told to compress so; HTTP's own word is `deflate`.
_ZIPPED: Final = {b"": False, b"identity": False, b"gzip": True, b"x-gzip": True, b"deflate": True, b"zlib": True}

_MAX_MESSAGE_BYTES: Final = 2_000
_OK: Final = 200
# Where OTLP leaves it open, 4xx is for what a sender is to drop, and 503 for everything it is to send again.
_STATUS: Final = {
    Refusal.MALFORMED: 400,
    Refusal.UNAUTHENTICATED: 401,
    Refusal.TOO_LARGE: 413,
    Refusal.UNAVAILABLE: 503,
}
# google.rpc.Code, in a body.
_CODE: Final = {
    Refusal.MALFORMED: 3,
    Refusal.UNAUTHENTICATED: 16,
    Refusal.TOO_LARGE: 8,
    Refusal.UNAVAILABLE: 14,
}


def is_for_traces(path: str) -> bool:
    """Whether spans are to be sent there; also with a slash too many, as of an endpoint that ends with one."""
    return [part for part in path.split("/") if part] == PATH.split("/")[1:]


class _HttpRefusedError(RefusedError):
    """A refusal that HTTP has a status of its own for."""

    def __init__(self, status: int, error: RefusedError) -> None:
        super().__init__(error.refusal, error.message)
        self.status = status


class TracesEndpoint:
    """Answers export requests."""

    def __init__(self, receiver: Receiver, reader: SpanReader, tokens: Tokens) -> None:
        self._receiver = receiver
        self._read = {_PROTOBUF: reader.read_protobuf, _JSON: reader.read_json}
        self._tokens = tokens

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; never raises, for an exception would be a 500, after which a sender drops its spans."""
        headers = dict(scope["headers"])
        kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
        try:
            if not await self._receive(scope, headers, kind, receive):
                # Nobody is there any more.
                return
            status, body, more = _OK, b"{}" if kind == _JSON else b"", []
        except RefusedError as error:
            status = error.status if isinstance(error, _HttpRefusedError) else _STATUS[error.refusal]
            body, more = _body(error, kind), _headers(error.refusal)
        except asyncio.CancelledError:
            # The service ends, and this took longer than that may. What uvicorn answers by itself is a 500.
            refused = self._receiver.refused(Refusal.UNAVAILABLE, "the service is ending")
            status, body, more = _STATUS[refused.refusal], _body(refused, kind), _headers(refused.refusal)
        except Exception as error:  # noqa: BLE001 - see above
            logger.error("a request could not be answered (%s); its sender was told to try again", describe(error))
            refused = RefusedError(Refusal.UNAVAILABLE, "the request could not be looked at")
            status, body, more = _STATUS[refused.refusal], _body(refused, kind), _headers(refused.refusal)
        content_type = _JSON if kind == _JSON else _PROTOBUF
        length = str(len(body)).encode()
        answer = [(b"content-type", content_type), (b"content-length", length), *more]
        await send({"type": "http.response.start", "status": status, "headers": answer})
        await send({"type": "http.response.body", "body": body})

    async def _receive(self, scope: Scope, headers: dict[bytes, bytes], kind: bytes, receive: Receive) -> bool:
        """Take a request; whether there is still somebody to answer."""
        read, is_zipped = self._judge(scope, headers, kind)
        with self._receiver.room() as room:
            chunks: list[bytes] = []
            try:
                async with asyncio.timeout(MAX_BODY_S):
                    while True:
                        message = await receive()
                        if message["type"] != "http.request":
                            return False
                        room.grow(len(message["body"]))
                        chunks.append(message["body"])
                        if not message["more_body"]:
                            break
            except TimeoutError as error:
                late = f"the request did not come within {MAX_BODY_S:.0f} s"
                raise self._receiver.refused(Refusal.UNAVAILABLE, late) from error
            await self._receiver.receive(b"".join(chunks), is_zipped=is_zipped, read=read)
        return True

    def _judge(
        self, scope: Scope, headers: dict[bytes, bytes], kind: bytes
    ) -> tuple[Callable[[bytes], CallsRead], bool]:
        """By its head: how to read the body, and whether it is zipped.

        Raises:
            RefusedError: if the body need not be read.
        """
        refused = self._receiver.refused
        if scope["method"] != "POST":
            raise _HttpRefusedError(405, refused(Refusal.MALFORMED, "spans are sent by POST"))
        if not self._tokens.accept(headers.get(b"authorization", b"").decode("latin-1")):
            raise refused(Refusal.UNAUTHENTICATED, "no bearer token, or one that is not good (serve.tokens)")
        if not is_for_traces(scope["path"]):
            raise _HttpRefusedError(404, refused(Refusal.MALFORMED, f"sent to another path than {PATH}"))
        if b"origin" in headers:
            # What a page in somebody's browser was made to send.
            raise _HttpRefusedError(403, refused(Refusal.MALFORMED, "a request that a browser sends for a web page"))
        read = self._read.get(kind)
        if read is None:
            known = f"{_PROTOBUF.decode()} and {_JSON.decode()}"
            raise _HttpRefusedError(415, refused(Refusal.MALFORMED, f"another Content-Type than {known}"))
        is_zipped = _ZIPPED.get(headers.get(b"content-encoding", b"").strip().lower())
        if is_zipped is None:
            raise _HttpRefusedError(415, refused(Refusal.MALFORMED, "another Content-Encoding than gzip and deflate"))
        return read, is_zipped


def _headers(refusal: Refusal) -> list[tuple[bytes, bytes]]:
    if refusal is Refusal.UNAVAILABLE:
        return [(b"retry-after", str(RETRY_AFTER_S).encode())]
    if refusal is Refusal.UNAUTHENTICATED:
        return [(b"www-authenticate", b"Bearer")]
    # What follows of the body need not be read.
    return [(b"connection", b"close")] if refusal is Refusal.TOO_LARGE else []


def _body(error: RefusedError, kind: bytes) -> bytes:
    """A ``google.rpc.Status``, in the encoding of the request."""
    code = _CODE[error.refusal]
    if kind == _JSON:
        told: dict[str, Any] = {"code": code, "message": error.message}
        return json.dumps(told).encode()
    # Two fields: 1, a small integer, and 2, a text, whose length is written in two digits of base 128.
    message = error.message.encode("utf-8", "backslashreplace")[:_MAX_MESSAGE_BYTES]
    return bytes((0x08, code, 0x12, len(message) & 0x7F | 0x80, len(message) >> 7)) + message
