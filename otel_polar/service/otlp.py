"""Bytes in, ``SpanRecord`` out: what a Collector sends, and what its file exporter writes.

::

    read_protobuf   an ExportTraceServiceRequest, or TracesData, which has the same bytes
    read_json       the same as OTLP/JSON
    read_spans      a file of either, or of JSON lines, plain or gzip: recognised by its content

What is in no known form is refused whole, with the line at fault: half a file billed is worse than none. A single span
that cannot be told from another (an id missing, of wrong length or all zeros; no start or no end) costs itself only,
and is counted in ``SpansRead.unreadable``.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Final

from otel_polar.service.flat_spans import is_flat_span, record_of_flat_span
from otel_polar.service.origin import SpansFormatError
from otel_polar.service.otlp_json import is_request, parse, records_of_json, unknown
from otel_polar.service.otlp_protobuf import records_of_protobuf
from otel_polar.service.unzipping import GZIP_MAGIC, unzip

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from otel_polar.billing.span import SpanRecord

__all__ = ["MAX_UNZIPPED_BYTES", "SpansFormatError", "SpansRead", "read_json", "read_protobuf", "read_spans"]

MAX_UNZIPPED_BYTES: Final = 256 * 2**20
"""A few kilobytes of gzip can hold gigabytes."""

_CONTROL: Final = re.compile(rb"[\x00-\x08\x0e-\x1f]")

_LINES_TRIED: Final = 10
"""If none of these is a document by itself, the file is taken for one document, and its error told as such."""


@dataclass(frozen=True, slots=True)
class SpansRead:
    """Spans in the order they came, and how many there were besides that cannot be told from another."""

    spans: list[SpanRecord]
    unreadable: int


def read_protobuf(content: bytes) -> SpansRead:
    """Spans of one ``ExportTraceServiceRequest`` or ``TracesData`` message; none if it is empty.

    Raises:
        SpansFormatError: if it is no such message, or one without any ``resource_spans``.
        ModuleNotFoundError: without the extra ``serve``.
    """
    return _read(records_of_protobuf(content))


def read_json(content: bytes | str) -> SpansRead:
    """Spans of one OTLP/JSON document; none if it is empty or ``{}``.

    Raises:
        SpansFormatError: if it is not JSON, not an object with ``resourceSpans``, or no spans are where they belong.
    """
    if not content.strip():
        return SpansRead([], 0)
    document = parse(content, line=1)
    if not is_request(document):
        raise unknown(document, line=1)
    return _read(records_of_json(document, line=1))


def read_spans(content: bytes) -> SpansRead:
    """Spans of a file, whose form its content tells; none if it is empty.

    Each of its JSON lines may be an OTLP/JSON document or a flat span (``flat_spans.py``).

    Raises:
        SpansFormatError: if any part of it is in no known form, or it unzips to more than ``MAX_UNZIPPED_BYTES``.
        ModuleNotFoundError: without the extra ``serve``, if it is not text.
    """
    plain = unzip(content, max_bytes=MAX_UNZIPPED_BYTES) if content.startswith(GZIP_MAGIC) else content
    if not plain.strip():
        return SpansRead([], 0)
    return _read(_records_of_text(plain)) if _is_text(plain) else read_protobuf(plain)


def _read(records: Iterable[SpanRecord | None]) -> SpansRead:
    every = list(records)
    spans = [record for record in every if record is not None]
    return SpansRead(spans, len(every) - len(spans))


def _is_text(content: bytes) -> bool:
    # A protobuf message may begin like text: its first tag is a newline, and a length of 123 is "{". But within a few
    # bytes the tag 0x12 follows. What begins with "{" is text even so: a crash of its writer may have left NULs in it.
    return content.startswith(b"{") or not _CONTROL.search(content[:1024])


def _records_of_text(content: bytes) -> Iterator[SpanRecord | None]:
    try:
        document = parse(content, line=1)
    except SpansFormatError:
        # In a broken document that was printed over many lines, no line is a document by itself.
        if not any(_stands_alone(line) for _, line in islice(_lines(content), _LINES_TRIED)):
            raise
        for number, line in _lines(content):
            yield from _records_of_document(parse(line, line=number), line=number)
    else:
        first, _ = next(_lines(content))
        yield from _records_of_document(document, line=first)


def _lines(content: bytes) -> Iterator[tuple[int, bytes]]:
    # Not str.splitlines, which also ends lines at characters that JSON may hold in its strings.
    return ((number, line.rstrip()) for number, line in enumerate(io.BytesIO(content), 1) if line.strip())


def _stands_alone(line: bytes) -> bool:
    try:
        document = parse(line, line=1)
    except SpansFormatError:
        return False
    return is_request(document) or is_flat_span(document)


def _records_of_document(document: object, *, line: int) -> Iterator[SpanRecord | None]:
    if is_request(document):
        yield from records_of_json(document, line=line)
    elif is_flat_span(document):
        yield record_of_flat_span(document)
    else:
        raise unknown(document, line=line)
