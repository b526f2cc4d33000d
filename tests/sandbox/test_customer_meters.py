"""What customers' meters stand at, and how late Polar knows it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from otel_polar.sandbox import SandboxServer
from tests.sandbox.support import NOON, call, event, ingest, patch, post

if TYPE_CHECKING:
    from polar.v2026_10 import Polar

USAGE = {"conjunction": "and", "clauses": [{"property": "name", "operator": "eq", "value": "llm_usage"}]}


def meter(server: SandboxServer, name: str = "tokens", path: str = "n") -> str:
    aggregation = {"func": "sum", "property": path}
    return str(post(server, "/v1/meters/", name=name, filter=USAGE, aggregation=aggregation).json["id"])


def customer(server: SandboxServer, name: str) -> str:
    return str(post(server, "/v1/customers/", email=f"{name}@example.com", external_id=name).json["id"])


def plan(server: SandboxServer, meter_id: str, units: int) -> tuple[str, str]:
    """A free product that grants units of a meter: its id, and the benefit's."""
    properties = {"units": units, "rollover": False, "meter_id": meter_id}
    benefit = post(server, "/v1/benefits/", type="meter_credit", description="Units", properties=properties).json
    price = {"amount_type": "fixed", "price_amount": 0}
    product = post(server, "/v1/products/", name="Free plan", recurring_interval="month", prices=[price]).json
    assert post(server, f"/v1/products/{product['id']}/benefits", benefits=[benefit["id"]]).status == 200
    return product["id"], benefit["id"]


def balances(server: SandboxServer, query: str = "") -> list[tuple[str, float, int, float]]:
    items = call(server, f"/v1/customer-meters/?sorting=customer_name&{query}").json["items"]
    return sorted(
        (item["customer"]["external_id"], item["consumed_units"], item["credited_units"], item["balance"])
        for item in items
    )


def balance(server: SandboxServer, name: str) -> tuple[float, int, float] | None:
    meters = call(server, f"/v1/customers/external/{name}/state").json["active_meters"]
    return next(((one["consumed_units"], one["credited_units"], one["balance"]) for one in meters), None)


def test_a_subscription_credits_what_usage_consumes(polar: Polar, server: SandboxServer) -> None:
    """A thousand credited less six hundred used are four hundred, wherever it is asked."""
    tokens = meter(server)
    ann = customer(server, "ann")
    product_id, benefit_id = plan(server, tokens, 1_000)

    assert balance(server, "ann") is None
    post(server, "/v1/subscriptions/", product_id=product_id, external_customer_id="ann")
    assert balance(server, "ann") == (0, 1_000, 1_000)
    ingest(server, event(external_customer_id="ann", metadata={"n": 600}))

    # Not by the SDK: 1.0.2 takes the status of a subscription for that of a license key, and breaks over "active".
    state = call(server, f"/v1/customers/{ann}/state").json
    (active,) = state["active_meters"]
    (listed,) = polar.customer_meters.list(external_customer_id="ann").items
    assert (active["consumed_units"], active["credited_units"], active["balance"]) == (600, 1_000, 400)
    assert (listed.id, listed.balance, listed.customer.id, listed.meter.id) == (active["id"], 400, ann, tokens)
    assert polar.customer_meters.get(listed.id) == listed
    assert [(one["product_id"], one["status"]) for one in state["active_subscriptions"]] == [(product_id, "active")]
    assert [(grant["benefit_id"], grant["benefit_type"]) for grant in state["granted_benefits"]] == [
        (benefit_id, "meter_credit")
    ]


def test_a_credit_taken_back_leaves_nothing_below_zero(server: SandboxServer) -> None:
    """The units go, the usage stays, and what is given again counts anew."""
    tokens = meter(server)
    customer(server, "ann")
    product_id, benefit_id = plan(server, tokens, 10)
    post(server, "/v1/subscriptions/", product_id=product_id, external_customer_id="ann")
    path = f"/v1/products/{product_id}/benefits"

    post(server, path, benefits=[])
    assert balance(server, "ann") == (0, 0, 0)
    assert call(server, "/v1/customers/external/ann/state").json["granted_benefits"] == []
    post(server, path, benefits=[benefit_id])
    assert balance(server, "ann") == (0, 10, 10)


def test_customer_meters_are_listed_by_customer_and_meter(server: SandboxServer) -> None:
    """Usage of somebody who is no customer is nobody's balance; an archived meter must be asked for."""
    tokens, calls = meter(server, "tokens"), meter(server, "calls", "m")
    ann, bob = customer(server, "ann"), customer(server, "bob")
    ingest(server, *(event(external_customer_id=name, metadata={"n": 2, "m": 1}) for name in ("ann", "bob", "eve")))

    assert balances(server) == [("ann", 1, 0, -1), ("ann", 2, 0, -2), ("bob", 1, 0, -1), ("bob", 2, 0, -2)]
    assert balances(server, f"meter_id={tokens}&customer_id={ann}") == [("ann", 2, 0, -2)]
    assert balances(server, f"meter_id={calls}&customer_id={ann}&customer_id={bob}") == [
        ("ann", 1, 0, -1),
        ("bob", 1, 0, -1),
    ]
    patch(server, f"/v1/meters/{calls}", is_archived=True)
    assert balances(server) == [("ann", 2, 0, -2), ("bob", 2, 0, -2)]
    assert len(balances(server, f"meter_id={calls}")) == 2
    assert call(server, "/v1/customer-meters/nobody").status == 404


def test_a_frozen_state_shows_the_old_balance_until_it_is_thawed(server: SandboxServer) -> None:
    """Polar counts up to three hours late; a guard that trusts the balance alone would let everything pass."""
    tokens = meter(server)
    customer(server, "ann")
    product_id, _ = plan(server, tokens, 10)
    post(server, "/v1/subscriptions/", product_id=product_id, external_customer_id="ann")
    ingest(server, event(external_customer_id="ann", metadata={"n": 3}))

    server.freeze_customer_states()
    ingest(server, event(external_customer_id="ann", metadata={"n": 4}))

    assert balance(server, "ann") == (3, 10, 7)
    assert balances(server) == [("ann", 3, 10, 7)]
    assert quantity(server, tokens) == 7, "quantities do not lag"
    server.thaw_customer_states()
    assert balance(server, "ann") == (7, 10, 3)


def test_a_new_credit_brings_a_frozen_meter_up_to_date(server: SandboxServer) -> None:
    """Granting works the balance out anew, there and then, for that meter."""
    tokens = meter(server)
    customer(server, "ann")
    product_id, _ = plan(server, tokens, 10)
    server.freeze_customer_states()
    ingest(server, event(external_customer_id="ann", metadata={"n": 4}))
    assert balance(server, "ann") is None

    post(server, "/v1/subscriptions/", product_id=product_id, external_customer_id="ann")
    ingest(server, event(external_customer_id="ann", metadata={"n": 1}))

    assert balance(server, "ann") == (4, 10, 6)


def test_a_lag_hides_what_is_younger() -> None:
    """The clock is the test's: nothing waits."""
    clock = [NOON]
    with SandboxServer(now=lambda: clock[0], state_lag_s=15) as server:
        meter(server)
        customer(server, "ann")
        ingest(server, event(external_customer_id="ann", metadata={"n": 4}))
        clock[0] += 14.999
        assert balance(server, "ann") is None
        clock[0] += 0.001
        assert balance(server, "ann") == (4, 0, -4)


def quantity(server: SandboxServer, meter_id: str) -> Any:
    period = "start_timestamp=2026-10-01T00:00:00Z&end_timestamp=2026-10-02T00:00:00Z&interval=day"
    return call(server, f"/v1/meters/{meter_id}/quantities?{period}").json["total"]
