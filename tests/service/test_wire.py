from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans, Span, TracesData

from otel_polar.service import wire
from otel_polar.service.origin import SpansFormatError
from otel_polar.service.otlp import read_protobuf
from otel_polar.service.requests import MAX_DECODED_BYTES, ProtobufRequest
from otel_polar.service.unzipping import TooLargeError
from otel_polar.service.wire import Search, groups_of_spans, without_structures
from tests.service.messages import pairs, request, requests, span

if TYPE_CHECKING:
    from otel_polar.billing.span import SpanRecord

MARKER: Final = "gen_ai.operation.name"
NAMES: Final = frozenset({MARKER})
LONG: Final = "w" * MAX_DECODED_BYTES


def varint(value: int) -> bytes:
    digits = bytearray()
    while value > 0x7F:
        digits.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*digits, value])


def field(number: int, content: bytes) -> bytes:
    """A field with a length, as protobuf writes it."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def found(content: bytes) -> list[SpanRecord]:
    return [each for each in ProtobufRequest(content).spans_with(NAMES) if each is not None]


@given(message=requests)
def test_every_span_is_found_where_it_is(message: TracesData) -> None:
    """A frame too few is a lost bill."""
    content = message.SerializeToString()

    spans = [Span.FromString(content[begin:end]) for group in groups_of_spans(content) for _, begin, end in group.spans]

    assert spans == [each for one in message.resource_spans for scope in one.scope_spans for each in scope.spans]


@given(content=st.binary(max_size=60), message=requests, cut=st.integers(0, 200))
def test_any_bytes_are_gone_through_or_refused(content: bytes, message: TracesData, cut: int) -> None:
    """Never anything else than an answer, and never a place outside of the message."""
    whole = message.SerializeToString()
    for tried in (content, whole[:cut], whole[cut:], whole[:cut] + content + whole[cut:]):
        try:
            groups = list(groups_of_spans(tried))
        except SpansFormatError:
            continue
        for group in groups:
            assert all(0 <= begin <= end <= len(tried) for _, begin, end in group.spans)


@pytest.mark.parametrize("length", [0, 1, 127, 128, 129, 16_383, 16_384, 16_385, 2_097_151, 2_097_152])
def test_a_length_is_read_however_many_digits_it_has(length: int) -> None:
    """One digit, two, three and four."""
    content = field(1, b"") + field(3, b"x" * length) + field(2, b"y")

    lengths = [(number, end - begin) for number, begin, end in wire.frames(content, 0, len(content))]

    assert lengths == [(1, 0), (3, length), (2, 1)]


def test_the_old_name_of_a_scope_is_known() -> None:
    """Senders from before 2022 are still there."""
    scope = ScopeSpans(spans=[span(attributes=pairs({MARKER: "chat"}))]).SerializeToString()

    assert len(found(field(1, field(1000, scope)))) == 1


def test_a_resource_in_two_parts_is_one() -> None:
    """That is how protobuf merges a message that was joined from two."""
    first = request(resource={"service.name": "chat"}).resource_spans[0].SerializeToString()
    second = request(span(attributes=pairs({MARKER: "chat"})), resource={"userId": "u"}).resource_spans[0]

    (record,) = found(field(1, first + second.SerializeToString()))

    assert record.resource_attributes == {"service.name": "chat", "userId": "u"}


def test_a_large_span_is_read_without_its_events_and_structures() -> None:
    """A conversation may be megabytes; what tells of usage is not in its structure."""
    told: dict[str, Any] = {MARKER: "chat", "gen_ai.usage.input_tokens": 7, "output.value": LONG, "userId": "u"}
    structure = {"gen_ai.input.messages": ({"role": "user", "content": LONG},)}
    events = [Span.Event(name="gen_ai.user.message", attributes=pairs({"content": LONG}))]
    links = [Span.Link(trace_id=b"x")]
    message = request(span(attributes=pairs({**structure, **told}), events=events, links=links))

    (record,) = found(message.SerializeToString())

    (everything,) = read_protobuf(message.SerializeToString()).spans
    assert record == replace(everything, attributes=told)


def test_small_structures_of_a_large_span_are_read() -> None:
    """Some instrumentations tell why an answer ended by a list."""
    attributes = {MARKER: "chat", "gen_ai.response.finish_reasons": ("stop",), "output.value": LONG}

    (record,) = found(request(span(attributes=pairs(attributes))).SerializeToString())

    assert record.attributes == attributes


@given(attributes=st.dictionaries(st.text(max_size=5), st.text(max_size=200) | st.integers(0, 9), max_size=5))
def test_what_is_left_of_a_span_without_structures_is_what_was_there(attributes: dict[str, Any]) -> None:
    """Whatever numbers stand between the parts that are left out."""
    whole = span(attributes=pairs(attributes), events=[Span.Event(name="e")], dropped_attributes_count=3)
    content = whole.SerializeToString()

    left = Span.FromString(without_structures(content, 0, len(content)))

    del whole.events[:]
    assert left == whole


@pytest.mark.parametrize(
    "content",
    [
        field(1, field(2, b"\x12\x00" * 1_000_001)),
        b"\x0a\x00" * 1_000_001,
        field(1, field(2, field(2, field(9, field(1, MARKER.encode())) + b"\x4a\x00" * 600_000))),
        field(1, field(1, b"\x0a\x00" * 600_000) + field(2, field(2, field(9, field(1, MARKER.encode()))))),
        field(1, field(2, field(1, b"\x0a\x00" * 600_000) + field(2, field(9, field(1, MARKER.encode()))))),
    ],
    ids=["spans", "resources", "attributes", "attributes of a resource", "names of a scope"],
)
def test_a_message_that_would_fill_the_memory_is_refused(content: bytes) -> None:
    """Two bytes are enough for an empty one, and a hundred to decode it."""
    with pytest.raises(TooLargeError):
        found(content)


def test_a_search_tells_of_every_part() -> None:
    """Asked from the beginning to the end, it passes over nothing."""
    content = b"..ab..cd..ab"
    search = Search(content, [b"ab", b"cd", b"none"])

    told = [(begin, begin + 2) for begin in range(0, len(content), 2) if search.is_in(begin, begin + 2)]

    assert [content[begin:end] for begin, end in told] == [b"ab", b"cd", b"ab"]
