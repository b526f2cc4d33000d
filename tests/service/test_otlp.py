from __future__ import annotations

import contextlib
import gzip
import json
import random
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Status, TracesData

from otel_polar.billing.span import SpanRecord
from otel_polar.service.origin import MAX_DEPTH
from otel_polar.service.otlp import (
    MAX_UNZIPPED_BYTES,
    SpansFormatError,
    SpansRead,
    read_json,
    read_protobuf,
    read_spans,
)
from tests.service.messages import (
    END,
    PARENT_ID,
    SPAN_ID,
    START,
    TRACE_ID,
    any_value,
    as_dict,
    as_json,
    pairs,
    request,
    requests,
    span,
)
from tests.unmeasured import unmeasured_environment

if TYPE_CHECKING:
    from collections.abc import Callable

CORPUS: Final = sorted(
    path for path in (Path(__file__).parent.parent / "corpus").glob("*.jsonl.gz") if path.name != "truth.jsonl.gz"
)

ATTRIBUTES: Final[dict[str, Any]] = {
    "gen_ai.operation.name": "chat",
    "gen_ai.usage.input_tokens": 1457,
    "gen_ai.request.temperature": 0.5,
    "stream": False,
    "gen_ai.response.finish_reasons": ("stop", "length"),
    "raw": b"\xff\x00",
    "gen_ai.input.messages": ({"role": "user", "parts": ({"n": 1},)},),
    "empty.text": "",
    "zero": 0,
}
FULL: Final = request(
    span(
        parent_span_id=bytes.fromhex(PARENT_ID),
        attributes=pairs(ATTRIBUTES),
        status=Status(code=Status.STATUS_CODE_ERROR),
        dropped_attributes_count=3,
    ),
    resource={"service.name": "chat-api"},
)
FLAT: Final[dict[str, Any]] = {
    "name": "chat",
    "scope": "my.instrumentation",
    "trace_id": TRACE_ID,
    "span_id": SPAN_ID,
    "parent_span_id": None,
    "start_ns": START,
    "end_ns": END,
    "status": "UNSET",
    "attributes": {"gen_ai.usage.input_tokens": 8},
    "resource": {"service.name": "chat-api"},
    "dropped_attributes": 0,
}


def only(read: SpansRead) -> SpanRecord:
    assert read.unreadable == 0
    (record,) = read.spans
    return record


def document(**fields: Any) -> dict[str, Any]:
    """OTLP/JSON of one readable span, with *fields* on top."""
    one = {"traceId": TRACE_ID, "spanId": SPAN_ID, "startTimeUnixNano": str(START), "endTimeUnixNano": str(END)}
    return {"resourceSpans": [{"scopeSpans": [{"spans": [{**one, **fields}]}]}]}


def attribute(value: object) -> dict[str, object]:
    """The attributes read from OTLP/JSON that holds *value* for the key "it"."""
    return dict(only(read_json(json.dumps(document(attributes=[{"key": "it", "value": value}])))).attributes)


def test_a_span_is_read_whole() -> None:
    """Every field is one that identifies, prices or attributes the call."""
    record = only(read_protobuf(FULL.SerializeToString()))

    assert record == SpanRecord(
        name="chat gpt-4o-mini",
        trace_id=TRACE_ID,
        span_id=SPAN_ID,
        start_time_unix_nano=START,
        end_time_unix_nano=END,
        failed=True,
        scope_name="my.instrumentation",
        attributes=ATTRIBUTES,
        resource_attributes={"service.name": "chat-api"},
        attribute_length_limit=None,
        dropped_attributes=3,
        parent_span_id=PARENT_ID,
        process=record.process,
    )
    assert list(record.attributes) == list(ATTRIBUTES)


def test_the_message_of_an_export_is_the_message_of_a_file() -> None:
    """A Collector posts the one and its file exporter writes the other; the bytes are the same."""
    export = ExportTraceServiceRequest(resource_spans=FULL.resource_spans)

    assert read_protobuf(export.SerializeToString()) == read_protobuf(FULL.SerializeToString())


@pytest.mark.parametrize("options", [{}, {"preserving_proto_field_name": True}, {"use_integers_for_enums": True}])
@given(message=requests)
def test_json_and_protobuf_of_a_message_are_the_same_spans(options: dict[str, bool], message: TracesData) -> None:
    """The form is the Collector's setting, which must not change the bill."""
    from_protobuf = read_protobuf(message.SerializeToString())

    assert read_json(as_json(message, **options)) == from_protobuf
    assert read_spans(as_json(message, **options)) == from_protobuf
    assert read_spans(message.SerializeToString()) == from_protobuf


@given(message=requests)
def test_every_span_of_a_message_is_read_or_counted(message: TracesData) -> None:
    """A span that is neither was billed to nobody, and nobody knows."""
    sent = sum(len(group.spans) for one in message.resource_spans for group in one.scope_spans)

    read = read_protobuf(message.SerializeToString())

    assert len(read.spans) + read.unreadable == sent


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"trace_id": b""}, "no trace"),
        ({"trace_id": b"\x01" * 8}, "a trace id of half the length"),
        ({"trace_id": b"\0" * 16}, "the trace id that W3C calls invalid"),
        ({"span_id": b""}, "no span id"),
        ({"span_id": b"\x01" * 16}, "a span id of twice the length"),
        ({"span_id": b"\0" * 8}, "the span id that W3C calls invalid"),
        ({"start_time_unix_nano": 0}, "it has not started"),
        ({"end_time_unix_nano": 0}, "it has not ended"),
        ({"end_time_unix_nano": 2**64 - 1}, "a time that a signed integer of 64 bits cannot hold"),
    ],
)
def test_a_span_that_cannot_be_told_from_another_costs_only_itself(fields: dict[str, Any], reason: str) -> None:
    """A Collector's batch holds spans of many applications, one of which may be broken."""
    message = request(span(name="before"), span(**fields), span(name="after"))

    read = read_protobuf(message.SerializeToString())

    assert ([record.name for record in read.spans], read.unreadable) == (["before", "after"], 1), reason
    assert read_json(as_json(message)) == read, reason


@pytest.mark.parametrize(
    ("parent", "expected"),
    [(b"", None), (b"\0" * 8, None), (b"\x01" * 3, None), (bytes.fromhex(PARENT_ID), PARENT_ID)],
)
def test_a_parent_is_a_span_id_or_none(parent: bytes, expected: str | None) -> None:
    """The root of a trace has none, which senders write in several ways."""
    assert only(read_protobuf(request(span(parent_span_id=parent)).SerializeToString())).parent_span_id == expected


def test_ids_in_capitals_are_the_same_ids() -> None:
    """OTLP/JSON leaves the case open, and the external id is made of them."""
    lower = document(parentSpanId=PARENT_ID)
    upper = document(traceId=TRACE_ID.upper(), spanId=SPAN_ID.upper(), parentSpanId=PARENT_ID.upper())

    assert read_json(json.dumps(upper)) == read_json(json.dumps(lower))


@pytest.mark.parametrize(
    ("code", "failed", "reason"),
    [
        (2, True, "by number, as OTLP demands"),
        ("STATUS_CODE_ERROR", True, "by name, as protobuf's mapping allows"),
        ("2", True, "a number as text, which protobuf's own parser takes"),
        (1, False, "OK"),
        ("STATUS_CODE_OK", False, "OK by name"),
        (True, False, "no code at all"),
        ([2], False, "no code either"),
    ],
)
def test_a_call_failed_if_its_status_is_error(code: object, failed: bool, reason: str) -> None:  # noqa: FBT001 - a table
    """A failed call without usage is not missing anything."""
    assert only(read_json(json.dumps(document(status={"code": code})))).failed is failed, reason


@pytest.mark.parametrize(
    ("value", "expected", "reason"),
    [
        ({"intValue": "1457"}, 1457, "64-bit integers are text"),
        ({"intValue": 1457}, 1457, "or numbers"),
        ({"intValue": 1.457e3}, 1457, "in any notation"),
        ({"int_value": "-1"}, -1, "snake_case"),
        ({"intValue": str(2**63 - 1)}, 2**63 - 1, "the largest"),
        ({"doubleValue": 1}, 1.0, "a whole number of dollars"),
        ({"doubleValue": "-Infinity"}, float("-inf"), "JSON has no literal for it"),
        ({"bytesValue": "-_8"}, b"\xfb\xff", "URL-safe and not padded"),
        ({"bytesValue": "+/8="}, b"\xfb\xff", "the usual base64"),
        ({"arrayValue": {}}, (), "an empty array"),
        ({"kvlistValue": {}}, {}, "an empty list of key-values"),
        ({"arrayValue": {"values": [{"intValue": 1}, {}]}}, (1, None), "places in an array are kept"),
        ({"stringValue": None, "boolValue": False}, False, "null is as if absent"),
        ({"unheardOf": 1, "stringValue": "x"}, "x", "unknown fields are ignored"),
    ],
)
def test_a_value_of_json_is_read_as_protobuf_maps_it(value: object, expected: object, reason: str) -> None:
    """Senders differ in what the mapping leaves open."""
    read = attribute(value)

    assert read == {"it": expected}, reason
    assert type(read["it"]) is type(expected), reason


@pytest.mark.parametrize(
    "value",
    [
        {},
        None,
        [],
        7,
        {"stringValue": 7},
        {"boolValue": "true"},
        {"intValue": "1_000"},
        {"intValue": "many"},
        {"intValue": True},
        {"intValue": 1.5},
        {"intValue": 2**63},
        {"intValue": "9" * 5_000},
        {"doubleValue": "one"},
        {"doubleValue": True},
        {"doubleValue": 10**400},
        {"bytesValue": "?"},
        {"bytesValue": "é"},
        {"bytesValue": 7},
        {"stringValueStrindex": 1},
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_value_that_says_nothing_is_left_out(value: object) -> None:
    """An attribute that cannot be read is as if absent: its call is held for it, if need be, and no other."""
    assert attribute(value) == {}


@pytest.mark.parametrize("attributes", [7, {}, [7, None, {"value": {"intValue": {}}}], "x"])
def test_strange_attributes_are_none(attributes: object) -> None:
    """Nothing within a span stops the reading of others."""
    assert only(read_json(json.dumps(document(attributes=attributes)))).attributes == {}


def test_a_value_without_meaning_in_traces_is_left_out() -> None:
    """An index into the text table of profiles is to be read as empty, says the specification."""
    strange = [
        KeyValue(key="index", value=AnyValue(string_value_strindex=3)),
        KeyValue(key="empty", value=AnyValue()),
        KeyValue(key="none"),
        KeyValue(key="kept", value=any_value(1)),
    ]

    assert only(read_protobuf(request(span(attributes=strange)).SerializeToString())).attributes == {"kept": 1}


@pytest.mark.parametrize("wrap", [lambda inner: (inner,), lambda inner: {"k": inner}], ids=["lists", "key-values"])
def test_what_is_nested_too_deeply_is_cut_off(wrap: Callable[[object], object]) -> None:
    """Whoever reads an attribute goes down into it, and Python's stack is not endless."""
    value: object = "bottom"
    for _ in range(MAX_DEPTH + 1):
        value = wrap(value)
    message = request(span(attributes=pairs({"deep": value, "kept": 1})))

    record = only(read_protobuf(message.SerializeToString()))

    assert "bottom" not in str(record.attributes["deep"])
    assert record.attributes["kept"] == 1
    assert record == only(read_json(as_json(message)))
    assert (
        record.attributes
        == only(read_spans(json.dumps(FLAT | {"attributes": {"deep": value, "kept": 1}}).encode())).attributes
    )


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"name": 7}, "a name that is no text"),
        ({"droppedAttributesCount": "x"}, "a count that is none"),
        ({"droppedAttributesCount": -1}, "a count below zero"),
        ({"status": 2}, "a status that is no message"),
        ({"parentSpanId": 7}, "a parent that is no text"),
        ({"links": 7, "events": {}, "unheardOf": [{}]}, "fields that nobody reads"),
    ],
)
def test_a_span_is_read_without_its_strange_fields(fields: dict[str, Any], reason: str) -> None:
    """Only ids and times are needed to bill it once."""
    assert read_json(json.dumps(document(**fields))) == read_json(json.dumps(document())), reason


@pytest.mark.parametrize("strange", [7, None, [], "span"])
def test_a_span_that_is_no_object_is_counted(strange: object) -> None:
    """It holds a place among the spans, so something was lost."""
    spans = [strange, *document()["resourceSpans"][0]["scopeSpans"][0]["spans"]]

    read = read_json(json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}))

    assert (len(read.spans), read.unreadable) == (1, 1)


def test_the_fields_that_scopes_replaced_are_read() -> None:
    """Senders from before opentelemetry-proto 0.15 still send, and would be billed nothing."""
    (group,) = as_dict(FULL)["resourceSpans"][0].pop("scopeSpans")
    resource = as_dict(FULL)["resourceSpans"][0]["resource"]
    old = {"instrumentationLibrary": group.pop("scope"), **group}
    in_json = {"resourceSpans": [{"resource": resource, "instrumentationLibrarySpans": [old]}]}
    content = FULL.resource_spans[0].scope_spans[0].SerializeToString()
    # Field 1000, length-delimited: (1000 << 3 | 2) and the length as varints.
    in_protobuf = FULL.resource_spans[0].resource.SerializeToString()
    in_protobuf = b"\x0a" + varint(len(in_protobuf)) + in_protobuf + b"\xc2\x3e" + varint(len(content)) + content
    unheard_of = b"\xca\x3e\x01\x07"  # field 1001
    message = TracesData(resource_spans=[ResourceSpans.FromString(unheard_of + in_protobuf)])

    expected = read_protobuf(FULL.SerializeToString())

    assert read_json(json.dumps(in_json)) == expected
    assert read_protobuf(message.SerializeToString()) == expected


def test_scopes_win_over_the_fields_they_replaced() -> None:
    """Senders of the time of change sent every span in both, says the specification."""
    both = document()
    both["resourceSpans"][0]["instrumentationLibrarySpans"] = both["resourceSpans"][0]["scopeSpans"]

    assert read_json(json.dumps(both)) == read_json(json.dumps(document()))


def test_old_fields_that_are_garbage_are_refused() -> None:
    """They were meant to be spans."""
    message = TracesData(resource_spans=[ResourceSpans.FromString(b"\xc2\x3e\x01\x07")])

    with pytest.raises(SpansFormatError, match="instrumentation_library_spans"):
        read_protobuf(message.SerializeToString())


def varint(number: int) -> bytes:
    return bytes([number]) if number < 128 else bytes([number & 127 | 128]) + varint(number >> 7)


def process(resource: dict[str, Any]) -> str:
    return only(read_protobuf(request(span(), resource=resource).SerializeToString())).process


@pytest.mark.parametrize(
    "name",
    [
        "service.namespace",
        "service.name",
        "service.instance.id",
        "host.name",
        "host.id",
        "container.id",
        "k8s.pod.uid",
        "k8s.pod.name",
        "process.pid",
    ],
)
def test_processes_differ_by_what_their_resources_say(name: str) -> None:
    """Clocks of two machines are not to be compared."""
    assert len({process({}), process({name: "1"}), process({name: "2"})}) == 3


def test_a_process_is_the_same_whatever_else_its_resource_says_in_any_order() -> None:
    """Two SDKs in one process, or one with another setting, agree on these only; and a pid is text in some."""
    one = process({"service.name": "chat-api", "process.pid": 7})
    other = process({"process.pid": "7", "telemetry.sdk.language": "python", "service.name": "chat-api"})

    assert one == other
    assert len(one) == 16


def test_a_process_is_named_the_same_tomorrow() -> None:
    """Names made today are compared with names made after a restart or an update."""
    assert process({"service.name": "chat-api"}) == "0709595a4ae1264c"


def test_a_resource_that_says_nothing_names_no_process() -> None:
    """As a span of the SDK, which came from this one."""
    assert process({"telemetry.sdk.language": "python"}) == ""


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.name)
def test_a_file_of_flat_spans_is_read_to_the_last(path: Path) -> None:
    """These are the spans of real instrumentations, against which the bill is checked."""
    content = path.read_bytes()
    lines = gzip.decompress(content).splitlines()

    read = read_spans(content)

    assert read.unreadable == 0
    assert [record.span_id for record in read.spans] == [json.loads(line)["span_id"] for line in lines]
    assert read_spans(gzip.decompress(content)) == read


def test_a_flat_span_is_read_whole() -> None:
    """It is billed like any other."""
    line = FLAT | {"status": "ERROR", "parent_span_id": PARENT_ID, "dropped_attributes": 2}
    line["attributes"] = {"a": ["x", {"y": [1, None]}], "none": None, "n": 1}

    record = only(read_spans(json.dumps(line).encode()))

    assert record == SpanRecord(
        name="chat",
        trace_id=TRACE_ID,
        span_id=SPAN_ID,
        start_time_unix_nano=START,
        end_time_unix_nano=END,
        failed=True,
        scope_name="my.instrumentation",
        attributes={"a": ("x", {"y": (1, None)}), "n": 1},
        resource_attributes={"service.name": "chat-api"},
        dropped_attributes=2,
        parent_span_id=PARENT_ID,
        process=process({"service.name": "chat-api"}),
    )


def test_a_flat_span_with_little_but_ids_and_times_is_read() -> None:
    """Only they are needed to bill it once."""
    line = {"trace_id": TRACE_ID, "span_id": SPAN_ID, "start_ns": START, "end_ns": END, "attributes": 7}

    record = only(read_spans(json.dumps(line).encode()))

    assert (record.name, record.scope_name, record.attributes, record.process) == ("", "", {}, "")


def test_flat_spans_of_another_service_are_of_another_process() -> None:
    """A proxy and its client may call themselves the same in their resources."""
    lines = [json.dumps(line) for line in (FLAT, FLAT | {"service": "proxy"}, FLAT | {"service": "client"}, FLAT)]

    first, proxy, client, last = read_spans("\n".join(lines).encode()).spans

    assert first.process == last.process
    assert len({first.process, proxy.process, client.process}) == 3


def test_a_flat_span_that_has_not_ended_is_counted() -> None:
    """The rule is the same in every form."""
    lines = [json.dumps(FLAT), json.dumps(FLAT | {"end_ns": None})]

    read = read_spans("\n".join(lines).encode())

    assert (len(read.spans), read.unreadable) == (1, 1)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (as_json(FULL), "one document"),
        (json.dumps(as_dict(FULL), indent=2).encode(), "one document over many lines"),
        (b"\xef\xbb\xbf\n " + as_json(FULL), "with a byte order mark"),
        (FULL.SerializeToString(), "protobuf"),
        (as_json(FULL) + b"\r\n\r\n", "a line with the ends of Windows, and an empty one"),
    ],
)
def test_the_form_of_a_file_is_recognised(content: bytes, reason: str) -> None:
    """Whoever has a file of spans need not know what wrote it."""
    expected = read_protobuf(FULL.SerializeToString())

    assert read_spans(content) == expected, reason
    assert read_spans(gzip.compress(content)) == expected, reason


def test_lines_of_the_file_exporter_are_read_in_order() -> None:
    """Each line is one batch of the Collector; rotation may have put files of other forms between them."""
    lines = [
        as_json(request(span(name="first"), span(name="second"))),
        json.dumps(FLAT | {"name": "third\u2028\x85"}, ensure_ascii=False).encode(),
        b"{}",
        as_json(request(span(name="fourth"), span(span_id=b""))),
    ]

    read = read_spans(b"\n".join(lines))

    assert [record.name for record in read.spans] == ["first", "second", "third\u2028\x85", "fourth"]
    assert read.unreadable == 1


def test_gzip_files_that_were_joined_are_read_to_the_end() -> None:
    """``cat a.gz b.gz`` is a gzip file, and rotated logs are joined that way."""
    line = json.dumps(FLAT).encode() + b"\n"

    assert len(read_spans(gzip.compress(line) + gzip.compress(line)).spans) == 2


def test_a_message_that_begins_like_text_is_protobuf() -> None:
    """A message's first tag is a newline, and the length of one in so many is that of a brace."""
    (resource_spans,) = request(span(name="")).resource_spans
    missing = 123 - resource_spans.ByteSize()
    message = request(span(name="x" * (missing - 2)))

    content = message.SerializeToString()

    assert content.startswith(b"\n{")
    assert len(read_spans(content).spans) == 1


@pytest.mark.parametrize("content", [b"", b" \r\n\n\t", gzip.compress(b"", mtime=0), gzip.compress(b"\n", mtime=0)])
def test_an_empty_file_holds_no_spans(content: bytes) -> None:
    """A Collector that has received nothing has written nothing."""
    assert read_spans(content) == SpansRead([], 0)


@pytest.mark.parametrize("read", [read_protobuf, read_json, read_spans])
def test_an_empty_body_holds_no_spans(read: Callable[[bytes], SpansRead]) -> None:
    """As protobuf it is the message with all defaults."""
    assert read(b"") == SpansRead([], 0)


@pytest.mark.parametrize("content", ["{}", '{"resourceSpans": []}', '{"resource_spans": null}', "\n", ""])
def test_an_export_of_nothing_holds_no_spans(content: str) -> None:
    """By protobuf's mapping a field of no elements may be left out."""
    assert read_json(content) == SpansRead([], 0)


GOOD: Final = json.dumps(FLAT).encode()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (GOOD + b"\n" + GOOD[:-1] + b"\n" + GOOD, "line 2 is not JSON"),
        (GOOD[:-1] + b"\n\n" + GOOD, "line 1 is not JSON"),
        (b"\n" + GOOD + b"\n\nhello\n", "line 4 is not JSON"),
        (GOOD + b"\n\x00\x00\x00", "line 2 is not JSON"),
        (GOOD + b"\n" + GOOD[:40], "line 2 is not JSON (Unterminated string"),
        (GOOD + b"\n" + b'{"resourceMetrics": []}', "line 2 is a JSON object with the keys ['resourceMetrics']"),
        (GOOD + b"\n[]", "line 2 is a JSON array"),
        (GOOD + b"\nnull", "line 2 is a JSON null"),
        (GOOD + b"\n7", "line 2 is a JSON number"),
        (GOOD + b'\n"caf\xe9"', "line 2 is not UTF-8"),
        (b'{\n"caf\xe9": 1}', "line 2 is not UTF-8"),
        (GOOD + b"\n" + b"[" * 200_000, "line 2 is JSON out of all proportion (RecursionError)"),
        (GOOD + b"\n" + b"9" * 5_000, "line 2 is JSON out of all proportion (ValueError)"),
        (GOOD + b"\n" + b'{"resourceSpans": {}}', "line 2 is OTLP/JSON with something else"),
        (GOOD + b"\n" + b'{"resourceSpans": [7]}', "line 2 is OTLP/JSON with something else"),
        (b'{"resourceSpans": [{"scopeSpans": [{"spans": {}}]}]}', "an array spans belongs"),
        (b'{"resourceSpans": [{"scopeSpans": 7}]}', "an array scopeSpans belongs"),
        (b'\n{"some": 1,\n "thing": 2}', "line 2 is a JSON object with the keys ['some', 'thing']"),
        (json.dumps(as_dict(FULL), indent=1).encode()[:-9], "is not JSON (Expecting"),
        (b"name,trace_id\nchat,4bf9\n", "line 1 is not JSON"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "16 bytes, the first of them 0x89504e47, are no OTLP message"),
        (b"\x12\x00", "2 bytes, the first of them 0x1200, are a message without resource_spans"),
        (b"\x1f\x8b", "2 bytes of gzip are damaged or cut off"),
        (gzip.compress(GOOD)[:-9], "of gzip are damaged or cut off"),
        (gzip.compress(GOOD)[:-1] + b"\x07", "of gzip are damaged or cut off"),
        (gzip.compress(GOOD)[:12] + b"\xff" * 40, "of gzip are damaged or cut off"),
        (gzip.compress(GOOD) + b"more", "of gzip are damaged or cut off"),
    ],
    ids=lambda value: str(value)[:40] if isinstance(value, str) else "",
)
def test_what_is_in_no_known_form_is_refused_whole(content: bytes, message: str) -> None:
    """Half a file billed in silence is worse than none; the line is where to mend it."""
    with pytest.raises(SpansFormatError) as raised:
        read_spans(content)

    assert message in str(raised.value)
    assert "accepted are OTLP traces" in str(raised.value)


@pytest.mark.parametrize(
    "content",
    ["hello", "[]", "7", '{"resourceMetrics": []}', json.dumps(FLAT), '{"resourceSpans": 7}', b"\xff", "{}\n{}"],
)
def test_a_body_that_is_no_export_is_refused(content: bytes | str) -> None:
    """The sender has mistaken the address, and is to be told."""
    with pytest.raises(SpansFormatError, match=r"line [12] is"):
        read_json(content)


def test_the_message_of_an_error_holds_no_value_of_the_file() -> None:
    """It is logged, and values are prompts and customers."""
    for content in (b'{"prompt": "secret"}', b'{"prompt": "secret"', b"secret\x00\x01", b'"secret"'):
        with pytest.raises(SpansFormatError) as raised:
            read_spans(content)
        assert "secret" not in str(raised.value)


def test_a_bomb_is_not_unpacked() -> None:
    """A few hundred kilobytes of gzip would fill the memory of the machine."""
    mebibyte = gzip.compress(b"\n" * 2**20)
    harmless = mebibyte * 3
    bomb = mebibyte * (MAX_UNZIPPED_BYTES // 2**20) + gzip.compress(b"\n")

    assert read_spans(harmless) == SpansRead([], 0)
    with pytest.raises(SpansFormatError, match="hold more than 268435456"):
        read_spans(bomb)


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    """They come over a network: no other exception may reach whoever receives them."""
    for read in (read_protobuf, read_json, read_spans):
        for body in (content, gzip.compress(content), b"\n" + content, b"{" + content):
            read_or_refuse(read, body)


@given(message=requests, seed=st.integers(0, 2**32))
def test_any_damage_is_read_or_refused(message: TracesData, seed: int) -> None:
    """What was nearly right goes further into the reading than noise does."""
    dice = random.Random(seed)
    for content in (message.SerializeToString(), as_json(message), gzip.compress(as_json(message))):
        damaged = bytearray(content)
        for _ in range(dice.randint(1, 3)):
            damaged[dice.randrange(len(damaged))] = dice.randrange(256)
        read_or_refuse(read_protobuf, bytes(damaged))
        read_or_refuse(read_json, bytes(damaged))
        read_or_refuse(read_spans, bytes(damaged[: dice.randint(0, len(damaged))]))


JSON: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=6,
)
KEYS: Final = st.sampled_from(
    [
        *("resourceSpans", "scopeSpans", "spans", "scope", "resource", "attributes", "key", "value", "values"),
        *("traceId", "spanId", "startTimeUnixNano", "status", "code", "arrayValue", "kvlistValue", "intValue"),
        *("doubleValue", "bytesValue", "span_id", "trace_id", "end_ns", "start_ns", "service", "process.pid"),
    ],
)


@given(
    st.recursive(
        JSON, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=6), max_leaves=25
    ),
)
def test_any_json_is_read_or_refused(value: object) -> None:
    """Whatever a field holds in place of what belongs there."""
    for around in (value, {"resourceSpans": value}, document(attributes=value), FLAT | {"attributes": value}):
        content = json.dumps(around).encode()
        read_or_refuse(read_json, content)
        read_or_refuse(read_spans, content + b"\n" + content)
    read_or_refuse(read_spans, json.dumps(FLAT | {"resource": value, "service": value, "scope": value}).encode())


def read_or_refuse(read: Callable[[bytes], SpansRead], content: bytes) -> None:
    with contextlib.suppress(SpansFormatError):
        assert isinstance(read(content), SpansRead)


def test_json_is_read_without_the_extra() -> None:
    """Protobuf is needed by a receiver only; a file of spans is looked at on any machine."""
    code = (
        "import sys; sys.modules['google.protobuf'] = sys.modules['opentelemetry.proto'] = None\n"
        "from otel_polar.service.otlp import read_spans\n"
        "print(len(read_spans(sys.stdin.buffer.read()).spans))"
    )
    output = subprocess.run(
        [sys.executable, "-c", code], env=unmeasured_environment(), input=as_json(FULL), capture_output=True, check=True
    ).stdout

    assert output.split() == [b"1"]
