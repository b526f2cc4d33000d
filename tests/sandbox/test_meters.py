"""Filters, aggregations and intervals, worked out by hand."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from otel_polar.sandbox import SandboxStore, metering
from otel_polar.sandbox.conditions import EVERY_EVENT, of_filter
from otel_polar.sandbox.ingest import ParsedEvent
from otel_polar.sandbox.meters import Period, Reading, aggregate, quantities, quantities_by_customer
from otel_polar.sandbox.records import to_unix_us
from tests.sandbox import meter_oracle

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def store() -> Iterator[SandboxStore]:
    """An empty memory."""
    with SandboxStore() as opened:
        yield opened


def usage(timestamp: str = "2026-10-01T12:00:00Z", /, name: str = "llm_usage", **metadata: Any) -> ParsedEvent:
    return ParsedEvent(
        name=name,
        timestamp=datetime.fromisoformat(timestamp),
        timestamp_given=timestamp,
        external_id=None,
        parent_id=None,
        organization_id=None,
        customer_id=None,
        member_id=None,
        external_customer_id="user_42",
        external_member_id=None,
        metadata=metadata,
    )


def matching(store: SandboxStore, node: dict[str, Any]) -> list[str]:
    """The names of the stored events that pass a filter, in the order of arrival."""
    condition = of_filter(node)
    rows = store.database.rows(
        f"SELECT name FROM events WHERE {condition.sql} ORDER BY sequence",  # noqa: S608 - the values are parameters
        condition.parameters,
    )
    return [row[0] for row in rows]


def reading(timestamp: str, value: float, payer: str | None = None) -> Reading:
    return Reading(to_unix_us(datetime.fromisoformat(timestamp)), value, "integer", payer)


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
def test_a_clause_compares_strictly(
    store: SandboxStore,
    path: str,
    operator: str,
    value: Any,
    expected: bool,  # noqa: FBT001 - a row of the table
    reason: str,
) -> None:
    """A meter that counts the wrong events bills the wrong money."""
    stored = usage(model="gpt-4o", tokens=10, digits="10", cached=True, _llm={"total_tokens": 12})
    stored.metadata["gen_ai.usage"] = 5
    store.insert_events([stored])

    assert bool(matching(store, clause(path, operator, value))) is expected, reason


def test_filters_nest(store: SandboxStore) -> None:
    """(name is llm_usage) and (model is a or model is b)."""
    either = {"conjunction": "or", "clauses": [clause("model", "eq", "a"), clause("model", "eq", "b")]}
    both = {"conjunction": "and", "clauses": [clause("name", "like", "call"), either]}
    store.insert_events([usage(name=f"call_{model}", model=model) for model in "abc"] + [usage(name="x", model="a")])

    assert matching(store, both) == ["call_a", "call_b"]
    assert len(matching(store, {"conjunction": "or", "clauses": []})) == 4


KEYS = st.sampled_from(["n", "m", "deep", 'a"b', "a\\b", "schlüssel"])
VALUES = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.integers(-3, 3),
    st.floats(allow_nan=False, allow_infinity=False, width=32),
    st.booleans(),
    st.text(st.sampled_from("aB%_ü1\U0001f600\n"), min_size=1, max_size=4),
)
METADATA = st.dictionaries(KEYS, VALUES | st.dictionaries(KEYS, VALUES, max_size=2), max_size=4)
PATHS = st.sampled_from(["n", "m", "deep.n", 'a"b', 'deep.a"b', "a\\b", "schlüssel", "name", "timestamp"])
OPERANDS = st.one_of(st.integers(-3, 3), st.booleans(), st.text(st.sampled_from("aB%_ü1"), max_size=2))
OPERATORS = st.sampled_from(["eq", "ne", "gt", "gte", "lt", "lte", "like", "not_like"])
CLAUSE_NODES = st.builds(clause, PATHS, OPERATORS, OPERANDS)
FILTERS = st.recursive(
    CLAUSE_NODES,
    lambda inner: st.builds(
        lambda word, clauses: {"conjunction": word, "clauses": clauses},
        st.sampled_from(["and", "or"]),
        st.lists(inner, max_size=3),
    ),
    max_leaves=4,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(metadata=METADATA, node=FILTERS)
def test_the_database_filters_as_the_rules_say(
    store: SandboxStore, metadata: dict[str, Any], node: dict[str, Any]
) -> None:
    """The rules are written twice: in SQL for speed, and in plain Python to be read."""
    event = usage(**metadata)
    with store.database.writing() as connection:
        connection.execute("DELETE FROM events")
    store.insert_events([event])

    assert bool(matching(store, node)) is meter_oracle.matches(event, node)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(st.lists(METADATA, max_size=6), PATHS, st.sampled_from(["count", "sum", "min", "max", "avg", "unique"]))
def test_the_database_aggregates_as_the_rules_say(
    store: SandboxStore, rows: list[dict[str, Any]], path: str, function: str
) -> None:
    """Numbers are read out of the stored text by SQLite; they must be the numbers that came in."""
    events = [usage(**metadata) for metadata in rows]
    with store.database.writing() as connection:
        connection.execute("DELETE FROM events")
    store.insert_events(events)
    fields = {"filter": {"conjunction": "and", "clauses": []}, "unit": "scalar", "metadata": {}, "name": "m"}
    aggregation = {"func": function} if function == "count" else {"func": function, "property": path}
    meter = store.insert_meter({**fields, "aggregation": aggregation, "custom_label": None, "custom_multiplier": None})

    readings = metering.read(store.database, meter, EVERY_EVENT)

    assert aggregate(readings, function) == pytest.approx(meter_oracle.aggregate(events, aggregation), rel=1e-12)


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
def test_the_six_aggregations(store: SandboxStore, function: str, expected: float, reason: str) -> None:
    """Only JSON numbers are summed."""
    store.insert_events([usage(n=value) for value in (1, 3, 0.5, "12", True)])
    fields = {"filter": {"conjunction": "and", "clauses": []}, "unit": "scalar", "metadata": {}, "name": "m"}
    aggregation = {"func": function, "property": "n"}
    meter = store.insert_meter({**fields, "aggregation": aggregation, "custom_label": None, "custom_multiplier": None})

    assert aggregate(metering.read(store.database, meter, EVERY_EVENT), function) == expected, reason
    assert aggregate([], function) == 0


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
    readings = [reading("2026-10-01T10:00:00Z", 1)] * 3 + [reading("2026-10-01T11:59:59Z", 5)]

    series, total = quantities(readings, "avg", period("2026-10-01T10:00Z", "2026-10-01T12:00Z", "hour"))

    assert ([value for _, value in series], total) == ([1, 5, 0], 2)


def test_customers_are_aggregated_one_by_one_when_asked_for() -> None:
    """The average use per customer is not the average use per event."""
    noon = "2026-10-01T12:00:00Z"
    readings = [reading(noon, 1, "a"), reading(noon, 1, "a"), reading(noon, 6, "b")]
    day = period("2026-10-01T00:00Z", "2026-10-01T23:00Z", "day")

    series, total = quantities_by_customer(readings, "sum", day, "avg")

    assert ([value for _, value in series], total) == ([4], 4)
