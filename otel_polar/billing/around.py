"""Which user the spans around a call name, where they came along with it.

A span outside may be of another process, which only passes the call on, and one that did not come along may have named
somebody else: the way outwards ends at either. One that has lost attributes may have lost a name: then nobody is known
to pay.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from otel_polar.billing.customer import DroppedAttribute

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from otel_polar.billing.customer import CustomerKeys
    from otel_polar.billing.span import Attributes, SpanRecord

MAX_ANCESTORS: Final = 100
_NO_ATTRIBUTES: Final[Attributes] = {}


def naming_around(
    span: SpanRecord,
    look_up: Callable[[str, str], SpanRecord | None],
    keys: CustomerKeys,
) -> Attributes:
    """The attributes of the nearest span around this one that names anybody by these *keys*; none if none does.

    *look_up* finds a span by its trace id and its span id.
    """
    for around in _around(span, look_up):
        if not keys.naming.isdisjoint(around.attributes):
            return around.attributes
        if around.dropped_attributes and keys.external:
            return {keys.external[0]: DroppedAttribute()}
    return _NO_ATTRIBUTES


def _around(span: SpanRecord, look_up: Callable[[str, str], SpanRecord | None]) -> Iterator[SpanRecord]:
    """The spans of the same process around one, the nearest first."""
    for _ in range(MAX_ANCESTORS):
        parent = None if span.parent_span_id is None else look_up(span.trace_id, span.parent_span_id)
        if parent is None or parent.process != span.process:
            return
        yield parent
        span = parent
