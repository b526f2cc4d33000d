"""From a message of a stored file to the calls that are to be recorded, by the rules of the service."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from otel_polar.service.reading import SpanReader
from otel_polar.service.requests import JsonRequest, ProtobufRequest

if TYPE_CHECKING:
    from otel_polar.billing.span import SpanRecord
    from otel_polar.delivery.deciding.call_reader import CallReader
    from otel_polar.delivery.pipeline import Pipeline
    from otel_polar.service.stored.messages import Message
    from otel_polar.service.stored.outcome import FileRead
    from otel_polar.settings import Settings


@dataclass(frozen=True, slots=True)
class Filters:
    """Which spans are wanted: begun in ``[since, until)`` (Unix nanoseconds), of that ``service.name``."""

    since_unix_nano: int | None = None
    until_unix_nano: int | None = None
    service: str | None = None

    def fit(self, span: SpanRecord) -> bool:
        """Whether this one is."""
        start = span.start_time_unix_nano
        return (
            (self.since_unix_nano is None or start >= self.since_unix_nano)
            and (self.until_unix_nano is None or start < self.until_unix_nano)
            and (self.service is None or span.resource_attributes.get("service.name") == self.service)
        )

    def __str__(self) -> str:
        """The same for equal filters: what was read with others has not been read with these."""
        return f"{self.since_unix_nano}|{self.until_unix_nano}|{self.service}"


class StoredSpans:
    """Reads messages, and counts spans about models by the filters and their age."""

    def __init__(
        self, engine: Pipeline | CallReader, settings: Settings, filters: Filters, *, old_before: float
    ) -> None:
        """*old_before*: spans that began before it (Unix seconds) are counted as ``old``."""
        self._reader = SpanReader(engine, settings, self._wants)
        self._filters = filters
        self._old_before_unix_nano = int(old_before * 1_000_000_000)
        self.outside = 0
        """Those that the filters leave out."""
        self.old = 0

    def read(self, message: Message, into: FileRead) -> list[str]:
        """The calls in a message, as ``Pipeline.commit`` takes them.

        Raises:
            SpansFormatError: if it is no request with spans.
        """
        request = JsonRequest(message.content) if message.is_json else ProtobufRequest(message.content)
        found = self._reader.read(request)
        into.spans += request.count()
        into.calls += len(found.calls)
        into.unreadable_spans += found.unreadable
        return found.calls

    def _wants(self, span: SpanRecord) -> bool:
        if not self._filters.fit(span):
            self.outside += 1
            return False
        self.old += span.start_time_unix_nano < self._old_before_unix_nano
        return True
