"""One request to Polar and its answer, within bounds that httpx does not keep: of time and of memory.

Whoever answers may do so byte by byte, at length, or with little that unpacks to much. Either is given up as a network
that fails: the events are sent again.
"""

from __future__ import annotations

import zlib
from contextlib import closing
from typing import Any, Final

import httpx
from polar.base import PolarNetworkError, RequestTimeout, SyncClientBase

from otel_polar.delivery.hanging_up import HangingUp

MAX_ANSWER_BYTES: Final = 32 * 1024 * 1024
"""Polar repeats every event it refuses, for each of its reasons."""

_TOO_LONG: Final = f"the answer has more than {MAX_ANSWER_BYTES} bytes"
_GZIP: Final = frozenset({"gzip", "x-gzip"})
_GZIP_WINDOW: Final = 31
"""Says to zlib that it is gzip."""

_OF_THE_BODY: Final = frozenset({"content-encoding", "content-length", "transfer-encoding"})


class RememberingClient(SyncClientBase):
    """The SDK's client for events that are JSON already.

    It keeps the last response: see :mod:`otel_polar.delivery.polar` for what is lost otherwise.
    """

    def __init__(self, base_url: str, version: str, access_token: str, timeout_s: float) -> None:
        super().__init__(base_url, version, access_token, timeout_s)
        self._timeout_s = timeout_s
        self._hanging_up = HangingUp()
        self.last_response: httpx.Response | None = None

    def forget(self) -> None:
        """There is no response yet."""
        self.last_response = None

    def build_request(  # noqa: PLR0917 - the SDK's own
        self,
        method: str,
        url: str,
        path_params: dict[str, Any] | None = None,  # noqa: ARG002 - events have none
        query_params: dict[str, Any] | None = None,  # noqa: ARG002 - the same
        body: Any | None = None,
        request_timeout: RequestTimeout | None = None,  # noqa: ARG002 - the client's holds
        request_access_token: str | None = None,  # noqa: ARG002 - the client's is used
    ) -> httpx.Request:
        """The request that takes the ``events`` of *body* as they are written."""
        content = f'{{"events":[{",".join(body["events"])}]}}'.encode() if isinstance(body, dict) else b""
        headers = {"Content-Type": "application/json", "Accept-Encoding": "gzip"}
        return self._client.build_request(
            method, url, content=content, headers=headers, extensions={"trace": self._hanging_up.trace}
        )

    def send_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request, as the SDK does, and keep what comes back."""
        content = bytearray()
        try:
            with self._hanging_up.after(self._timeout_s), closing(self._client.send(request, stream=True)) as answer:
                for portion in answer.iter_raw():
                    content += portion
                    if len(content) > MAX_ANSWER_BYTES:
                        raise PolarNetworkError(_TOO_LONG)
        except httpx.RequestError as error:
            raise PolarNetworkError(str(error)) from error
        unpacked = _unpack(bytes(content), answer.headers.get("content-encoding", ""))
        self.last_response = httpx.Response(
            answer.status_code,
            headers=[(name, value) for name, value in answer.headers.multi_items() if name not in _OF_THE_BODY],
            content=unpacked,
            request=request,
        )
        return self.last_response


def _unpack(content: bytes, encoding: str) -> bytes:
    """The body of an answer. A few bytes may unpack to what would fill the application's memory."""
    if encoding.strip().lower() not in _GZIP:
        return content
    unpacker = zlib.decompressobj(wbits=_GZIP_WINDOW)
    try:
        unpacked = unpacker.decompress(content, MAX_ANSWER_BYTES)
    except zlib.error as error:
        raise PolarNetworkError(f"the answer cannot be unpacked: {error}") from error
    if unpacker.unconsumed_tail:
        raise PolarNetworkError(_TOO_LONG)
    return unpacked
