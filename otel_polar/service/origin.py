"""What every form of a span has in common: ids, times, and which process it came from."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Final

from otel_polar.billing.span import Attributes, SpanRecord
from otel_polar.errors import OtelPolarError

MAX_DEPTH: Final = 20
"""Lists in lists in an attribute. Protobuf's parsers refuse 100 nested messages, which are 31 levels of key-values."""

_ACCEPTED: Final = (
    "accepted are OTLP traces as protobuf or JSON, JSON lines of those or of flat spans, and gzip of these"
)

_TRACE_ID: Final = re.compile(r"(?!0+$)[0-9a-f]{32}", re.IGNORECASE | re.ASCII)
_SPAN_ID: Final = re.compile(r"(?!0+$)[0-9a-f]{16}", re.IGNORECASE | re.ASCII)

_LAST_TIME: Final = 2**63 - 1
"""In the year 2262. OTLP has room for twice as many nanoseconds; what stores them may not."""

_PROCESS: Final = (
    *("service.namespace", "service.name", "service.instance.id", "host.name", "host.id"),
    *("container.id", "k8s.pod.uid", "k8s.pod.name", "process.pid"),
)
"""Resource attributes by which processes differ. Source: OpenTelemetry's semantic conventions for resources."""


class SpansFormatError(OtelPolarError, ValueError):
    """Spans in no known form. The message says what was found, on which line, and what would be accepted."""

    def __init__(self, found: str) -> None:
        super().__init__(f"{found}; {_ACCEPTED}")


@dataclass(frozen=True, slots=True)
class Origin:
    """What spans of one scope of one resource share, found out once for all of them."""

    scope_name: str
    resource_attributes: Attributes
    process: str


def process_of(resource_attributes: Attributes, service: object = None) -> str:
    """A text of 16 hex digits, equal for spans of one process as far as is known; empty if nothing is known.

    A digest, because a resource may hold values of any length.
    """
    known = [(name, str(resource_attributes[name])) for name in _PROCESS if name in resource_attributes]
    if service is not None:
        known.append(("service", str(service)))
    return hashlib.sha256(json.dumps(known).encode()).hexdigest()[:16] if known else ""


def build_record(
    origin: Origin,
    *,
    name: str,
    trace_id: object,
    span_id: object,
    parent_span_id: object,
    start_time_unix_nano: int | None,
    end_time_unix_nano: int | None,
    failed: bool,
    attributes: Attributes,
    dropped_attributes: int | None,
) -> SpanRecord | None:
    """Put a span together; ``None`` if it cannot be told from another. Ids are hex in any case."""
    trace = _read_id(_TRACE_ID, trace_id)
    span = _read_id(_SPAN_ID, span_id)
    start = start_time_unix_nano or 0
    end = end_time_unix_nano or 0
    if trace is None or span is None or not 0 < start <= _LAST_TIME or not 0 < end <= _LAST_TIME:
        return None
    return SpanRecord(
        name=name,
        trace_id=trace,
        span_id=span,
        start_time_unix_nano=start,
        end_time_unix_nano=end,
        failed=failed,
        scope_name=origin.scope_name,
        attributes=attributes,
        resource_attributes=origin.resource_attributes,
        dropped_attributes=max(dropped_attributes or 0, 0),
        parent_span_id=_read_id(_SPAN_ID, parent_span_id),
        process=origin.process,
    )


def _read_id(pattern: re.Pattern[str], value: object) -> str | None:
    return value.lower() if isinstance(value, str) and pattern.fullmatch(value) else None
