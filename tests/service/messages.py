"""OTLP messages as a Collector sends them, and as JSON by protobuf's own encoder, which is none of ours."""

from __future__ import annotations

import base64
import json
from typing import Any, Final

from google.protobuf.json_format import MessageToDict  # type: ignore[import-untyped]
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import (
    AnyValue,
    ArrayValue,
    InstrumentationScope,
    KeyValue,
    KeyValueList,
)
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status, TracesData

TRACE_ID: Final = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN_ID: Final = "00f067aa0ba902b7"
PARENT_ID: Final = "53995c3f42cd8ad8"
START: Final = 1_795_226_185_294_499_455
END: Final = 1_795_226_186_294_499_456

_IDS: Final = {"traceId", "trace_id", "spanId", "span_id", "parentSpanId", "parent_span_id"}


def any_value(value: object) -> AnyValue:  # noqa: PLR0911 - one row a type
    """A Python value as OTLP has it; ``None`` as the empty value."""
    match value:
        case None:
            return AnyValue()
        case bool():
            return AnyValue(bool_value=value)
        case str():
            return AnyValue(string_value=value)
        case int():
            return AnyValue(int_value=value)
        case float():
            return AnyValue(double_value=value)
        case bytes():
            return AnyValue(bytes_value=value)
        case dict():
            return AnyValue(kvlist_value=KeyValueList(values=pairs(value)))
        case tuple():
            return AnyValue(array_value=ArrayValue(values=[any_value(item) for item in value]))
        case _:
            raise TypeError(value)


def pairs(attributes: dict[str, Any]) -> list[KeyValue]:
    return [KeyValue(key=key, value=any_value(value)) for key, value in attributes.items()]


def span(**fields: Any) -> Span:
    """A readable span, with *fields* on top."""
    return Span(
        **{
            "name": "chat gpt-4o-mini",
            "trace_id": bytes.fromhex(TRACE_ID),
            "span_id": bytes.fromhex(SPAN_ID),
            "start_time_unix_nano": START,
            "end_time_unix_nano": END,
            **fields,
        },
    )


def request(*spans: Span, resource: dict[str, Any] | None = None, scope: str = "my.instrumentation") -> TracesData:
    """Spans of one scope of one resource."""
    return TracesData(
        resource_spans=[
            ResourceSpans(
                resource=Resource(attributes=pairs(resource or {})),
                scope_spans=[ScopeSpans(scope=InstrumentationScope(name=scope), spans=spans)],
            ),
        ],
    )


def as_dict(message: TracesData, **options: Any) -> Any:
    """The message by protobuf's own JSON mapping, with ids as hex, as OTLP demands."""
    return _with_hex_ids(MessageToDict(message, **options))


def as_json(message: TracesData, **options: Any) -> bytes:
    return json.dumps(as_dict(message, **options), ensure_ascii=False).encode()


def _with_hex_ids(node: Any) -> Any:
    if isinstance(node, list):
        return [_with_hex_ids(item) for item in node]
    if not isinstance(node, dict):
        return node
    return {
        key: base64.b64decode(value).hex() if key in _IDS and isinstance(value, str) else _with_hex_ids(value)
        for key, value in node.items()
    }


_values = st.recursive(
    st.none()
    | st.booleans()
    | st.text(max_size=20)
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.binary(max_size=20),
    lambda inner: st.lists(inner, max_size=3).map(tuple) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=8,
)
_attributes = st.dictionaries(st.text(max_size=12), _values, max_size=4)
_ids = st.sampled_from([b"", b"\0" * 8, b"\0" * 16]) | st.binary(min_size=8, max_size=8) | st.binary(max_size=17)
_times = st.sampled_from([0, 1, 2**63 - 1, 2**63, 2**64 - 1]) | st.integers(START, END)

spans = st.builds(
    lambda attributes, **fields: Span(attributes=pairs(attributes), **fields),
    attributes=_attributes,
    name=st.text(max_size=12),
    trace_id=_ids | st.binary(min_size=16, max_size=16),
    span_id=_ids,
    parent_span_id=_ids,
    start_time_unix_nano=_times,
    end_time_unix_nano=_times,
    dropped_attributes_count=st.integers(0, 2**32 - 1),
    status=st.builds(Status, code=st.sampled_from([0, 1, 2])),
)
requests = st.builds(
    lambda groups: TracesData(
        resource_spans=[one for group in groups for one in group.resource_spans],
    ),
    st.lists(
        st.builds(
            lambda several, resource, scope: request(*several, resource=resource, scope=scope),
            st.lists(spans, max_size=3),
            _attributes
            | st.fixed_dictionaries({"service.name": st.text(max_size=5), "process.pid": st.integers(1, 9)}),
            st.text(max_size=9),
        ),
        min_size=1,
        max_size=3,
    ),
)
"""Requests whose spans are partly readable."""
