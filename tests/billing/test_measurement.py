"""Specifies usage that is no call to a model: which spans are, with which numbers, and the event they become."""

from __future__ import annotations

from typing import Any, Final

import pytest

from otel_polar import ConfigError, SpanRule
from otel_polar.billing.customer import NOBODY
from otel_polar.billing.measurement import (
    Measurement,
    build_measured_event,
    may_match,
    measurement_id,
    read_measurements,
)
from tests.billing.support import SPAN_ID, START, TRACE_ID, USER, metadata_problems, span, unix_nano

NOW: Final = 2_000_000_000.0
REPORT: Final = SpanRule(
    event_name="report",
    span_name="render *",
    scope="my_app.*",
    attributes={"report.kind": "pdf", "tenant": "*"},
    metadata={"pages": "report.page_count"},
    labels={"theme": "report.theme"},
)
PDF: Final = {"report.kind": "pdf", "tenant": 7, "report.page_count": 12, "report.theme": "dark", "secret": "x"}


def rendered(**fields: Any) -> Any:
    return span(fields.pop("attributes", PDF), **{"name": "render a", "scope_name": "my_app.reports", **fields})


def read(record: Any, *rules: SpanRule) -> list[tuple[str, dict[str, Any], str | None]]:
    return [(m.event_name, dict(m.values), m.why_held) for m in read_measurements(record, rules, USER, {})]


# --- What a rule says -------------------------------------------------------------------------------------------------


def test_a_rule_takes_the_numbers_and_texts_it_names_and_nothing_else() -> None:
    """Everything else on a span is the application's own."""
    assert read(rendered(), REPORT) == [("report", {"pages": 12, "theme": "dark"}, None)]


@pytest.mark.parametrize(
    "other",
    [
        {"name": "Render a"},
        {"scope_name": "their_app"},
        {"attributes": {**PDF, "report.kind": "html"}},
        {"attributes": {key: value for key, value in PDF.items() if key != "tenant"}},
    ],
    ids=["name", "scope", "value", "missing"],
)
def test_a_span_that_differs_in_anything_is_not_meant(other: dict[str, Any]) -> None:
    """All of a rule's conditions hold at once."""
    assert read(rendered(**other), REPORT) == []


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (None, "report.page_count is missing"),
        ("12", "report.page_count is of type str, not a number"),
        (True, "report.page_count is of type bool, not a number"),
        (-1, "report.page_count is negative"),
        (float("nan"), "report.page_count is not a finite number"),
        (float("inf"), "report.page_count is not a finite number"),
        (2**63, "report.page_count is too large"),
        ((1, 2), "report.page_count is of type tuple, not a number"),
    ],
)
def test_a_number_that_is_none_holds_the_event(value: Any, why: str) -> None:
    """A guess would be billed as if it were true."""
    attributes = {**PDF, "report.page_count": value}
    if value is None:
        del attributes["report.page_count"]

    ((_name, values, why_held),) = read(rendered(attributes=attributes), REPORT)
    assert (values, why_held) == ({"theme": "dark"}, why)


@pytest.mark.parametrize(
    ("failed", "answers"),
    [("hold", [("e", {}, "the span failed")]), ("bill", [("e", {}, None)]), ("skip", [])],
)
def test_what_becomes_of_a_failed_span_is_said_by_the_rule(failed: Any, answers: list[Any]) -> None:
    """Some bill attempts, some results."""
    assert read(span(failed=True), SpanRule(event_name="e", failed=failed)) == answers


def test_a_span_may_be_several_events_but_one_of_each_name() -> None:
    """The first rule counts, as the first entry of any list here."""
    rules = [SpanRule(event_name=name, labels={"by": by}) for name, by in (("a", "x"), ("b", "x"), ("a", "y"))]

    answers = read_measurements(span({"x": "1", "y": "2"}), tuple(rules), USER, {})
    assert [(m.event_name, dict(m.values)) for m in answers] == [("a", {"by": "1"}), ("b", {"by": "1"})]
    assert len({m.external_id for m in answers}) == 2


def test_names_are_compared_before_anything_is_read() -> None:
    """It is asked for every span of the application."""
    assert may_match((REPORT,), "my_app.x", "render b")
    assert not may_match((REPORT,), "my_app.x", "GET /")
    assert not may_match((), "my_app.x", "render b")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"event_name": ""}, "event_name is ''"),
        ({"event_name": "x" * 129}, "event_name is"),
        ({"event_name": 5}, "event_name is 5"),
        ({"event_name": "e", "metadata": {"a.b": "x"}}, "'a.b' is no key"),
        ({"event_name": "e", "labels": {"x" * 41: "x"}}, "is no key"),
        ({"event_name": "e", "failed": "maybe"}, "failed is 'maybe'"),
    ],
)
def test_a_rule_that_cannot_be_used_is_refused(options: dict[str, Any], message: str) -> None:
    """When it is made, where somebody looks."""
    with pytest.raises(ConfigError, match=message):
        SpanRule(**options)


# --- What a span says of itself ---------------------------------------------------------------------------------------


def own(**attributes: Any) -> Any:
    return span({"otel_polar.event.name": "upload", **attributes})


@pytest.mark.parametrize(
    ("record", "answer"),
    [
        (own(), ("upload", {}, None)),
        (
            own(**{"otel_polar.event.metadata.bytes": 5, "otel_polar.event.metadata.bucket": "b", "other": 1}),
            ("upload", {"bytes": 5, "bucket": "b"}, None),
        ),
        (own(**{"otel_polar.event.metadata.bytes": -5}), ("upload", {}, "bytes is negative")),
        (own(**{"otel_polar.event.metadata.bytes": (1,)}), ("upload", {}, "bytes is of type tuple, not a number")),
        (own(**{"otel_polar.event.why_held": "unknown length"}), ("upload", {}, "unknown length")),
        (span({"otel_polar.event.name": "upload"}, failed=True), ("upload", {}, "the metered block failed")),
        (
            span({"otel_polar.event.name": "upload"}, dropped_attributes=1),
            ("upload", {}, "numbers may have been dropped: raise OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT"),
        ),
        (
            span({"otel_polar.event.name": "image_ge"}, attribute_length_limit=8),
            (
                "unusable",
                {},
                "otel_polar.event.name may have been cut: raise OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT",
            ),
        ),
        (
            span({"otel_polar.event.name": "x" * 129}),
            ("unusable", {}, "otel_polar.event.name is no text of 1 to 128 characters"),
        ),
        (
            span({"otel_polar.event.name": 5}),
            ("unusable", {}, "otel_polar.event.name is no text of 1 to 128 characters"),
        ),
    ],
)
def test_a_span_says_what_event_it_is(record: Any, answer: tuple[str, dict[str, Any], str | None]) -> None:
    """What metered() writes, and whatever else has the attributes; what is wrong is held, not lost."""
    assert read(record) == [answer]


def test_a_span_without_a_word_is_none() -> None:
    """Nearly all are."""
    assert read(span({"otel_polar.event.metadata.bytes": 5})) == []


# --- The event --------------------------------------------------------------------------------------------------------


def measurement(**fields: Any) -> Measurement:
    start = unix_nano(START)
    told = {
        "event_name": "upload",
        "values": {"bytes": 5},
        "trace_id": TRACE_ID,
        "span_id": SPAN_ID,
        "start_time_unix_nano": start,
        "end_time_unix_nano": start + 1_234_567_890,
        "customer": USER,
    }
    return Measurement(**{**told, **fields})


def test_the_event_has_what_was_measured_and_where() -> None:
    """A lasting contract, as that of a call to a model."""
    event = build_measured_event(measurement(tags={"plan": "pro", "bytes": 1}, service_name="api"), now=NOW)

    assert event.body() == {
        "name": "upload",
        "external_customer_id": "user_42",
        "external_id": measurement_id("upload", TRACE_ID, SPAN_ID, unix_nano(START)),
        "timestamp": "2026-11-20T12:00:01.234567Z",
        "metadata": {
            "bytes": 5,
            "duration_ms": 1_234,
            "duration_us": 1_234_567,
            "service_name": "api",
            "trace_id": TRACE_ID,
            "span_id": SPAN_ID,
            "plan": "pro",
            "tag_bytes": 1,
        },
    }


def test_an_event_of_a_moment_has_no_duration() -> None:
    """That of a run is made before it ends."""
    body = build_measured_event(measurement(end_time_unix_nano=None), now=NOW, parent_id="p").body()

    assert (body["timestamp"], body["parent_id"]) == ("2026-11-20T12:00:00.000000Z", "p")
    assert isinstance(body["metadata"], dict)
    assert "duration_ms" not in body["metadata"]


@pytest.mark.parametrize(
    "values",
    [
        {"a.b": 1, "_cost": 5, "": 1, "x" * 60: 1, "text": "", "nul": "a\0b"},
        {f"key_{number}": number for number in range(100)},
        {"big": 2**70, "duration_ms": -1, "trace_id": "forged"},
    ],
)
def test_whatever_is_measured_polar_takes_it(values: dict[str, Any]) -> None:
    """One wrong value would have the whole batch refused."""
    tags = {f"tag_{number}": "x" * 600 for number in range(60)}
    body = build_measured_event(measurement(values=values, tags=tags), now=NOW).body()

    metadata = body["metadata"]
    assert isinstance(metadata, dict)
    assert metadata_problems(metadata) == []
    assert (metadata["trace_id"], metadata["duration_ms"]) == (TRACE_ID, 1_234)


def test_what_is_held_has_no_event() -> None:
    """Neither without anybody to bill nor with numbers that are wrong."""
    with pytest.raises(ValueError, match="no customer"):
        build_measured_event(measurement(customer=NOBODY), now=NOW)
    with pytest.raises(ValueError, match="bytes is negative"):
        build_measured_event(measurement(why_held="bytes is negative"), now=NOW)
