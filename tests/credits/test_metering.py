"""Specifies what a meter counts of an event: what the local Polar counts, which is written by other hands."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from otel_polar import ConfigError
from otel_polar.credits.metering import MeterRule
from otel_polar.polar_api.budget import Budget
from otel_polar.polar_api.client import PolarApi
from otel_polar.polar_api.meters import Counting, Meter, Unit, list_meters, quantities
from tests.credits.support import TOKEN, settings
from tests.sandbox.support import ingest, post

if TYPE_CHECKING:
    from pathlib import Path

    from otel_polar.sandbox import SandboxServer

EVENTS = [
    {"model": "gpt-4o", "n": 1, "ok": True, "deep": "x", "half": 0.5},
    {"model": "gpt-4o-mini", "n": 20, "ok": False},
    {"model": "claude", "n": "300", "half": 1.25},
    {"model": "claude", "n": 4_000},
    {"n": True, "one": 1},
    {"model": "GPT-4o", "_cost": {"amount": "1.5", "currency": "usd"}, "n": 50_000},
]


def clause(path: str, operator: str, value: Any) -> dict[str, Any]:
    return {"property": path, "operator": operator, "value": value}


def group(conjunction: str, *clauses: dict[str, Any]) -> dict[str, Any]:
    return {"conjunction": conjunction, "clauses": list(clauses)}


YES, NO = True, False
FILTERS = [
    group("and"),
    group("or"),
    group("and", clause("name", "eq", "llm_usage")),
    group("and", clause("name", "eq", "other")),
    group("and", clause("model", "eq", "gpt-4o")),
    group("and", clause("model", "ne", "gpt-4o")),
    group("and", clause("metadata.model", "like", "gpt")),
    group("and", clause("model", "not_like", "gpt")),
    group("and", clause("n", "gte", 20)),
    group("and", clause("n", "lt", 20)),
    group("and", clause("n", "eq", "300")),
    group("and", clause("n", "like", "0")),
    group("and", clause("ok", "eq", YES)),
    group("and", clause("ok", "ne", YES)),
    group("and", clause("one", "eq", YES)),
    group("and", clause("_cost.currency", "eq", "usd")),
    group("and", clause("source", "eq", "user")),
    group("and", clause("timestamp", "gt", 0)),
    group("or", clause("model", "eq", "claude"), group("and", clause("ok", "eq", NO), clause("n", "gt", 5))),
]
AGGREGATIONS = [{"func": "count"}, {"func": "sum", "property": "n"}, {"func": "sum", "property": "half"}]


def test_a_meter_counts_here_what_it_counts_on_polar(polar_sandbox: SandboxServer, tmp_path: Path) -> None:
    """Credits that are reserved by another rule than they are used by run out too early, or never."""
    for number, filter_ in enumerate(FILTERS):
        for each, aggregation in enumerate(AGGREGATIONS):
            made = post(
                polar_sandbox, "/v1/meters/", name=f"meter {number} {each}", filter=filter_, aggregation=aggregation
            )
            assert made.status == 201
    events = [
        {
            "name": "llm_usage",
            "external_customer_id": "user",
            "timestamp": "2026-10-01T11:59:59.000000Z",
            "metadata": metadata,
        }
        for metadata in EVENTS
    ]
    assert ingest(polar_sandbox, *events).status == 200

    with PolarApi(settings(polar_sandbox.url, tmp_path, access_token=TOKEN), budget=Budget(1e9)) as api:
        for meter in list_meters(api):
            begin, end = datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)
            total = quantities(api, meter.id, begin, end, "year").total
            rule = MeterRule(meter)

            assert sum(rule.amount(event) for event in events) == total, meter


@pytest.mark.parametrize("function", ["max", "min", "avg", "unique"])
def test_a_meter_that_does_not_add_up_is_refused(function: str) -> None:
    """What a largest value will be cannot be reserved."""
    counting = Counting.of({"conjunction": "and", "clauses": []}, {"func": function, "property": "n"})

    with pytest.raises(ConfigError, match="sums or counts"):
        MeterRule(Meter("id", "peak", counting, Unit(), is_archived=False))


def test_an_operator_that_is_not_known_counts_the_event() -> None:
    """Too little credit is mended by asking somebody, too much by nobody."""
    counting = Counting.of(group("and", clause("n", "is_prime", 2)), {"func": "count"})
    rule = MeterRule(Meter("id", "meter", counting, Unit(), is_archived=False))

    assert [rule.amount({"metadata": {"n": 4}}), rule.amount({"metadata": {}})] == [1, 0]
