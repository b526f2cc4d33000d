"""Specifies what makes an event the same one on both sides."""

from __future__ import annotations

from typing import Any

import pytest

from otel_polar.reconciliation.fact import Fact, differing_fields

SPAN: dict[str, Any] = {"trace_id": "a" * 32, "span_id": "b" * 16}


def fact(at_unix_us: int = 1_000_000, name: str = "llm_usage", customer: str = "user_1", **metadata: Any) -> Fact:
    return Fact(at_unix_us, name, customer, metadata)


@pytest.mark.parametrize(
    ("here", "there"),
    [
        # JSON has one kind of number.
        (fact(units=3), fact(units=3.0)),
        # Polar keeps cents in a double, and lists them as text.
        (
            fact(_cost={"amount": "0.016860000000", "currency": "usd"}),
            fact(_cost={"amount": "0.01686", "currency": "usd"}),
        ),
        # Polar adds what we did not send.
        (
            fact(_llm={"vendor": "openai", "total_tokens": 3}),
            fact(_llm={"vendor": "openai", "total_tokens": 3, "prompt": None, "response": None, "new": 1}),
        ),
        (fact(units=1), fact(units=1, _new={"anything": 1})),
        # Its listing promises milliseconds.
        (fact(1_000_999), fact(1_000_000)),
    ],
)
def test_what_either_side_may_write_in_two_ways_is_the_same(here: Fact, there: Fact) -> None:
    """A difference that is none costs a person an hour."""
    assert here.content == there.content
    assert differing_fields(here, there) == ()


@pytest.mark.parametrize(
    ("here", "there", "name"),
    [
        (fact(units=1), fact(units=2), "units"),
        (fact(units=1), fact(units=True), "units"),
        (fact(units=1), fact(units="1"), "units"),
        (fact(units=1), fact(), "units"),
        (fact(), fact(units=1), "units"),
        (fact(1_000_000), fact(1_001_000), "timestamp_ms"),
        (fact(name="a"), fact(name="b"), "name"),
        (fact(_cost={"amount": "0.1"}), fact(_cost={"amount": "0.2"}), "_cost.amount"),
    ],
)
def test_what_bills_otherwise_is_named(here: Fact, there: Fact, name: str) -> None:
    """Meters may count any key, and are strict about types."""
    assert here.content != there.content
    assert [field.name for field in differing_fields(here, there)] == [name]


def test_who_pays_is_compared_but_is_no_part_of_the_identity() -> None:
    """That somebody else pays is one difference, not an event too many and one too few."""
    here, there = fact(customer="user_1", **SPAN), fact(customer="user_2", **SPAN)

    assert here.close_identity == there.close_identity
    assert [field.name for field in differing_fields(here, there)] == ["customer"]


def test_a_span_may_be_several_events() -> None:
    """Their names tell them apart; a changed name is still found by the span."""
    here, there = fact(name="a", **SPAN), fact(name="b", **SPAN)

    assert here.close_identity != there.close_identity
    assert here.loose_identity == there.loose_identity


def test_without_a_trace_the_content_is_the_identity() -> None:
    """``map_metadata`` may have left nothing else."""
    assert fact(units=1).close_identity != fact(units=2).close_identity
    assert fact(units=1).loose_identity == fact(units=2).loose_identity
    assert not fact(units=1).is_traced
