"""Which user the spans around a call name, where they came along with it.

A span outside may be of another process, which only passes the call on, and one that did not come along may have named
somebody else: the way outwards ends at either.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from collections.abc import Set as AbstractSet

    from otel_polar.billing.span import Attributes, SpanRecord

MAX_ANCESTORS: Final = 100
_NO_ATTRIBUTES: Final[Attributes] = {}


def naming_around(
    span: SpanRecord,
    look_up: Callable[[str, str], SpanRecord | None],
    naming_keys: AbstractSet[str],
) -> Attributes:
    """The attributes of the nearest span around this one that has any of the *naming_keys*; none if there is no such.

    *look_up* finds a span by its trace id and its span id.
    """
    for around in _around(span, look_up):
        if not naming_keys.isdisjoint(around.attributes):
            return around.attributes
    return _NO_ATTRIBUTES


def _around(span: SpanRecord, look_up: Callable[[str, str], SpanRecord | None]) -> Iterator[SpanRecord]:
    """The spans of the same process around one, the nearest first."""
    for _ in range(MAX_ANCESTORS):
        parent = None if span.parent_span_id is None else look_up(span.trace_id, span.parent_span_id)
        if parent is None or parent.process != span.process:
            return
        yield parent
        span = parent
