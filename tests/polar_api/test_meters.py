"""Specifies meters: which count the same, and what is made and read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from otel_polar.errors import PolarNotFoundError, PolarUnreachableError
from otel_polar.polar_api import fields
from otel_polar.polar_api.meters import Counting, Unit, create_meter, list_meters, quantities
from tests.account.conftest import api

if TYPE_CHECKING:
    from otel_polar.polar_api.client import PolarApi
    from otel_polar.sandbox import SandboxServer

__all__ = ["api"]

NAMED = {"property": "name", "operator": "eq", "value": "llm_usage"}
MODEL = {"property": "model", "operator": "like", "value": "gpt"}
SUM = {"func": "sum", "property": "cost_nanos"}


def both(*clauses: object, conjunction: str = "and") -> dict[str, Any]:
    return {"conjunction": conjunction, "clauses": list(clauses)}


@pytest.mark.parametrize(
    ("filter_", "aggregation"),
    [
        (both(MODEL, NAMED), SUM),  # another order
        (both(NAMED, {**MODEL, "property": "metadata.model"}), {**SUM, "property": "metadata.cost_nanos"}),  # a prefix
        (both(both(NAMED, MODEL)), SUM),  # as Polar's dashboard writes it
        (both(both(NAMED, conjunction="or"), MODEL), SUM),  # a group of one
        (both(both(NAMED), both(NAMED, MODEL)), SUM),  # the same twice
    ],
)
def test_meters_that_count_the_same_are_equal(filter_: dict[str, Any], aggregation: dict[str, Any]) -> None:
    """They are recognized by it, and a second one would bill twice."""
    assert Counting.of(filter_, aggregation) == Counting.of(both(NAMED, MODEL), SUM)


@pytest.mark.parametrize(
    ("filter_", "aggregation"),
    [
        (both(NAMED, MODEL, conjunction="or"), SUM),  # either
        (both(NAMED), SUM),  # more
        (both(NAMED, {**MODEL, "operator": "eq"}), SUM),  # fewer
        (both(NAMED, MODEL), {"func": "max", "property": "cost_nanos"}),  # not added
        (both(NAMED, MODEL), {"func": "count"}),  # the events themselves
    ],
)
def test_meters_that_count_otherwise_are_not(filter_: dict[str, Any], aggregation: dict[str, Any]) -> None:
    """One for the other would bill a wrong amount."""
    assert Counting.of(filter_, aggregation) != Counting.of(both(NAMED, MODEL), SUM)


def test_one_and_true_are_not_the_same() -> None:
    """Polar compares by type."""
    one, true = ({"property": "n", "operator": "eq", "value": value} for value in (1, True))

    assert Counting.of(both(one), SUM) != Counting.of(both(true), SUM)


def test_what_is_made_is_listed_with_how_people_read_it(api: PolarApi) -> None:
    """Billionths of a dollar are shown as dollars."""
    made = create_meter(
        api, name="LLM cost", counting=Counting.of(both(NAMED), SUM), unit=Unit("custom", "USD", 1_000_000_000)
    )

    assert list_meters(api) == [made]
    assert (made.name, made.counting.sums, made.unit.multiplier) == ("LLM cost", "cost_nanos", 1_000_000_000)


def test_an_archived_meter_is_only_listed_if_asked_for(api: PolarApi) -> None:
    """It counts and bills nothing any more."""
    made = create_meter(api, name="old", counting=Counting.of(both(NAMED), SUM), unit=Unit())
    api.patch(f"/v1/meters/{made.id}", {"is_archived": True})

    assert list_meters(api) == []
    assert [meter.is_archived for meter in list_meters(api, include_archived=True)] == [True]


def test_quantities_are_exact_numbers_of_everybody_or_of_one(api: PolarApi, polar_sandbox: SandboxServer) -> None:
    """They are compared with what was sent."""
    made = create_meter(api, name="LLM cost", counting=Counting.of(both(NAMED), SUM), unit=Unit())
    events = [
        {"name": "llm_usage", "external_customer_id": customer, "metadata": {"cost_nanos": nanos}}
        for customer, nanos in (("u1", 168_600), ("u2", 2**40 + 1))
    ]
    api.post("/v1/events/ingest", {"events": events})
    now = datetime.now(UTC)

    of_all = quantities(api, made.id, now - timedelta(hours=1), now + timedelta(hours=1), "day")
    of_one = quantities(
        api, made.id, now - timedelta(hours=1), now + timedelta(hours=1), "day", external_customer_id="u1"
    )

    assert (of_all.total, of_one.total) == (Decimal(2**40 + 1 + 168_600), Decimal(168_600))
    assert sum(each.quantity for each in of_all.intervals) == of_all.total
    assert len(polar_sandbox.events()) == 2


def test_quantities_of_no_meter_are_an_error(api: PolarApi) -> None:
    """Nothing is not zero."""
    now = datetime.now(UTC)
    with pytest.raises(PolarNotFoundError):
        quantities(api, "2f14e45f-ceea-467f-a0e6-0f1c6b1e3f00", now, now, "day")


@pytest.mark.parametrize(("value", "exact"), [(168600.0, "168600.0"), ("0.00000013", "0.00000013"), (0.1, "0.1")])
def test_numbers_are_taken_as_they_are_written(value: object, exact: str) -> None:
    """A float of money is not multiplied before it is a decimal."""
    assert fields.exact({"n": value}, "n") == Decimal(exact)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "NaN", "x", True, None, [1]])
def test_what_is_no_number_is_an_error(value: object) -> None:
    """A wrong guess about money is worse than none."""
    with pytest.raises(PolarUnreachableError, match="number in 'n'"):
        fields.exact({"n": value}, "n")
