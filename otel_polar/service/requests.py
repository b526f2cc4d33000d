"""Export requests of which only some spans are decoded: those with certain attributes, and what is around them.

The two encodings have nothing in common but these questions.
"""

from __future__ import annotations

import gc
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final, Protocol

from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from otel_polar.service import otlp_json, otlp_protobuf
from otel_polar.service.mending import parse
from otel_polar.service.origin import Origin, SpansFormatError, process_of
from otel_polar.service.unzipping import TooLargeError
from otel_polar.service.wire import (
    ATTRIBUTES,
    RESOURCE_ATTRIBUTES,
    SCOPE_ATTRIBUTES,
    Group,
    Search,
    groups_of_spans,
    without_structures,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Set as AbstractSet

    from otel_polar.billing.span import SpanRecord

MAX_DECODED_BYTES: Final = 2**20
"""Of a resource, a scope, or a span with everything in it."""

MAX_JSON_ELEMENTS: Final = 5_000_000
"""Commas, and beginnings of objects and arrays, in one JSON request. An empty object takes 30 times its text."""


class Request(Protocol):
    """What is asked of a request."""

    def spans_with(self, names: AbstractSet[str]) -> Iterator[SpanRecord | None]:
        """Spans with an attribute of these names; ``None`` for each that cannot be told from another.

        Raises:
            SpansFormatError: if one cannot be decoded.
        """

    def count(self) -> int:
        """How many spans there are."""

    def span(self, names: AbstractSet[str], trace_id: str, span_id: str) -> SpanRecord | None:
        """The span with these ids, if it is in the request, too; of its attributes, those of these *names* only.

        It is asked again and again: to be always with the same names.
        """


class ProtobufRequest:
    """An ``ExportTraceServiceRequest``, decoded span by span."""

    def __init__(self, content: bytes) -> None:
        """Find the spans.

        Raises:
            SpansFormatError: if it is no such message.
        """
        self._content = content
        self._groups = list(groups_of_spans(content))
        self._by_ids: dict[tuple[str, str], SpanRecord] | None = None

    def count(self) -> int:
        """How many spans there are."""
        return sum(len(group.spans) for group in self._groups)

    def spans_with(self, names: AbstractSet[str]) -> Iterator[SpanRecord | None]:
        """Spans with an attribute of these names; ``None`` for each that cannot be told from another."""
        search = Search(self._content, [name.encode() for name in sorted(names)])
        for group in self._groups:
            origin: Origin | None = None
            for _, begin, end in group.spans:
                if search.is_in(begin, end):
                    span = self._decoded(begin, end)
                    if any(pair.key in names for pair in span.attributes):
                        origin = origin or _origin(group)
                        yield otlp_protobuf.record_of(span, origin)

    def span(self, names: AbstractSet[str], trace_id: str, span_id: str) -> SpanRecord | None:
        """The span with these ids, if it is in the request, too; of its attributes, those of these *names* only."""
        if self._by_ids is None:
            self._by_ids = {(span.trace_id, span.span_id): span for span in self._outlines(names)}
        return self._by_ids.get((trace_id, span_id))

    def _outlines(self, names: AbstractSet[str]) -> Iterator[SpanRecord]:
        """Every span, with little in it, once: to decode one for each that is inside it takes minutes."""
        for group in self._groups:
            origin: Origin | None = None
            for _, begin, end in group.spans:
                # What cannot be read does not tell of the calls in it, and must not cost them.
                with suppress(SpansFormatError):
                    origin = origin or Origin("", {}, _origin(group).process)
                    span = self._decoded(begin, end)
                    kept = [pair for pair in span.attributes if pair.key in names]
                    del span.attributes[:]
                    span.attributes.extend(kept)
                    if (record := otlp_protobuf.record_of(span, origin)) is not None:
                        yield record

    def _decoded(self, begin: int, end: int) -> Span:
        is_large = end - begin > MAX_DECODED_BYTES
        content = without_structures(self._content, begin, end) if is_large else self._content[begin:end]
        return parse(Span(), content, attributes=ATTRIBUTES)


class JsonRequest:
    """An OTLP/JSON document, which can only be decoded as a whole."""

    def __init__(self, content: bytes) -> None:
        """Decode it.

        Raises:
            SpansFormatError: if it is no such document.
            TooLargeError: if it would take too much memory.
        """
        elements = sum(content.count(mark) for mark in (b"{", b"[", b","))
        if elements > MAX_JSON_ELEMENTS:
            raise TooLargeError(f"JSON with {elements} elements (at most {MAX_JSON_ELEMENTS})")
        with _no_collections():
            document = otlp_json.parse(content, line=1)
        if not otlp_json.is_request(document):
            raise otlp_json.unknown(document, line=1)
        self._spans = list(otlp_json.objects_of_spans(document, line=1))
        self._by_ids: dict[tuple[str, str], SpanRecord] | None = None

    def count(self) -> int:
        """How many spans there are."""
        return len(self._spans)

    def spans_with(self, names: AbstractSet[str]) -> Iterator[SpanRecord | None]:
        """Spans with an attribute of these names; ``None`` for each that cannot be told from another."""
        for span, origin in self._spans:
            if otlp_json.has_any_key(span, names):
                yield otlp_json.record_of(span, origin)

    def span(self, names: AbstractSet[str], trace_id: str, span_id: str) -> SpanRecord | None:
        """The span with these ids, if it is in the request, too; of its attributes, those of these *names* only."""
        if self._by_ids is None:
            outlines = (otlp_json.record_of(span, origin, names) for span, origin in self._spans)
            self._by_ids = {(span.trace_id, span.span_id): span for span in outlines if span is not None}
        return self._by_ids.get((trace_id, span_id))


@contextmanager
def _no_collections() -> Iterator[None]:
    """Python's search for garbage takes most of the time of a large document, in which nobody else has a turn."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _origin(group: Group) -> Origin:
    resource = parse(Resource(), _small(group.resource, "resource"), attributes=RESOURCE_ATTRIBUTES)
    scope = parse(InstrumentationScope(), _small(group.scope, "scope"), attributes=SCOPE_ATTRIBUTES)
    resource_attributes = otlp_protobuf.attributes_of(resource.attributes)
    return Origin(scope.name, resource_attributes, process_of(resource_attributes))


def _small(content: bytes, what: str) -> bytes:
    if len(content) > MAX_DECODED_BYTES:
        raise TooLargeError(f"a {what} of {len(content)} bytes (at most {MAX_DECODED_BYTES})")
    return content
