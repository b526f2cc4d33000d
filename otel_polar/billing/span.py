"""``SpanRecord``: one finished span, whether the SDK ended it in this process or a Collector sent it.

The attributes are not copied: the SDK makes them immutable when the span ends, so holding them is safe, and copying
them would be the most expensive thing done for a span that is not a model call.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from opentelemetry.trace import StatusCode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.sdk.trace import ReadableSpan

Attributes: TypeAlias = "Mapping[str, object]"

_NO_ATTRIBUTES: Attributes = {}


@dataclass(frozen=True, slots=True)
class SpanRecord:
    """What billing needs to know of a finished span.

    ``trace_id`` and ``span_id`` are lower-case hex of 32 and 16 digits; times are Unix nanoseconds;
    ``failed`` is whether its status is ERROR. Values as long as ``attribute_length_limit`` may have been cut, and
    ``dropped_attributes`` were pushed out by the limit of their number. The attributes are in the order they were set.
    ``process`` is equal for spans of one process, as far as is known; clocks can be compared within it.
    """

    name: str
    trace_id: str
    span_id: str
    start_time_unix_nano: int
    end_time_unix_nano: int
    failed: bool
    scope_name: str
    attributes: Attributes
    resource_attributes: Attributes
    attribute_length_limit: int | None = None
    dropped_attributes: int = 0
    parent_span_id: str | None = None
    process: str = ""


def read_span(span: ReadableSpan, start_attributes: Attributes = _NO_ATTRIBUTES, process: str = "") -> SpanRecord:
    """Read a span of the SDK in *process*; where attributes were pushed out, *start_attributes* fill the gaps.

    Raises:
        ValueError: if the span has no context or has not ended, so that it cannot be told from another.
    """
    context = span.context
    if context is None or span.start_time is None or span.end_time is None:
        msg = f"span {span.name!r} has no context or has not ended"
        raise ValueError(msg)
    scope = span.instrumentation_scope
    return SpanRecord(
        name=span.name if isinstance(span.name, str) else str(span.name),
        trace_id=f"{context.trace_id:032x}",
        span_id=f"{context.span_id:016x}",
        start_time_unix_nano=span.start_time,
        end_time_unix_nano=span.end_time,
        failed=span.status.status_code is StatusCode.ERROR,
        scope_name="" if scope is None else scope.name,
        attributes=_filled(attributes_of(span), start_attributes),
        resource_attributes=span.resource.attributes,
        # The SDK does not tell on the span itself (opentelemetry-sdk 1.45, BoundedAttributes).
        attribute_length_limit=getattr(getattr(span, "_attributes", None), "max_value_len", None),
        dropped_attributes=span.dropped_attributes,
        parent_span_id=None if span.parent is None else f"{span.parent.span_id:016x}",
        process=process,
    )


def _filled(attributes: Attributes, start_attributes: Attributes) -> Attributes:
    lost = {key: value for key, value in start_attributes.items() if key not in attributes}
    return {**attributes, **lost} if lost else attributes


def attributes_of(span: ReadableSpan) -> Attributes:
    """The span's attributes for reading only, as the plain dictionary where the SDK has one.

    ``ReadableSpan.attributes`` wraps a mapping in a proxy, through which a look-up takes about ten times as long; this
    runs for every span of the application, so the dictionary underneath is taken when it is there
    (opentelemetry-sdk 1.45, ``opentelemetry.attributes.BoundedAttributes``).
    """
    bounded = getattr(span, "_attributes", None)
    plain = getattr(bounded, "_dict", None)
    if type(plain) is dict:
        return plain
    return span.attributes or _NO_ATTRIBUTES
