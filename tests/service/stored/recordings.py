"""Stored files as the Collector's file exporter writes them, with calls whose tokens and price are known."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from backports import zstd

from tests.service.messages import as_json, pairs, request, span

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

NANOS_PER_CALL: Final = 207_000
"""gpt-4o-mini: 812 * 0.15 + 142 * 0.60 = 121.8 + 85.2 = 207 millionths of a dollar."""

ATTRIBUTES: Final[dict[str, Any]] = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o-mini",
    "gen_ai.usage.input_tokens": 812,
    "gen_ai.usage.output_tokens": 142,
}
MINUTE_NANOS: Final = 60 * 10**9


def a_request(
    *numbers: int, customer: str | None = "alice", at_unix_nano: int = 0, service: str = "chat", **attributes: Any
) -> TracesData:
    """A request with one call for each number, which makes its ids, and a span that is none."""
    began = (at_unix_nano or time.time_ns() - 10 * MINUTE_NANOS) // MINUTE_NANOS * MINUTE_NANOS
    who = {} if customer is None else {"userId": customer}
    spans = [
        span(
            trace_id=(number + 1).to_bytes(16),
            span_id=(number + 1).to_bytes(8),
            start_time_unix_nano=began + number,
            end_time_unix_nano=began + number + 10**9,
            attributes=pairs({**ATTRIBUTES, **who, **attributes}),
        )
        for number in numbers
    ]
    other = span(span_id=b"otherspa", attributes=pairs({"http.request.method": "GET"}))
    return request(*spans, other, resource={"service.name": service})


def lines(messages: Iterable[TracesData]) -> bytes:
    """``format: json``."""
    return b"".join(as_json(message) + b"\n" for message in messages)


def lengths(messages: Iterable[TracesData]) -> bytes:
    """``format: proto``."""
    contents = [message.SerializeToString() for message in messages]
    return b"".join(len(content).to_bytes(4) + content for content in contents)


def packed(messages: Iterable[TracesData], write: Callable[[TracesData], bytes] = as_json) -> bytes:
    """``compression: zstd``, of either format: each message is a frame by itself, with a checksum."""
    options: dict[int, int] = {zstd.CompressionParameter.checksum_flag: 1}
    contents = [zstd.compress(write(message), options=options) for message in messages]
    return b"".join(len(content).to_bytes(4) + content for content in contents)


def fixed(numbers: Sequence[int], **options: Any) -> list[TracesData]:
    """A request for each number, at a time that does not depend on when the test runs."""
    return [a_request(number, at_unix_nano=1_795_000_000 * 10**9, **options) for number in numbers]
