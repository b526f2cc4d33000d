"""From the bytes of an export request to the calls that are to be recorded.

Of most requests nothing is to be recorded: their spans tell of databases and web servers. So their bytes are searched
for the few attribute names by which a span says that it is ours, and what has none is not decoded at all; of the others
only the spans with such a name are read. What these functions let through is looked at again by the rules of billing.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

from otel_polar.billing.around import naming_around
from otel_polar.billing.customer import find_customer
from otel_polar.billing.measurement import read_measurements
from otel_polar.billing.semconv import EVENT_NAME, MODEL_CALL_MARKERS
from otel_polar.billing.tags import read_tags
from otel_polar.delivery.disk.record import dump_measurement
from otel_polar.delivery.notices import describe
from otel_polar.service.origin import SpansFormatError
from otel_polar.service.requests import JsonRequest, ProtobufRequest
from otel_polar.service.unzipping import TooLargeError
from otel_polar.service.wire import check_request, has_any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from otel_polar.billing.span import SpanRecord
    from otel_polar.delivery.deciding.call_reader import CallReader
    from otel_polar.delivery.pipeline import Pipeline
    from otel_polar.service.requests import Request
    from otel_polar.settings import Settings

MARKERS: Final = MODEL_CALL_MARKERS | {EVENT_NAME}
"""A span with none of these attributes is not our business."""

_MARKERS_AS_BYTES: Final = tuple(marker.encode() for marker in sorted(MARKERS))


MAX_CALLS: Final = 100_000
"""In one request. Of real calls 64 MiB hold a fifth of that; to record more at once would take gigabytes."""


class CallsRead(NamedTuple):
    """The calls of one request, as ``Pipeline.commit`` takes them, and how many spans could not be told apart."""

    calls: list[str]
    unreadable: int = 0


NOTHING: Final = CallsRead([])


class SpanReader:
    """Reads export requests for one pipeline. Has no state of its own: any thread may use it."""

    def __init__(
        self,
        pipeline: Pipeline | CallReader,
        settings: Settings,
        is_wanted: Callable[[SpanRecord], bool] = lambda _: True,
    ) -> None:
        """*is_wanted* tells which spans may be billed; the others still say who pays for those within them."""
        self._pipeline = pipeline
        self._is_wanted = is_wanted
        self._keys = settings.customer_keys
        self._naming = self._keys.naming
        # With whoever is named, a member of theirs may be.
        self._of_users = self._keys.all_attributes
        self._tag_keys = tuple(settings.tags)

    def read_protobuf(self, content: bytes) -> CallsRead:
        """The calls in an ``ExportTraceServiceRequest``; where none can be in it, nothing else of it is looked at.

        Raises:
            SpansFormatError: if it is no such message.
        """
        if has_any(content, _MARKERS_AS_BYTES):
            return self.read(ProtobufRequest(content))
        check_request(content)
        return NOTHING

    def read_json(self, content: bytes) -> CallsRead:
        """The same of OTLP/JSON.

        Raises:
            SpansFormatError: if it is not JSON, or no spans are where they belong.
        """
        # A name may be written with escapes, though nobody does; where there are any, that is found out by decoding.
        if has_any(content, _MARKERS_AS_BYTES) or b"\\u" in content:
            return self.read(JsonRequest(content))
        text = content.strip()
        if text and (text[:1], text[-1:]) != (b"{", b"}"):
            raise SpansFormatError("no JSON object")
        return NOTHING

    def read(self, request: Request) -> CallsRead:
        """The calls in a request.

        Raises:
            SpansFormatError: if it cannot be decoded.
        """
        calls: list[str] = []
        unreadable = 0
        for span in request.spans_with(MARKERS):
            if span is None:
                unreadable += 1
            elif self._is_wanted(span):
                calls += self._calls_of(span, request)
                if len(calls) > MAX_CALLS:
                    raise TooLargeError(f"more than {MAX_CALLS} calls to models")
        return CallsRead(calls, unreadable)

    def _calls_of(self, span: SpanRecord, request: Request) -> list[str]:
        """What is to be recorded of a span. If it cannot be looked at, that must not cost the others."""
        try:
            return list(self._lines_of(span, request))
        except MemoryError:
            # There may be more of it later, when its sender tries again.
            raise
        except Exception as error:  # noqa: BLE001 - one span must not cost the others
            self._pipeline.counts["failed"] += 1
            self._pipeline.notices.error(
                f"service:{type(error).__name__}",
                "a span could not be looked at, and is not billed (%s); the others are",
                describe(error),
            )
            return []

    def _lines_of(self, span: SpanRecord, request: Request) -> Iterator[str]:
        customer = find_customer(
            span.attributes,
            self._keys,
            carried=None,
            inherited=naming_around(span, partial(request.span, self._of_users), self._keys)
            if self._naming.isdisjoint(span.attributes)
            else {},
            resource_attributes=span.resource_attributes,
            attribute_length_limit=span.attribute_length_limit,
        )
        tags = read_tags(span.attributes, self._tag_keys)
        if EVENT_NAME in span.attributes:
            for measurement in read_measurements(span, (), customer, tags):
                yield dump_measurement(measurement)
        if not MODEL_CALL_MARKERS.isdisjoint(span.attributes):
            call = self._pipeline.read(span, customer, tags)
            if call is not None:
                yield call
