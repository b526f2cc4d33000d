"""What a span started with, kept until it ends: on the span's own attributes object, where nobody looks for it.

The started span and the ended one that processors get are two objects, which share the object of their attributes
(opentelemetry-sdk 1.37 to 1.45, ``Span._readable_span``). What is kept there is gone with the span, also if it never
ends, and costs nothing to find for the spans that nobody asks about. Only where that object takes no attribute is there
a table, which is kept small.
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Final, Generic, TypeVar

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

MAX_OPEN_SPANS: Final = 100_000
"""In the table. A span that never ends must not be remembered for ever."""

T = TypeVar("T")
_numbers: Final = count()


class Starts(Generic[T]):
    """One thing for each open span. Several of these do not see each other's."""

    def __init__(self) -> None:
        self._slot = f"_otel_polar_{next(_numbers)}"
        # By the id() of the span's context object, which is kept so that no other has it.
        self._table: dict[int, tuple[object, T]] = {}

    def keep(self, span: ReadableSpan, started: T) -> None:
        """Keep something for a span that starts."""
        try:
            span._attributes.__dict__[self._slot] = started  # noqa: SLF001 - see above
        except AttributeError:
            if len(self._table) >= MAX_OPEN_SPANS:
                self._table.pop(next(iter(self._table)), None)
            context = span.get_span_context()
            self._table[id(context)] = (context, started)

    def look(self, span: ReadableSpan) -> T | None:
        """What is kept for an open span."""
        kept: T | None = getattr(getattr(span, "_attributes", None), self._slot, None)
        if kept is None and self._table:
            return self._table.get(id(span.get_span_context()), (None, None))[1]
        return kept

    def take(self, span: ReadableSpan) -> T | None:
        """What was kept for a span that has ended."""
        kept = self.look(span)
        self._table.pop(id(span.get_span_context()), None)
        # It may be another span, and hold that one's as long as it lives.
        getattr(getattr(span, "_attributes", None), "__dict__", {}).pop(self._slot, None)
        return kept
