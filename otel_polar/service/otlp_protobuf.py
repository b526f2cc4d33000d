"""OTLP's protobuf messages as ``SpanRecord``s.

The libraries are imported on first use: all other forms are read without the extra ``serve``.
Source: open-telemetry/opentelemetry-proto, opentelemetry/proto/trace/v1/trace.proto.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from otel_polar.service.origin import MAX_DEPTH, Origin, SpansFormatError, build_record, process_of
from otel_polar.service.wire import INSTRUMENTATION_LIBRARY_SPANS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
    from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, TracesData

    from otel_polar.billing.span import SpanRecord

_STATUS_CODE_ERROR: Final = 2

_NO_VALUE: Final = (None, "string_value_strindex")
"""An AnyValue that is empty, or that only profiles may use and others read as empty."""


def records_of_protobuf(content: bytes) -> Iterator[SpanRecord | None]:
    """Spans of an ``ExportTraceServiceRequest`` or ``TracesData``; ``None`` for each that cannot be told from another.

    Raises:
        SpansFormatError: if it is no such message, or one without any ``resource_spans``.
        ModuleNotFoundError: without the extra ``serve``.
    """
    for resource_spans in _message(content).resource_spans:
        resource_attributes = attributes_of(resource_spans.resource.attributes)
        process = process_of(resource_attributes)
        for scope_spans in resource_spans.scope_spans or _instrumentation_library_spans(resource_spans):
            origin = Origin(scope_spans.scope.name, resource_attributes, process)
            for span in scope_spans.spans:
                yield record_of(span, origin)


def _message(content: bytes) -> TracesData:
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # noqa: PLC0415 - an extra
    from opentelemetry.proto.trace.v1.trace_pb2 import TracesData  # noqa: PLC0415 - an extra

    message = TracesData()
    # The first bytes name many a file's kind; more of them could be a customer's words.
    found = f"{len(content)} bytes, the first of them 0x{content[:4].hex()},"
    try:
        message.ParseFromString(content)
    except DecodeError as error:
        raise SpansFormatError(f"{found} are no OTLP message") from error
    if content and not message.resource_spans:
        raise SpansFormatError(f"{found} are a message without resource_spans")
    return message


def _instrumentation_library_spans(resource_spans: ResourceSpans) -> Iterator[ScopeSpans]:
    from google.protobuf.message import DecodeError  # noqa: PLC0415 - an extra
    from google.protobuf.unknown_fields import UnknownFieldSet  # type: ignore[import-untyped]  # noqa: PLC0415 - an extra
    from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans  # noqa: PLC0415 - an extra

    for field in UnknownFieldSet(resource_spans):
        if field.field_number == INSTRUMENTATION_LIBRARY_SPANS and isinstance(field.data, bytes):
            try:
                yield ScopeSpans.FromString(field.data)
            except DecodeError as error:
                raise SpansFormatError("instrumentation_library_spans that are no OTLP message") from error


def record_of(span: Span, origin: Origin) -> SpanRecord | None:
    """Read a span; ``None`` if it cannot be told from another."""
    return build_record(
        origin,
        name=span.name,
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_span_id=span.parent_span_id.hex(),
        start_time_unix_nano=span.start_time_unix_nano,
        end_time_unix_nano=span.end_time_unix_nano,
        failed=span.status.code == _STATUS_CODE_ERROR,
        attributes=attributes_of(span.attributes),
        dropped_attributes=span.dropped_attributes_count,
    )


def attributes_of(pairs: Iterable[KeyValue], depth: int = 0) -> dict[str, object]:
    """Attributes as Python's values, without those that are empty."""
    values = ((pair.key, _value(pair.value, depth)) for pair in pairs)
    return {key: value for key, value in values if value is not None}


def _value(value: AnyValue, depth: int) -> object:
    kind = value.WhichOneof("value")
    if kind in _NO_VALUE or depth > MAX_DEPTH:
        return None
    if kind == "array_value":
        return tuple(_value(item, depth + 1) for item in value.array_value.values)
    if kind == "kvlist_value":
        return attributes_of(value.kvlist_value.values, depth + 1)
    return getattr(value, kind)
