from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import given
from opentelemetry.proto.trace.v1.trace_pb2 import Span, TracesData

from otel_polar.billing.semconv import EVENT_NAME, MODEL_CALL_MARKERS
from otel_polar.delivery.pipeline import Pipeline
from otel_polar.service import reading
from otel_polar.service import requests as requests_module
from otel_polar.service.origin import SpansFormatError
from otel_polar.service.otlp import read_protobuf
from otel_polar.service.reading import SpanReader
from otel_polar.service.requests import JsonRequest, ProtobufRequest
from otel_polar.service.unzipping import TooLargeError
from otel_polar.settings import Settings
from tests.service.messages import END, PARENT_ID, START, TRACE_ID, as_json, pairs, request, requests, span

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from otel_polar.billing.span import SpanRecord

CALL: Final[dict[str, Any]] = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o-mini",
    "gen_ai.usage.input_tokens": 812,
    "gen_ai.usage.output_tokens": 142,
}
HTTP: Final = {"http.request.method": "GET"}


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    """One that keeps what it is told, and has nowhere to send it."""
    pipeline = Pipeline(settings(tmp_path_factory.mktemp("outbox")), durability="FULL")
    yield pipeline
    pipeline.shutdown()


def settings(outbox_dir: Path) -> Settings:
    return Settings.load(
        {},
        access_token="polar_oat_test",
        base_url="http://127.0.0.1:9",
        outbox_dir=outbox_dir,
        shutdown_timeout_s=0.0,
        tags="plan",
    )


@pytest.fixture(scope="module")
def reader(pipeline: Pipeline, tmp_path_factory: pytest.TempPathFactory) -> SpanReader:
    return SpanReader(pipeline, settings(tmp_path_factory.mktemp("unused")))


def call_span(span_id: str = "00f067aa0ba902b7", parent_id: str = "", **attributes: Any) -> Span:
    return span(
        span_id=bytes.fromhex(span_id),
        parent_span_id=bytes.fromhex(parent_id),
        attributes=pairs({**CALL, **attributes}),
    )


def customers(calls: list[str]) -> list[dict[str, Any]]:
    return [json.loads(call)["customer"] for call in calls]


def read(reader: SpanReader, message: TracesData, form: str) -> list[str]:
    if form == "json":
        return reader.read_json(as_json(message)).calls
    return reader.read_protobuf(message.SerializeToString()).calls


FORMS: Final = pytest.mark.parametrize("form", ["protobuf", "json"])


@FORMS
def test_only_spans_that_say_they_are_calls_are_read(reader: SpanReader, form: str) -> None:
    """In a fleet's traces one span in hundreds is ours."""
    others = [span(attributes=pairs(HTTP)), span(attributes=pairs({"gen_ai.request.model": "gpt-4o"})), span()]

    calls = read(reader, request(*others, call_span(userId="user_42", plan="pro"), *others), form)

    (call,) = (json.loads(each) for each in calls)
    assert call["customer"]["external_id"] == "user_42"
    assert call["tags"] == {"plan": "pro"}


@FORMS
@pytest.mark.parametrize("marker", sorted(MODEL_CALL_MARKERS | {EVENT_NAME}))
def test_every_name_by_which_a_span_says_that_it_is_ours_is_looked_for(
    reader: SpanReader, monkeypatch: pytest.MonkeyPatch, form: str, marker: str
) -> None:
    """A dialect that the search of the bytes does not know would never be billed, without a word."""
    seen: list[str] = []

    def see(_self: SpanReader, record: SpanRecord, _look_up: object) -> list[str]:
        seen.extend(record.attributes)
        return []

    monkeypatch.setattr(SpanReader, "_calls_of", see)

    read(reader, request(span(attributes=pairs({marker: "x"}))), form)

    assert seen == [marker]


@pytest.mark.parametrize("of_json", [False, True], ids=["protobuf", "json"])
def test_a_request_without_such_a_name_is_not_decoded(
    reader: SpanReader,
    monkeypatch: pytest.MonkeyPatch,
    of_json: bool,  # noqa: FBT001 - parametrised
) -> None:
    """That is what makes it cheap to send everything here."""
    message = request(span(attributes=pairs(HTTP)), span(name="plain"))
    monkeypatch.setattr(SpanReader, "read", lambda *_: pytest.fail("it was decoded"))

    found = reader.read_json(as_json(message)) if of_json else reader.read_protobuf(message.SerializeToString())

    assert found.calls == []


def test_a_name_that_is_written_with_escapes_is_found(reader: SpanReader) -> None:
    """JSON allows it, so somebody's encoder does it."""
    text = as_json(request(call_span(userId="user_42"))).replace(b"gen_ai", rb"gen\u005fai")
    assert b"gen_ai" not in text

    assert len(reader.read_json(text).calls) == 1


@FORMS
def test_a_user_named_around_the_call_in_the_same_process_pays(reader: SpanReader, form: str) -> None:
    """Many applications name the user on the span of the request only, as `otel-polar explain` takes it, too."""
    named = {"enduser.id": "user_7", "memberId": "member_1", **HTTP}
    outer = span(span_id=bytes.fromhex(PARENT_ID), attributes=pairs(named))
    middle = span(span_id=bytes.fromhex("a" * 16), parent_span_id=bytes.fromhex(PARENT_ID), attributes=pairs(HTTP))

    calls = read(reader, request(call_span(parent_id="a" * 16), middle, outer, resource={"service.name": "x"}), form)

    assert [(each["external_id"], each["member_id"]) for each in customers(calls)] == [("user_7", "member_1")]


@FORMS
def test_a_user_named_by_another_process_or_beyond_a_missing_span_does_not_pay(reader: SpanReader, form: str) -> None:
    """The span that is missing may have named somebody else."""
    outer = span(span_id=bytes.fromhex(PARENT_ID), attributes=pairs({"enduser.id": "user_7"}))
    elsewhere = request(outer, resource={"service.name": "gateway"})
    here = request(call_span(parent_id=PARENT_ID), resource={"service.name": "chat"})
    beyond = request(call_span(parent_id="a" * 16), outer)

    across = TracesData(resource_spans=[*elsewhere.resource_spans, *here.resource_spans])

    for message in (across, beyond):
        (found,) = customers(read(reader, message, form))
        assert "unattributed" in found


@FORMS
def test_a_user_further_out_does_not_pay_where_a_nearer_name_may_be_lost(reader: SpanReader, form: str) -> None:
    """A span has a limit of attributes, and the id that went to make room may have been somebody else's."""
    outer = span(span_id=bytes.fromhex(PARENT_ID), attributes=pairs({"enduser.id": "user_7"}))
    middle = span(
        span_id=bytes.fromhex("a" * 16),
        parent_span_id=bytes.fromhex(PARENT_ID),
        attributes=pairs(HTTP),
        dropped_attributes_count=1,
    )

    (found,) = customers(read(reader, request(call_span(parent_id="a" * 16), middle, outer), form))

    assert "unattributed" in found


@FORMS
def test_spans_around_each_other_in_a_circle_come_to_an_end(reader: SpanReader, form: str) -> None:
    """Whoever sends can say anything."""
    first = call_span("a" * 16, parent_id="b" * 16)
    second = span(span_id=bytes.fromhex("b" * 16), parent_span_id=bytes.fromhex("a" * 16), attributes=pairs(HTTP))

    assert len(read(reader, request(first, second), form)) == 1


@FORMS
def test_a_span_without_ids_or_times_costs_itself_only(reader: SpanReader, form: str) -> None:
    """It could not be told from another, and would be billed again at every retry."""
    message = request(
        span(attributes=pairs(CALL), trace_id=b""),
        span(attributes=pairs(CALL), end_time_unix_nano=0),
        call_span(userId="user_42"),
    )
    content = as_json(message) if form == "json" else message.SerializeToString()

    found = reader.read_json(content) if form == "json" else reader.read_protobuf(content)

    assert (len(found.calls), found.unreadable) == (1, 2)


@FORMS
def test_a_span_that_cannot_be_looked_at_costs_itself_only(
    reader: SpanReader, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    """An error of ours in one must not keep a whole queue of a Collector waiting."""
    failed = pipeline.counts["failed"]
    original = Pipeline.read

    def fail_for_one(self: Pipeline, record: Any, *arguments: Any) -> str | None:
        if record.name == "bad":
            raise RuntimeError("boom")
        return original(self, record, *arguments)

    monkeypatch.setattr(Pipeline, "read", fail_for_one)

    calls = read(reader, request(span(name="bad", attributes=pairs(CALL)), call_span(userId="u")), form)

    assert len(calls) == 1
    assert pipeline.counts["failed"] == failed + 1


@FORMS
def test_usage_that_is_no_call_to_a_model_is_read_by_its_attributes(reader: SpanReader, form: str) -> None:
    """What `meter` writes onto a span in one process is billed by another."""
    attributes = {EVENT_NAME: "gpu_seconds", "otel_polar.event.metadata.seconds": 2.5, "userId": "user_42"}

    calls = read(reader, request(span(attributes=pairs(attributes))), form)

    (found,) = (json.loads(call) for call in calls)
    assert (found["measurement"], found["values"]) == ("gpu_seconds", {"seconds": 2.5})


@pytest.mark.parametrize(
    "content",
    [b"garbage", b"\x0a", b"\x0a\x05abc", b"\x0a\xff\xff\xff\xff\xff\xff", b"\xff" * 9, b"gen_ai.system", b"<html>"],
)
def test_what_is_no_protobuf_message_is_refused(reader: SpanReader, content: bytes) -> None:
    """A sender with a wrong setting is to hear of it, not to be thanked."""
    with pytest.raises(SpansFormatError):
        reader.read_protobuf(content)


@pytest.mark.parametrize(
    "content",
    [
        b"garbage",
        b"[]",
        b"{",
        b'{"gen_ai.system"',
        b'{"spans": ["gen_ai.system"]}',
        b'{"resourceSpans": "gen_ai.system"}',
    ],
)
def test_what_is_no_json_request_is_refused(reader: SpanReader, content: bytes) -> None:
    """The same."""
    with pytest.raises(SpansFormatError):
        reader.read_json(content)


def test_json_that_would_fill_the_memory_is_refused(reader: SpanReader, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty object is two bytes of text and sixty of memory."""
    monkeypatch.setattr(requests_module, "MAX_JSON_ELEMENTS", 100)

    with pytest.raises(TooLargeError, match="JSON with 203 elements"):
        reader.read_json(b'{"resourceSpans":[' + b"{}," * 100 + b'{"gen_ai.system":1}]}')


def test_more_calls_than_anybody_makes_at_once_are_refused(reader: SpanReader, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are recorded as a whole or not at all, and that takes memory."""
    monkeypatch.setattr(reading, "MAX_CALLS", 3)

    assert len(read(reader, request(*[call_span()] * 3), "protobuf")) == 3
    with pytest.raises(TooLargeError, match="more than 3 calls"):
        read(reader, request(*[call_span()] * 4), "protobuf")


@given(message=requests)
def test_what_is_let_through_is_what_reading_everything_finds(message: TracesData) -> None:
    """The short way may save time, and nothing else."""
    content = message.SerializeToString()
    names = {key for each in read_protobuf(content).spans for key in sorted(each.attributes)[:2] if key} or {"none"}
    ours = [each for each in read_protobuf(content).spans if not names.isdisjoint(each.attributes)]

    found = [each for each in ProtobufRequest(content).spans_with(names) if each is not None]
    found_in_json = [each for each in JsonRequest(as_json(message)).spans_with(names) if each is not None]

    assert found == ours
    assert found_in_json == ours


def test_times_are_those_of_the_span(reader: SpanReader) -> None:
    """The price is that of the start, the event's time that of the end."""
    (call,) = (json.loads(each) for each in read(reader, request(call_span(userId="u")), "protobuf"))

    text = json.dumps(call)
    assert str(START) in text
    assert str(END) in text
    assert TRACE_ID in text
