"""A span as one flat JSON object, as tests and log files hold them, as a ``SpanRecord``.

::

    {"name": "chat gpt-4o", "scope": "my.instrumentation", "trace_id": "4bf9…", "span_id": "00f0…",
     "parent_span_id": null, "start_ns": 1795226185294499455, "end_ns": 1795226185296732185, "status": "ERROR",
     "attributes": {"gen_ai.usage.input_tokens": 8}, "resource": {"service.name": "chat-api"},
     "dropped_attributes": 0, "service": "proxy"}

All but the ids and the times may be missing, and other keys are ignored. ``service`` tells processes apart whose
resources are alike.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeGuard

from otel_polar.service.origin import MAX_DEPTH, Origin, build_record, process_of
from otel_polar.service.otlp_json import read_int

if TYPE_CHECKING:
    from otel_polar.billing.span import SpanRecord


def is_flat_span(document: object) -> TypeGuard[dict[str, object]]:
    """Whether it says which span it is and when it ended."""
    return isinstance(document, dict) and {"span_id", "end_ns"} <= document.keys()


def record_of_flat_span(span: dict[str, object]) -> SpanRecord | None:
    """Read an object that :func:`is_flat_span`; ``None`` if it cannot be told from another."""
    resource_attributes = _attributes(span.get("resource"), 0)
    origin = Origin(_text(span.get("scope")), resource_attributes, process_of(resource_attributes, span.get("service")))
    return build_record(
        origin,
        name=_text(span.get("name")),
        trace_id=span.get("trace_id"),
        span_id=span.get("span_id"),
        parent_span_id=span.get("parent_span_id"),
        start_time_unix_nano=read_int(span.get("start_ns")),
        end_time_unix_nano=read_int(span.get("end_ns")),
        failed=span.get("status") == "ERROR",
        attributes=_attributes(span.get("attributes"), 0),
        dropped_attributes=read_int(span.get("dropped_attributes")),
    )


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _attributes(value: object, depth: int) -> dict[str, object]:
    if not isinstance(value, dict):
        return {}
    values = ((key, _value(held, depth)) for key, held in value.items())
    return {key: held for key, held in values if held is not None}


def _value(value: object, depth: int) -> object:
    if depth > MAX_DEPTH:
        return None
    if isinstance(value, list):
        return tuple(_value(item, depth + 1) for item in value)
    return _attributes(value, depth + 1) if isinstance(value, dict) else value
