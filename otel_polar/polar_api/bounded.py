"""One request to Polar and its answer, within bounds that httpx does not keep: of time and of memory.

Whoever answers may do so byte by byte, at length, or with little that unpacks to much. Either is given up as a network
that fails.
"""

from __future__ import annotations

import zlib
from contextlib import closing
from typing import Final

import httpx
from polar.base import PolarNetworkError, SyncClientBase

from otel_polar.polar_api.hanging_up import HangingUp

MAX_ANSWER_BYTES: Final = 32 * 1024 * 1024
"""Polar repeats every event it refuses, for each of its reasons."""

_TOO_LONG: Final = f"the answer has more than {MAX_ANSWER_BYTES} bytes"
_GZIP: Final = frozenset({"gzip", "x-gzip"})
_GZIP_WINDOW: Final = 31
"""Says to zlib that it is gzip."""

_OF_THE_BODY: Final = frozenset({"content-encoding", "content-length", "transfer-encoding"})


class BoundedClient(SyncClientBase):
    """The SDK's client, one request at a time. Made anew after a fork: sockets must not be shared."""

    def __init__(self, base_url: str, version: str, access_token: str, timeout_s: float) -> None:
        super().__init__(base_url, version, access_token, timeout_s)
        self._timeout_s = timeout_s
        self._hanging_up = HangingUp()

    def send_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request, as the SDK does; the answer's body is unpacked.

        Raises:
            PolarNetworkError: if there is no answer in time, or none that can be kept.
        """
        request.extensions["trace"] = self._hanging_up.trace
        content = bytearray()
        try:
            with self._hanging_up.after(self._timeout_s), closing(self._client.send(request, stream=True)) as answer:
                for portion in answer.iter_raw():
                    content += portion
                    if len(content) > MAX_ANSWER_BYTES:
                        raise PolarNetworkError(_TOO_LONG)
        except httpx.RequestError as error:
            if self._hanging_up.has_hung_up:
                told = f"no whole answer within {self._timeout_s:g} s"
                raise PolarNetworkError(told) from httpx.ReadTimeout(told)
            raise PolarNetworkError(str(error)) from error
        return httpx.Response(
            answer.status_code,
            headers=[(name, value) for name, value in answer.headers.multi_items() if name not in _OF_THE_BODY],
            content=_unpack(bytes(content), answer.headers.get("content-encoding", "")),
            request=request,
        )


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
