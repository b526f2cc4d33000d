"""Specifies which meters count our events."""

from __future__ import annotations

from typing import Any

import pytest

from otel_polar.checkup.meters import counts_name, meter_findings
from otel_polar.polar_api.meters import Counting, Meter, Unit
from tests.checkup.support import told, wrong

COUNT: dict[str, Any] = {"func": "count"}


def clause(operator: str, value: object, *, key: str = "name") -> dict[str, Any]:
    return {"property": key, "operator": operator, "value": value}


def every(*clauses: Any) -> dict[str, Any]:
    return {"conjunction": "and", "clauses": list(clauses)}


def some(*clauses: Any) -> dict[str, Any]:
    return {"conjunction": "or", "clauses": list(clauses)}


def a_meter(filter_: dict[str, Any], aggregation: dict[str, Any] = COUNT) -> Meter:
    return Meter("m1", "Calls", Counting.of(filter_, aggregation), Unit(), is_archived=False)


@pytest.mark.parametrize(
    ("filter_", "counts"),
    [
        (every(clause("eq", "llm_usage")), True),
        (every(clause("eq", "other")), False),
        (every(clause("ne", "llm_usage")), False),
        (every(clause("like", "llm")), True),
        (every(clause("not_like", "llm")), False),
        (every(clause("eq", "gpt-4o", key="model")), True),
        (every(clause("eq", "other"), clause("eq", "gpt-4o", key="model")), False),
        (some(clause("eq", "other"), clause("eq", "llm_usage")), True),
        (some(clause("eq", "other"), clause("eq", "another")), False),
        (every(some(clause("eq", "other"), clause("eq", "llm_usage")), clause("gt", 1, key="n")), True),
        (every(), True),
    ],
)
def test_a_filter_counts_our_name_if_any_event_of_it_could_be_counted(filter_: dict[str, Any], *, counts: bool) -> None:
    """What else is on the event is not known."""
    assert counts_name(a_meter(filter_), "llm_usage") is counts


def test_no_meter_means_that_nothing_is_charged() -> None:
    """It is the most common surprise: the events are there, and the invoice is empty."""
    assert set(wrong(meter_findings([], "llm_usage"))) == {"polar.meters"}
    assert (
        "1 that count others" in wrong(meter_findings([a_meter(every(clause("eq", "x")))], "llm_usage"))["polar.meters"]
    )


def test_a_meter_over_a_key_with_a_dot_stays_at_zero() -> None:
    """Polar looks for one key within another."""
    by = {"func": "sum", "property": "gen_ai.usage.input_tokens"}
    fine = {"func": "sum", "property": "_llm.total_tokens"}
    ours = every(clause("eq", "llm_usage"))

    assert set(wrong(meter_findings([a_meter(ours, by)], "llm_usage"))) == {"polar.meter_key"}
    assert wrong(meter_findings([a_meter(ours, fine)], "llm_usage")) == {}


def test_names_that_a_function_makes_are_not_guessed() -> None:
    """Any meter may be theirs."""
    assert told(meter_findings([], lambda _call: "x")) == {"polar.meters": "note"}
