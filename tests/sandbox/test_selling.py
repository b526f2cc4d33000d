"""Products, benefits and subscriptions: what Polar sells, what it refuses, parsed by Polar's own SDK."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

import pytest

from otel_polar.sandbox.subscriptions_api import end_of_period
from tests.sandbox.support import call, patch, post, refusals

if TYPE_CHECKING:
    from polar.v2026_10 import Polar
    from polar.v2026_10.inputs import ProductPriceMeteredUnitCreate
    from polar.v2026_10.outputs import ProductPriceMeteredUnit

    from otel_polar.sandbox import SandboxServer

ID = "550e8400-e29b-41d4-a716-446655440000"
FREE = {"amount_type": "fixed", "price_amount": 0}


def meter(server: SandboxServer) -> str:
    every = {"conjunction": "and", "clauses": []}
    return str(post(server, "/v1/meters/", name="tokens", filter=every, aggregation={"func": "count"}).json["id"])


def metered(meter_id: str, **fields: Any) -> dict[str, Any]:
    return {"amount_type": "metered_unit", "meter_id": meter_id, "unit_amount": "0.000000000001", **fields}


def product(server: SandboxServer, *prices: Any, **fields: Any) -> Any:
    return post(server, "/v1/products/", **{"name": "Plan", "recurring_interval": "month", "prices": prices, **fields})


def test_a_product_comes_back_as_it_was_made(polar: Polar, server: SandboxServer) -> None:
    """The smallest price of a unit is a millionth of a millionth of a cent, and stays exact."""
    tokens = meter(server)

    made = polar.products.create(
        name=" Plan ",
        recurring_interval="month",
        prices=[
            {"amount_type": "fixed", "price_amount": 0},
            cast("ProductPriceMeteredUnitCreate", metered(tokens, cap_amount=500)),
        ],
        metadata={"made_by": "setup"},
    )

    fixed, second = made.prices
    unit = cast("ProductPriceMeteredUnit", second)
    assert (made.name, made.recurring_interval, made.recurring_interval_count) == ("Plan", "month", 1)
    assert (fixed.amount_type, unit.amount_type) == ("fixed", "metered_unit")
    assert (unit.unit_amount, unit.cap_amount, unit.meter.name) == ("0.000000000001", 500, "tokens")
    assert polar.products.get(made.id) == made
    assert [item.id for item in polar.products.list(query="pla", is_archived=False, is_recurring=True).items] == [
        made.id
    ]
    assert polar.products.list(is_recurring=False).items == []
    assert len(call(server, "/v1/products/?metadata[made_by]=setup").json["items"]) == 1


@pytest.mark.parametrize("version", ["2026-04", "2026-10"])
def test_a_free_price_is_a_fixed_price_of_nothing(server: SandboxServer, version: str) -> None:
    """The type ``free`` is gone, but what still sends it is understood."""
    body = b'{"name": "Plan", "recurring_interval": "month", "prices": [{"amount_type": "free"}]}'

    (price,) = call(server, "/v1/products/", body, headers={"polar-version": version}).json["prices"]

    assert (price["amount_type"], price["price_amount"]) == ("fixed", 0)


@pytest.mark.parametrize(
    ("price", "kind", "place"),
    [
        ({"amount_type": "barter"}, "union_tag_invalid", []),
        ({}, "missing", ["amount_type"]),
        ({"amount_type": "fixed"}, "missing", ["fixed", "price_amount"]),
        ({"amount_type": "fixed", "price_amount": 49}, "minimum_price", ["fixed", "price_amount"]),
        ({"amount_type": "fixed", "price_amount": 2**31}, "less_than_equal", ["fixed", "price_amount"]),
        (metered(ID, unit_amount="0"), "greater_than", ["metered_unit", "unit_amount"]),
        (metered(ID, unit_amount="1e-13"), "decimal_max_places", ["metered_unit", "unit_amount"]),
        (metered(ID, cap_amount=-1), "greater_than_equal", ["metered_unit", "cap_amount"]),
        (metered(ID), "value_error", ["meter_id"]),
    ],
)
def test_a_price_that_cannot_be_is_refused(
    server: SandboxServer, price: dict[str, Any], kind: str, place: list[str]
) -> None:
    """Cents, at most twelve places, and a meter that exists."""
    ((found, where, _),) = refusals(product(server, price))

    assert (found, where) == (kind, ["body", "prices", 0, *place])


def test_prices_must_go_together(server: SandboxServer) -> None:
    """One fixed price, each meter once, and nothing metered on what is bought once."""
    tokens = meter(server)

    assert refusals(product(server, FREE, FREE))[0][2] == "Only one fixed price is allowed."
    assert refusals(product(server, metered(tokens), metered(tokens)))[0][1] == ["body", "prices", 1, "meter_id"]
    once = product(server, metered(tokens), recurring_interval=None)
    assert refusals(once)[0][2] == "Metered pricing is not supported on one-time products."
    assert refusals(product(server))[0][0] == "too_short"
    assert refusals(product(server, FREE, name="x"))[0][1] == ["body", "name"]


def test_a_product_is_changed_but_for_its_interval(server: SandboxServer) -> None:
    """Prices that are not named any more are archived, those named by id are kept."""
    tokens = meter(server)
    made = product(server, FREE).json
    path, kept = f"/v1/products/{made['id']}", {"id": made["prices"][0]["id"]}

    changed = patch(server, path, name="Better", prices=[kept, metered(tokens)]).json

    assert [price["amount_type"] for price in changed["prices"]] == ["fixed", "metered_unit"]
    assert (changed["name"], changed["prices"][0]["id"]) == ("Better", kept["id"])
    (left,) = patch(server, path, prices=[{"id": changed["prices"][1]["id"]}]).json["prices"]
    assert left["amount_type"] == "metered_unit"
    assert refusals(patch(server, path, recurring_interval="year"))[0][2] == "Recurring interval cannot be changed."
    assert refusals(patch(server, path, prices=[{"id": ID}]))[0][2] == "Price does not exist."
    assert patch(server, path, recurring_interval="month", is_archived=True).json["is_archived"] is True
    assert patch(server, f"/v1/products/{ID}", name="Better").status == 404


def test_a_benefit_credits_units_of_a_meter(polar: Polar, server: SandboxServer) -> None:
    """It is found again, and stands on the product that grants it."""
    tokens = meter(server)
    made = polar.benefits.create(
        type="meter_credit",
        description="A million tokens",
        properties={"units": 1_000_000, "rollover": True, "meter_id": tokens},
    )
    plan = product(server, FREE).json["id"]

    changed = polar.products.update_benefits(plan, benefits=[made.id])

    assert polar.benefits.get(made.id) == made
    assert [item.id for item in polar.benefits.list(query="million").items] == [made.id]
    assert call(server, "/v1/benefits/?type=custom").json["items"] == []
    assert changed.benefits == [made]
    assert [item.id for item in polar.products.list(benefit_id=made.id).items] == [plan]
    unknown = post(server, f"/v1/products/{plan}/benefits", benefits=[made.id, ID])
    assert refusals(unknown) == [("value_error", ["body", "benefits", 1], "Benefit does not exist.")]
    assert post(server, f"/v1/products/{ID}/benefits", benefits=[]).status == 404


@pytest.mark.parametrize(
    ("change", "kind", "place"),
    [
        ({"units": 0}, "greater_than", ["properties", "units"]),
        ({"units": 2**31}, "less_than_equal", ["properties", "units"]),
        ({"units": 1.5}, "int_from_float", ["properties", "units"]),
        ({"rollover": None}, "bool_type", ["properties", "rollover"]),
        ({"meter_id": ID}, "value_error", ["properties", "meter_id"]),
    ],
)
def test_a_credit_that_cannot_be_is_refused(
    server: SandboxServer, change: dict[str, Any], kind: str, place: list[str]
) -> None:
    """Units are whole, positive, and of 32 bits."""
    properties = {"units": 1, "rollover": False, "meter_id": meter(server), **change}

    answer = post(server, "/v1/benefits/", type="meter_credit", description="Credit", properties=properties)

    assert refusals(answer)[0][:2] == (kind, ["body", *place])


def test_a_benefit_has_a_type_and_a_short_description(server: SandboxServer) -> None:
    """At most 42 characters are shown on a product."""
    custom = post(server, "/v1/benefits/", type="custom", description="Support", properties={"note": "mail us"})

    assert (custom.status, custom.json["properties"]) == (201, {"note": "mail us"})
    assert refusals(post(server, "/v1/benefits/", type="gold", description="x" * 43, properties={}))[0][1] == [
        "body",
        "type",
    ]
    long = post(server, "/v1/benefits/", type="custom", description="x" * 43, properties={})
    assert refusals(long)[0][1] == ["body", "description"]


def test_a_customer_subscribes_to_what_is_free(polar: Polar, server: SandboxServer) -> None:
    """By either id; a metered price beside a fixed one of 0 is free to begin with."""
    plan = product(server, FREE, metered(meter(server))).json["id"]
    ann = polar.customers.create(email="ann@example.com", external_id="ann")

    first = polar.subscriptions.create(product_id=plan, customer_id=ann.id, metadata={"by": "setup"})
    second = polar.subscriptions.create(product_id=plan, external_customer_id="ann")

    assert (first.status, first.amount, first.customer.id, first.product.id) == ("active", 0, ann.id, plan)
    assert (first.current_period_start, first.current_period_end) == ("2026-10-01T12:00:00Z", "2026-11-01T12:00:00Z")
    assert polar.subscriptions.get(first.id) == first
    found = polar.subscriptions.list(external_customer_id="ann", product_id=plan, active=True).items
    assert {item.id for item in found} == {first.id, second.id}
    assert polar.subscriptions.list(external_customer_id="bob").items == []
    assert polar.subscriptions.list(active=False).items == []


def test_what_costs_something_needs_a_checkout(polar: Polar, server: SandboxServer) -> None:
    """As does a product with metered prices alone, and who is no customer subscribes to nothing."""
    ann = polar.customers.create(email="ann@example.com").id

    def refusal(product_id: str, **customer: str) -> tuple[list[str | int], str]:
        ((_, place, message),) = refusals(post(server, "/v1/subscriptions/", product_id=product_id, **customer))
        return place, message

    paid = product(server, {"amount_type": "fixed", "price_amount": 500}).json["id"]
    usage = product(server, metered(meter(server))).json["id"]
    once = product(server, FREE, recurring_interval=None).json["id"]
    free = product(server, FREE).json["id"]
    not_free = "Product is not free. The customer should go through a checkout to create a paid subscription."
    assert refusal(paid, customer_id=ann) == (["body", "product_id"], not_free)
    assert refusal(usage, customer_id=ann) == (["body", "product_id"], not_free)
    assert refusal(once, customer_id=ann) == (["body", "product_id"], "Product is not a recurring product.")
    assert refusal(ID, customer_id=ann) == (["body", "product_id"], "Product does not exist.")
    assert refusal(free, customer_id=ID) == (["body", "customer_id"], "Customer does not exist.")
    assert refusal(free, external_customer_id="eve") == (["body", "external_customer_id"], "Customer does not exist.")


@pytest.mark.parametrize(
    ("start", "interval", "count", "expected", "reason"),
    [
        ("2026-01-31", "month", 1, "2026-02-28", "the last day, where there is no such day"),
        ("2024-02-29", "year", 1, "2025-02-28", "as in a year without a leap day"),
        ("2026-11-30", "month", 3, "2027-02-28", "across the end of a year"),
        ("2026-12-31", "week", 2, "2027-01-14", "fourteen days"),
        ("2026-12-31", "day", 1, "2027-01-01", "one day"),
    ],
)
def test_a_period_ends_by_the_calendar(start: str, interval: str, count: int, expected: str, reason: str) -> None:
    """A month is not thirty days."""
    moment = datetime.fromisoformat(start).replace(tzinfo=UTC)

    assert end_of_period(moment, interval, count).date().isoformat() == expected, reason
