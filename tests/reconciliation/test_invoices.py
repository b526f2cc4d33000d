"""Specifies how the ledger is compared with a provider's export."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from otel_polar.delivery.disk.rows import State
from otel_polar.reconciliation.invoices import compare_usage, usage_of
from otel_polar.reconciliation.ledger import LedgerRow
from otel_polar.reconciliation.usage import CALLS, COST, INPUT, OUTPUT, Usage

DAY = date(2026, 11, 1)
NOON_US = int(datetime(2026, 11, 1, 12, tzinfo=UTC).timestamp()) * 1_000_000
MINI = "gpt-4o-mini-2024-07-18"


def row(number: int = 0, **changes: Any) -> LedgerRow:
    fields: dict[str, Any] = {
        "file": "outbox-1.db",
        "external_id": f"call-{number}",
        "state": State.SENT,
        "at_unix_us": NOON_US,
        "settled_at": None,
        "customers": ("user_1",),
        "provider": "openai",
        "model": MINI,
        "tokens": (100, 80, 0, 10),
        "cost_nanos": 7,
        "event": None,
        **changes,
    }
    return LedgerRow(**fields)


def usage(counts: dict[str, dict[str, int]], told: set[str] | None = None) -> Usage:
    return Usage({(DAY, model): Counter(amounts) for model, amounts in counts.items()}, told or {INPUT, OUTPUT}, {DAY})


@pytest.mark.parametrize(
    ("changes", "counts"),
    [
        ({}, {CALLS: 1, INPUT: 100, "cache_read_tokens": 80, OUTPUT: 10, COST: 7}),
        ({"state": State.UNATTRIBUTED}, {CALLS: 1, INPUT: 100, "cache_read_tokens": 80, OUTPUT: 10, COST: 7}),
        ({"state": State.UNPRICED, "cost_nanos": None}, {CALLS: 1, INPUT: 100, "cache_read_tokens": 80, OUTPUT: 10}),
        ({"state": State.UNMETERED, "tokens": (None,) * 4, "cost_nanos": None}, {CALLS: 1}),
        # Another span of a call that is counted already.
        ({"state": State.DUPLICATE}, {}),
        ({"provider": "anthropic"}, {}),
        ({"provider": None}, {}),
        ({"at_unix_us": NOON_US + 12 * 3_600_000_000}, {}),
        (
            {"at_unix_us": NOON_US + 12 * 3_600_000_000 - 1},
            {CALLS: 1, INPUT: 100, "cache_read_tokens": 80, OUTPUT: 10, COST: 7},
        ),
    ],
)
def test_every_call_that_was_made_counts_once(changes: dict[str, Any], counts: dict[str, int]) -> None:
    """The provider bills what is held here as well."""
    found = usage_of([row(**changes), row(**changes)], "openai", frozenset({DAY}))

    assert {count: amount for count, amount in found.sums.get((DAY, MINI), {}).items() if amount} == counts


@pytest.mark.parametrize(
    ("changes", "note"),
    [
        ({"provider": None}, "1 calls of the ledger name no provider and model, and were not compared"),
        ({"tokens": (None,) * 4}, "1 calls of the ledger have unknown tokens, and count as calls only"),
        ({"cost_nanos": None}, "1 calls of the ledger have no price, and count without a cost"),
    ],
)
def test_what_cannot_be_counted_is_told(changes: dict[str, Any], note: str) -> None:
    """It may be the whole difference."""
    assert usage_of([row(**changes)], "openai", frozenset({DAY})).notes == [note]


@pytest.mark.parametrize(
    ("here", "there", "percent", "differing"),
    [
        ({MINI: {INPUT: 1_000}}, {MINI: {INPUT: 1_000}}, "0", []),
        ({MINI: {INPUT: 1_000}}, {MINI: {INPUT: 1_001}}, "0", [(MINI,)]),
        ({MINI: {INPUT: 1_000}}, {MINI: {INPUT: 1_005}}, "0.5", []),
        ({MINI: {INPUT: 1_000}}, {MINI: {INPUT: 1_006}}, "0.5", [(MINI,)]),
        ({MINI: {INPUT: 1}}, {}, "99", [(MINI,)]),
        ({}, {MINI: {INPUT: 1}}, "99", [(MINI,)]),
        # Versions are compared one by one where both sides tell them apart, else together.
        ({"gpt-4o": {INPUT: 3}}, {"gpt-4o-2024-08-06": {INPUT: 3}}, "0", []),
        (
            {"gpt-4o": {INPUT: 3}, "gpt-4o-2024-08-06": {INPUT: 2}},
            {"gpt-4o": {INPUT: 2}, "gpt-4o-2024-08-06": {INPUT: 3}},
            "0",
            [("gpt-4o",), ("gpt-4o-2024-08-06",)],
        ),
        ({MINI: {INPUT: 1}}, {"gpt-4o": {INPUT: 1}}, "0", [("gpt-4o",), (MINI,)]),
        # What only one side tells is not compared.
        ({MINI: {INPUT: 1, COST: 5}}, {MINI: {INPUT: 1}}, "0", []),
        ({MINI: {INPUT: 0}}, {}, "0", []),
    ],
)
def test_days_and_models_are_compared(
    here: dict[str, dict[str, int]], there: dict[str, dict[str, int]], percent: str, differing: list[tuple[str, ...]]
) -> None:
    """Each model of either side, and nothing that one side cannot tell."""
    ledger = usage(here, {CALLS, INPUT, OUTPUT, COST})

    lines = compare_usage(ledger, usage(there), Decimal(percent))

    assert sorted(line.models for line in lines if line.differing) == sorted(differing)


def test_a_model_of_one_side_only_is_said_to_be() -> None:
    """Who has to look for it depends on the side."""
    (line,) = compare_usage(usage({MINI: {INPUT: 1}}), usage({}), Decimal(0))

    assert (line.is_only_here, line.is_only_there) == (True, False)
