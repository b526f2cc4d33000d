"""OTLP's protobuf messages as bytes in which spans are found, without decoding what nobody asks for.

To decode a message of 64 MiB takes gigabytes if it is made for that: two bytes are enough for an empty span. So only
the frames are gone through here, of which there is a limit, and single spans are decoded, one after the other.

Source: https://protobuf.dev/programming-guides/encoding; open-telemetry/opentelemetry-proto, trace/v1/trace.proto.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from otel_polar.service.origin import SpansFormatError
from otel_polar.service.unzipping import TooLargeError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MAX_FRAMES: Final = 1_000_000
"""Messages in one request, one within the other. Of real spans 64 MiB hold a fifth of that."""

RESOURCE_SPANS: Final = 1
RESOURCE: Final = 1
SCOPE_SPANS: Final = 2
INSTRUMENTATION_LIBRARY_SPANS: Final = 1000
"""The field that ``scope_spans`` replaced in opentelemetry-proto 0.15; its messages have the same bytes."""

SCOPE: Final = 1
SPANS: Final = 2

ATTRIBUTES: Final = 9
_NOT_READ: Final = (11, 13)
"""Of a span: its events and its links."""

RESOURCE_ATTRIBUTES: Final = 1
SCOPE_ATTRIBUTES: Final = 3

KEY: Final = 1
_VALUE: Final = 2
_STRING_VALUE: Final = 1

MAX_FIELDS: Final = 100_000
"""Of one large span."""

MAX_STRUCTURE_BYTES: Final = 2**20
"""Of lists and maps in the attributes of one large span."""

_VARINT: Final = 0
_LENGTH: Final = 2
_FIXED: Final = {1: 8, 5: 4}
"""Bytes of the other two kinds of numbers."""

_MAX_VARINT_BYTES: Final = 10
_GOES_ON: Final = 0x80

_DAMAGED: Final = "a message whose fields do not fit into it"


# The number of a field, and where its bytes begin and end. A plain tuple, because there is one for every span.
Frame: TypeAlias = "tuple[int, int, int]"


class Group(NamedTuple):
    """Spans of one scope of one resource: where each of them is, and the bytes of those two messages."""

    resource: bytes
    scope: bytes
    spans: list[Frame]


def frames(content: bytes, begin: int, end: int) -> Iterator[Frame]:
    """The fields of a message that have a length, in their order; others are passed over.

    Raises:
        SpansFormatError: if they do not fit into it.
    """
    position = begin
    while position < end:
        tag = content[position]
        position += 1
        if tag >= _GOES_ON:
            tag, position = _varint(content, position - 1, end)
        if tag & 7 != _LENGTH:
            position = _behind_number(content, tag & 7, position, end)
            continue
        # In one digit or two, as it is of most spans.
        length, following = content[position : position + 2] if position + 1 < end else (_GOES_ON, _GOES_ON)
        if length < _GOES_ON:
            position += 1
        elif following < _GOES_ON:
            length += (following - 1) * _GOES_ON
            position += 2
        else:
            length, position = _varint(content, position, end)
        begin, position = position, position + length
        if position > end:
            raise SpansFormatError(_DAMAGED)
        yield tag >> 3, begin, position
    if position != end:
        raise SpansFormatError(_DAMAGED)


def _behind_number(content: bytes, kind: int, position: int, end: int) -> int:
    if kind == _VARINT:
        return _varint(content, position, end)[1]
    if kind not in _FIXED:
        raise SpansFormatError(_DAMAGED)
    return position + _FIXED[kind]


def check_request(content: bytes) -> list[Frame]:
    """The outermost fields, of which there are few: enough to tell a request from anything else.

    Raises:
        SpansFormatError: if it is no such message.
        TooLargeError: if there are more of them than ``MAX_FRAMES``.
    """
    resources = _at_most(MAX_FRAMES, frames(content, 0, len(content)))
    if content and not any(number == RESOURCE_SPANS for number, _, _ in resources):
        raise SpansFormatError("a message without resource_spans")
    return resources


def has_any(content: bytes, words: Iterable[bytes]) -> bool:
    """Whether any of the words is in there."""
    return any(word in content for word in words)


def groups_of_spans(content: bytes) -> Iterator[Group]:
    """Where the spans of an ``ExportTraceServiceRequest`` are.

    Raises:
        SpansFormatError: if it is no such message.
        TooLargeError: if there are more frames in it than ``MAX_FRAMES``.
    """
    resources = check_request(content)
    room = MAX_FRAMES - len(resources)
    for number, begin, end in resources:
        if number != RESOURCE_SPANS:
            continue
        parts = _at_most(room, frames(content, begin, end))
        room -= len(parts)
        resource = _bytes_of(content, parts, RESOURCE)
        scopes = [part for part in parts if part[0] == SCOPE_SPANS]
        for _, scope_begin, scope_end in scopes or [part for part in parts if part[0] == INSTRUMENTATION_LIBRARY_SPANS]:
            parts = _at_most(room, frames(content, scope_begin, scope_end))
            room -= len(parts)
            spans = [part for part in parts if part[0] == SPANS]
            yield Group(resource, _bytes_of(content, parts, SCOPE), spans)


def _bytes_of(content: bytes, parts: list[Frame], wanted: int) -> bytes:
    """A message in the field *wanted*. Where there are several, one behind the other is how protobuf merges them."""
    return b"".join([content[begin:end] for number, begin, end in parts if number == wanted])


def _at_most(limit: int, found: Iterator[Frame]) -> list[Frame]:
    some = list(islice(found, limit + 1))
    if len(some) > limit:
        raise TooLargeError(f"more than {MAX_FRAMES} messages, one within the other")
    return some


def _varint(content: bytes, position: int, end: int) -> tuple[int, int]:
    """An integer of up to ten bytes at *position*, and where it ends."""
    value = 0
    for digit, byte in enumerate(content[position : min(position + _MAX_VARINT_BYTES, end)]):
        value |= (byte & 0x7F) << 7 * digit
        if byte < _GOES_ON:
            return value, position + digit + 1
    raise SpansFormatError(_DAMAGED)


class Search:
    """Tells whether any of some words is in a part of the content. To be asked from its beginning to its end."""

    def __init__(self, content: bytes, words: Iterable[bytes]) -> None:
        self._content = content
        found = ((word, content.find(word)) for word in words)
        self._ahead = {word: place for word, place in found if place >= 0}

    def is_in(self, begin: int, end: int) -> bool:
        """Whether any of them is there."""
        for word, place in self._ahead.items():
            if place < begin:
                # Most words are in few places: what has been passed is looked for again only then.
                place = self._content.find(word, begin)  # noqa: PLW2901 - see above
                self._ahead[word] = len(self._content) if place < 0 else place
            if begin <= place < end:
                return True
        return False


def without_structures(content: bytes, begin: int, end: int) -> bytes:
    """A large span without what need not be decoded: its events, its links, and structured attributes beyond a limit.

    Nothing that tells of usage is in those, and to decode them can take a hundred times their bytes.

    Raises:
        SpansFormatError: if it is no such message.
        TooLargeError: if it has more than ``MAX_FIELDS`` fields.
    """
    parts = list(islice(frames(content, begin, end), MAX_FIELDS + 1))
    if len(parts) > MAX_FIELDS:
        raise TooLargeError(f"a span with more than {MAX_FIELDS} fields")
    room = MAX_STRUCTURE_BYTES
    kept: list[bytes] = []
    position = begin
    for number, value_begin, value_end in parts:
        is_structure = number == ATTRIBUTES and not _is_text(content, value_begin, value_end)
        if is_structure:
            room -= value_end - value_begin
        if number in _NOT_READ or (is_structure and room < 0):
            kept.append(content[position : tag_before(content, number, value_begin, value_end)])
            position = value_end
    return b"".join([*kept, content[position:end]])


def _is_text(content: bytes, begin: int, end: int) -> bool:
    """Whether the value of an attribute is a text."""
    values = [(at, to) for number, at, to in frames(content, begin, end) if number == _VALUE]
    return all(number == _STRING_VALUE for at, to in values for number, _, _ in frames(content, at, to))


def tag_before(content: bytes, number: int, begin: int, end: int) -> int:
    """Where a field begins whose value is there.

    Raises:
        SpansFormatError: if it is written in an unusual way.
    """
    length, digits = end - begin, 1
    while length >> 7 * digits:
        digits += 1
    tag = begin - digits - 1
    if tag < 0 or content[tag] != number << 3 | _LENGTH:
        raise SpansFormatError("a span whose lengths are written with more digits than they need")
    return tag
