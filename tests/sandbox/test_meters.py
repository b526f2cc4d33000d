"""Filters, aggregations and intervals, worked out by hand."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from otel_polar.sandbox.meters import Period, aggregate, matches, quantities, quantities_by_customer
from otel_polar.sandbox.records import Event, to_unix_us


def usage(timestamp: str = "2026-10-01T12:00:00Z", /, name: str = "llm_usage", **metadata: Any) -> Event:
    return Event(
        id="e",
        name=name,
        timestamp_us=to_unix_us(datetime.fromisoformat(timestamp)),
        timestamp_given=timestamp,
        ingested_at_us=0,
        external_id=None,
        parent_reference=None,
        customer_id=None,
        member_id=None,
        external_customer_id="user_42",
        external_member_id=None,
        metadata=metadata,
    )


def clause(path: str, operator: str, value: Any) -> dict[str, Any]:
    return {"property": path, "operator": operator, "value": value}


CLAUSES: list[tuple[str, str, Any, bool, str]] = [
    ("name", "eq", "llm_usage", True, "the event's own name"),
    ("source", "eq", "user", True, "whatever was ingested is of the user"),
    ("timestamp", "gte", 1_790_856_000, True, "whole seconds since 1970"),
    ("timestamp", "gt", 1_790_856_000, False, "strictly later"),
    ("model", "ne", "gpt-4", True, "another model"),
    ("tokens", "lt", 11, True, "a number below"),
    ("tokens", "lte", 10, True, "a number at the limit"),
    ("tokens", "eq", "10", False, "a number is not its digits"),
    ("digits", "eq", 10, False, "digits are not their number"),
    ("cached", "eq", True, True, "a boolean"),
    ("cached", "eq", 1, False, "true is not 1"),
    ("_llm.total_tokens", "eq", 12, True, "a dot descends"),
    ("gen_ai.usage", "gt", 0, False, "so a key with a dot cannot be reached"),
    ("absent", "eq", "x", False, "what is absent equals nothing"),
    ("absent", "ne", "x", False, "and differs from nothing"),
    ("absent", "not_like", "x", False, "SQL's NULL is not true"),
    ("model", "like", "4o", True, "a part of it"),
    ("model", "like", "4O", False, "case matters"),
    ("model", "like", "gpt_4o", True, "an underscore stands for one character"),
    ("model", "like", "g%o", True, "a percent sign for any number"),
    ("model", "like", "gpt.4o", False, "a point only for itself"),
    ("model", "not_like", "claude", True, "no part of it"),
    ("tokens", "like", "1", True, "like compares text"),
]


@pytest.mark.parametrize(
    ("path", "operator", "value", "expected", "reason"), CLAUSES, ids=[f"{row[0]}-{row[4]}" for row in CLAUSES]
)
def test_a_clause_compares_strictly(path: str, operator: str, value: Any, expected: bool, reason: str) -> None:  # noqa: FBT001 - a row of the table
    """A meter that counts the wrong events bills the wrong money."""
    event = usage(model="gpt-4o", tokens=10, digits="10", cached=True, _llm={"total_tokens": 12})
    event.metadata["gen_ai.usage"] = 5

    assert matches(event, clause(path, operator, value)) is expected, reason


def test_filters_nest() -> None:
    """(name is llm_usage) and (model is a or model is b)."""
    either = {"conjunction": "or", "clauses": [clause("model", "eq", "a"), clause("model", "eq", "b")]}
    both = {"conjunction": "and", "clauses": [clause("name", "eq", "llm_usage"), either]}

    assert [matches(usage(model=model), both) for model in "abc"] == [True, True, False]
    assert not matches(usage(name="other", model="a"), both)
    assert matches(usage(), {"conjunction": "or", "clauses": []})


@pytest.mark.parametrize(
    ("function", "expected", "reason"),
    [
        ("count", 5, "every event"),
        ("sum", 4.5, "1 + 3 + 0.5; the string and the boolean are skipped"),
        ("max", 3, "the largest number"),
        ("min", 0.5, "the smallest number"),
        ("avg", 1.5, "4.5 over three numbers"),
        ("unique", 5, "1, 3, 0.5, the string and true are five values"),
    ],
)
def test_the_six_aggregations(function: str, expected: float, reason: str) -> None:
    """Only JSON numbers are summed."""
    events = [usage(n=value) for value in (1, 3, 0.5, "12", True)]

    assert aggregate(events, {"func": function, "property": "n"}) == expected, reason
    assert aggregate([], {"func": function, "property": "n"}) == 0


def period(start: str, end: str, interval: str, zone: str = "UTC") -> Period:
    return Period(datetime.fromisoformat(start), datetime.fromisoformat(end), interval, ZoneInfo(zone))


@pytest.mark.parametrize(
    ("interval", "start", "end", "zone", "expected"),
    [
        ("hour", "2026-10-01T10:30Z", "2026-10-01T12:00Z", "UTC", ["10-01T10", "10-01T11", "10-01T12"]),
        ("day", "2026-10-01T10:30Z", "2026-10-03T00:00Z", "UTC", ["10-01T00", "10-02T00", "10-03T00"]),
        ("week", "2026-10-01T00:00Z", "2026-10-06T00:00Z", "UTC", ["09-28T00", "10-05T00"]),
        ("month", "2026-01-31T00:00Z", "2026-03-01T00:00Z", "UTC", ["01-01T00", "02-01T00", "03-01T00"]),
        ("year", "2024-02-29T00:00Z", "2026-01-01T00:00Z", "UTC", ["01-01T00", "01-01T00", "01-01T00"]),
        ("day", "2026-10-24T12:00Z", "2026-10-26T12:00Z", "Europe/Berlin", ["10-23T22", "10-24T22", "10-25T23"]),
        ("hour", "2026-10-25T00:10Z", "2026-10-25T02:10Z", "Europe/Berlin", ["10-25T00", "10-25T01", "10-25T02"]),
    ],
)
def test_intervals_follow_the_calendar(interval: str, start: str, end: str, zone: str, expected: list[str]) -> None:
    """A week starts on Monday, months differ, and a clock change makes a day of 25 hours."""
    starts = period(start, end, interval, zone).intervals()

    assert [moment.astimezone(UTC).strftime("%m-%dT%H") for moment in starts] == expected


def test_a_total_is_aggregated_anew() -> None:
    """The average of a day is not the average of its hours' averages."""
    events = [usage("2026-10-01T10:00:00Z", n=n) for n in (1, 1, 1)] + [usage("2026-10-01T11:59:59Z", n=5)]
    outside = [usage("2026-10-01T12:00:01Z", n=100)]

    series, total = quantities(
        events + outside,
        {"func": "avg", "property": "n"},
        period("2026-10-01T10:00Z", "2026-10-01T12:00Z", "hour"),
    )

    assert ([value for _, value in series], total) == ([1, 5, 0], 2)


def test_customers_are_aggregated_one_by_one_when_asked_for() -> None:
    """The average use per customer is not the average use per event."""
    groups = [[usage(n=1), usage(n=1)], [usage(n=6)]]
    day = period("2026-10-01T00:00Z", "2026-10-01T23:00Z", "day")

    series, total = quantities_by_customer(groups, {"func": "sum", "property": "n"}, day, "avg")

    assert ([value for _, value in series], total) == ([4], 4)
