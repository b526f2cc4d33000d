"""Specifies Polar's meters as they are repeated here."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from otel_polar.polar_api.meters import Counting
from otel_polar.reconciliation.counting import NotComparableError, Rule, Tally, is_same_quantity
from otel_polar.reconciliation.fact import Fact

FACT = Fact(
    1_790_856_000_500_000,
    "llm_usage",
    "user_1",
    {"model": "gpt-4o", "tokens": 5, "share": 0.1, "is_batch": True, "_llm": {"total_tokens": 7}, "zero": 0},
)


def rule(*clauses: dict[str, Any], conjunction: str = "and", aggregation: dict[str, Any] | None = None) -> Rule:
    return Rule(Counting.of({"conjunction": conjunction, "clauses": [*clauses]}, aggregation or {"func": "count"}))


def clause(property_: str, operator: str, value: Any) -> dict[str, Any]:
    return {"property": property_, "operator": operator, "value": value}


@pytest.mark.parametrize(
    ("property_", "operator", "value", "counts"),
    [
        ("name", "eq", "llm_usage", True),
        ("source", "eq", "user", True),
        ("timestamp", "gte", 1_790_856_000, True),
        ("timestamp", "gt", 1_790_856_000, False),
        ("metadata.model", "eq", "gpt-4o", True),
        ("model", "like", "4o", True),
        ("model", "like", "4O", False),
        ("model", "not_like", "mini", True),
        ("tokens", "eq", 5, True),
        ("tokens", "eq", "5", False),
        ("tokens", "ne", "5", False),
        ("tokens", "lt", 6, True),
        ("is_batch", "eq", True, True),
        ("is_batch", "eq", 1, False),
        ("zero", "eq", False, False),
        ("_llm.total_tokens", "gte", 7, True),
        ("absent", "eq", 1, False),
        ("absent", "ne", 1, False),
        ("absent", "not_like", "x", False),
        ("model.nested", "eq", "x", False),
    ],
)
def test_a_clause(property_: str, operator: str, value: Any, counts: bool) -> None:  # noqa: FBT001 - a table
    """Polar is strict about types, and what is absent fits nothing."""
    assert rule(clause(property_, operator, value)).counts(FACT) is counts


def test_clauses_are_joined_as_polar_joins_them() -> None:
    """Without any clause everything counts."""
    yes, no = clause("tokens", "eq", 5), clause("tokens", "eq", 6)

    assert rule().counts(FACT)
    assert not rule(yes, no).counts(FACT)
    assert rule(yes, no, conjunction="or").counts(FACT)
    assert rule(no, {"conjunction": "and", "clauses": [yes]}, conjunction="or").counts(FACT)


@pytest.mark.parametrize(
    ("clause_", "aggregation"),
    [
        (clause("model", "like", "gpt%"), {"func": "count"}),
        (clause("model", "gt", "a"), {"func": "count"}),
        (clause("model", "is", "a"), {"func": "count"}),
        (clause("model", "eq", "a"), {"func": "median", "property": "tokens"}),
        (clause("model", "eq", "a"), {"func": "sum"}),
    ],
)
def test_what_is_not_known_for_certain_is_not_compared(clause_: dict[str, Any], aggregation: dict[str, Any]) -> None:
    """A guess would be a difference that is none, or hide one."""
    with pytest.raises(NotComparableError):
        rule(clause_, aggregation=aggregation)


@pytest.mark.parametrize(
    ("function", "values", "quantity"),
    [
        ("count", [None, None], "2"),
        ("sum", [1, 2.5, "3", True, None], "3.5"),
        ("sum", [0.1, 0.2], "0.3"),
        ("sum", [2**62, 2**62], str(2**63)),
        ("sum", [], "0"),
        ("min", [3, 1.5], "1.5"),
        ("max", [3, 1.5, "9"], "3"),
        ("max", [-3, -1], "-1"),
        ("avg", [1, 2, "x"], "1.5"),
        ("avg", [], "0"),
        ("unique", ["a", "a", "b", 1, None], "3"),
    ],
)
def test_quantities(function: str, values: list[Any], quantity: str) -> None:
    """Only numbers are summed, and exactly."""
    tally = Tally(function)
    for value in values:
        tally.add(value)

    assert tally.quantity == Decimal(quantity)


def test_quantities_are_the_same_as_far_as_a_double_tells() -> None:
    """Polar answers with one."""
    exact = Decimal(2**60 + 1)

    assert is_same_quantity(exact, Decimal(2**60))
    assert not is_same_quantity(Decimal(1_000_000_001), Decimal(1_000_000_000))
    assert is_same_quantity(Decimal(0), Decimal(0))


def test_cents_are_a_number_for_polar_though_they_are_sent_as_text() -> None:
    """Polar keeps them in a double."""
    fact = Fact(0, "a", None, {"_cost": {"amount": "0.25"}})

    assert rule(aggregation={"func": "sum", "property": "_cost.amount"}).value(fact) == pytest.approx(0.25)
